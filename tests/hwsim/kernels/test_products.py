"""Products of every tier that this machine has, and of the emulated one, against Python's unbounded integers (S3)."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels.choose import ORDER
from hwsim.kernels.team import leading
from hwsim.kernels.tier import Grid

TIERS = (*ORDER, "emulated", "oracle")
NONE = np.zeros((1, 1), np.int64)
BYTES = st.integers(1, 8)


def ends(bits, signed):
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


@st.composite
def grids(draw, zeros, widths=BYTES):
    """A grid of some width, with zero points anywhere, often at the ends; `zeros`: shapes that they may have."""
    low, high = ends(draw(widths), draw(st.booleans()))
    shape = draw(st.sampled_from(zeros))
    count = shape[0] * shape[1]
    zero = draw(st.lists(st.sampled_from((low, high, 0)) | st.integers(low, high), min_size=count, max_size=count))
    return Grid(low, high, np.clip(np.array(zero, np.int64), low, high).reshape(shape))


@st.composite
def codes(draw, shape, grid):
    """Codes of a grid, at random or at its ends alone, in some container and some order in memory."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sign = "u" if grid.low == 0 else "i"
    fitting = [np.int32, f"{sign}2", f"{sign}1"]
    kind = draw(st.sampled_from(fitting if grid.high - grid.low < 256 else fitting[:2]))
    extreme = draw(st.booleans())
    values = (
        generator.choice([grid.low, grid.high], shape)
        if extreme
        else generator.integers(grid.low, grid.high + 1, shape)
    )
    order = draw(st.sampled_from(("whole", "transposed", "gaps", "backwards", "groups inside")))
    values = values.astype(kind)
    if order == "transposed":
        return np.ascontiguousarray(values.transpose(0, 2, 1)).transpose(0, 2, 1)
    if order == "gaps":
        wide = np.zeros((shape[0], shape[1] + 1, 2 * shape[2]), kind)
        wide[:, 1:, ::2] = values
        return wide[:, 1:, ::2]
    if order == "backwards":
        return np.ascontiguousarray(values[:, ::-1])[:, ::-1]
    if order == "groups inside":
        return np.ascontiguousarray(values.transpose(1, 0, 2)).transpose(1, 0, 2)
    values.setflags(write=False)
    return values


SIZES = st.integers(1, 70) | st.sampled_from((1, 5, 6, 8, 16, 32, 33, 64))


@st.composite
def operands(draw, widths=BYTES, others=BYTES):
    """left, its grid, right, its grid."""
    groups = draw(st.integers(1, 4))
    static = draw(st.booleans())
    m, k, n = (draw(SIZES) for _ in range(3))
    rights = 1 if static else groups
    left = draw(grids([(1, 1), (groups, 1)], widths))
    right = draw(grids([(1, 1), (1, n), (rights, 1), (rights, n)], others))
    return draw(codes((groups, m, k), left)), left, draw(codes((rights, k, n), right)), right


def multiply(tier, case, pairs=False, finish=None, out=None):
    """The product on `tier`, or None where it must be left to the portable one."""
    left, grid, right, other = case
    if not tier.takes(grid, other, left.shape[2]):
        return None
    tier.pairs = pairs and tier.pairable
    return tier.product(left, grid, tier.pack(right, other, grid), finish, out)


def check(result, case, exact_product):
    if result is not None:
        assert result.dtype == np.int32
        np.testing.assert_array_equal(result.astype(object), exact_product(*case))


@pytest.mark.parametrize("name", TIERS)
@given(case=operands(), pairs=st.booleans(), team=st.sampled_from((1, 1, 2, 3)))
def test_equals_unbounded_integers(tier_of, exact_product, name, case, pairs, team):
    tier = tier_of(name)
    with leading(1 if name == "emulated" else team):
        check(multiply(tier, case, pairs), case, exact_product)


@pytest.mark.parametrize(("most", "kind"), [(15, "u1"), (999, "u2"), (999, "i2")])
@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("along", ["columns", "rows"])
@pytest.mark.parametrize("name", TIERS)
def test_groups_along_two_axes(tier_of, exact_product, name, along, pairs, most, kind):
    """Images and heads, as slices of one linear layer's output: nothing is copied on the way, and each has its own zero (left
    words have none, so that they can stay where they are)."""
    generator, images, heads, tier = np.random.default_rng(3), 2, 3, tier_of(name)
    for m, k, n in ((9, 64, 37), (33, 40, 16), (7, 21, 5), (40, 12, 80)):
        left = Grid(0, most, generator.integers(0, 16, (heads, 1)) * (most < 256))
        right = Grid(0, most, generator.integers(0, 16, (heads, 1)))
        if not tier.takes(left, right, k):
            continue
        rows = n if along == "columns" else k
        a = generator.integers(0, most + 1, (images, m, 2 * heads, k)).astype(kind)[:, :, heads:].transpose(0, 2, 1, 3)
        b = generator.integers(0, most + 1, (images, rows, 2 * heads, k + n - rows)).astype(kind)[:, :, :heads]
        b = b.transpose(0, 2, 3, 1) if along == "columns" else b.transpose(0, 2, 1, 3)
        flat = a.reshape(-1, m, k), left, b.reshape(-1, k, n), right
        out = np.empty((images, m, heads, n), np.int32)
        tier.pairs = pairs and tier.pairable
        packed = tier.pack(b, right, left)
        check(tier.product(a, left, packed), flat, exact_product)
        tier.product(a, left, packed, None, out.transpose(0, 2, 1, 3))
        np.testing.assert_array_equal(out.transpose(0, 2, 1, 3).reshape(-1, m, n).astype(object), exact_product(*flat))


@pytest.mark.parametrize("name", TIERS)
@given(case=operands(st.integers(9, 16)) | operands(st.integers(1, 13), st.integers(9, 12)), pairs=st.booleans())
def test_operands_of_two_bytes(tier_of, exact_product, name, case, pairs):
    check(multiply(tier_of(name), case, pairs), case, exact_product)


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("name", TIERS)
def test_long_sums_of_extreme_codes(tier_of, exact_product, name, pairs):
    """All widths, signs and ends: K is 65000, or what int32 leaves; every second sum is all of one pair of codes."""
    tier, taken = tier_of(name), 0
    for a_bits, b_bits, a_signed, b_signed in itertools.product((1, 4, 7, 8), (1, 4, 6, 8), (0, 1), (0, 1)):
        (a_low, a_high), (b_low, b_high) = ends(a_bits, a_signed), ends(b_bits, b_signed)
        for a_zero, b_zero in {(a_low, b_high), (a_high, b_low), (0, 0)}:
            left = Grid(a_low, a_high, np.array([[a_zero]]))
            right = Grid(b_low, b_high, np.array([[b_zero]]))
            most = left.reach * max(abs(b_low - b_zero), abs(b_high - b_zero))
            depth = min(65000, (2**31 - 1) // max(1, most))
            if not tier.takes(left, right, depth):
                continue
            taken += 1
            values = np.empty((1, 3, depth), np.int16)
            values[0, 0], values[0, 1], values[0, 2] = a_low, a_high, a_low
            values[0, 2, ::2] = a_high
            columns = np.empty((1, depth, 3), np.int16)
            columns[0, :, 0], columns[0, :, 1], columns[0, :, 2] = b_low, b_high, b_low
            columns[0, 1::3, 2] = b_high
            result = multiply(tier, (values, left, columns, right), pairs)
            wanted = (values.astype(np.int64) - a_zero) @ (columns.astype(np.int64) - b_zero)  # below 2^31 in magnitude
            np.testing.assert_array_equal(result, wanted)
    assert taken > 100


@pytest.mark.parametrize("name", TIERS)
def test_the_whole_int32_range(tier_of, name):
    """Sums at both ends of int32: u8 by s8 at K = 66052, and 16-bit codes."""
    tier = tier_of(name)
    left, right = Grid(0, 1 << 15, NONE), Grid(-128, 127, NONE)
    a, b = np.full((1, 1, 512), 1 << 15, np.int32), np.full((1, 512, 2), -128, np.int8)
    b[0, :, 1] = 127
    if tier.takes(left, right, 512):
        assert multiply(tier, (a, left, b, right)).tolist() == [[[-(2**31), 2**31 - 2**24]]]


@pytest.mark.parametrize("name", TIERS)
@pytest.mark.parametrize("sign", [-1, 1])
def test_grids_without_a_zero(tier_of, exact_product, name, sign):
    """Integers of a table (S14) may all lie on one side of 0: what pads them does not."""
    tier = tier_of(name)
    right = Grid(*sorted((sign * 3, sign * 100)), NONE)
    for most in (126, 127, 128, 130):
        left = Grid(0, most, NONE)
        a = np.full((1, 7, 21), most, np.uint8)
        b = np.full((1, 21, 9), sign * 3, np.int8)
        b[0, ::2] = sign * 100
        for pairs in (False, True):
            case = a, left, b, right
            check(multiply(tier, case, pairs), case, exact_product)


def test_avx2_takes_bytes_that_cannot_saturate(tier_of):
    """Four products of an unsigned and a signed byte, as stored, must fit a signed 16-bit integer; others are of words."""
    tier = tier_of("avx2")
    for a_bits, b_bits, a_signed, b_signed in itertools.product(range(1, 9), range(1, 9), (0, 1), (0, 1)):
        (a_low, a_high), (b_low, b_high) = ends(a_bits, a_signed), ends(b_bits, b_signed)
        for zero in {b_low, 0, b_high}:
            bytes_ = b_low - zero, b_high - zero
            if not -128 <= bytes_[0] <= bytes_[1] <= 127:
                bytes_ = -128, b_high - b_low - 128
            fits = 4 * (a_high - a_low) * max(map(abs, bytes_)) < 1 << 15
            left, right = Grid(a_low, a_high, NONE), Grid(b_low, b_high, np.array([[zero]]))
            packed = tier.pack(np.zeros((1, 8, 8), np.int8), right, left)
            assert (packed.extra["operands"] is tier.bytes) == fits, (a_bits, b_bits, a_signed, b_signed, zero)


@pytest.mark.parametrize("name", ["avx512vnni", "avxvnni", "avx2", "emulated"])
def test_any_two_operands_of_a_byte_are_taken(tier_of, name):
    for a, b, zero in itertools.product((0, -128), (0, -128), range(-128, 256, 51)):
        right = Grid(b, b + 255, np.array([[min(max(zero, b), b + 255)]]))
        assert tier_of(name).takes(Grid(a, a + 255, NONE), right, 65000)
        assert tier_of(name).takes(Grid(0, 65535, NONE), right, 9)
        assert not tier_of(name).takes(Grid(0, 65536, NONE), right, 9)
    assert tier_of(name).takes(Grid(0, 255, NONE), Grid(0, 255, np.array([[0, 200]])), 9)
    assert tier_of(name).takes(Grid(0, 1, NONE), Grid(-32768, 32767, NONE), 9)
    assert not tier_of(name).takes(Grid(0, 1, NONE), Grid(0, 32768, NONE), 9)
    assert not tier_of(name).takes(Grid(0, 1, np.zeros((1, 5), np.int64)), Grid(0, 1, NONE), 9)


@pytest.mark.parametrize("name", ["avx512vnni", "avxvnni"])
def test_pairs_are_used_where_sums_fit_a_byte(tier_of, name):
    tier = tier_of(name)
    tier.pairs = True
    for a_bits, b_bits in itertools.product(range(1, 9), repeat=2):
        left, right = Grid(*ends(a_bits, 0), NONE), Grid(*ends(b_bits, 1), NONE)
        packed = tier.pack(np.zeros((1, 8, 8), np.int8), right, left)
        fits = tier.pairable and (1 << a_bits) + (1 << b_bits) <= 257 and (1 << a_bits) + (1 << (b_bits - 1)) <= 129
        assert packed.extra["paired"] == fits, (a_bits, b_bits)


@pytest.mark.parametrize(("most", "kind"), [(15, "u1"), (999, "i2")])
@pytest.mark.parametrize("name", TIERS)
def test_operands_are_left_alone(tier_of, name, most, kind):
    generator = np.random.default_rng(0)
    left, right = Grid(0, most, NONE), Grid(-8, 7, np.array([[1, -1] * 5]))
    a, b = (
        generator.integers(0, most + 1, (2, 40, 64)).astype(kind),
        generator.integers(-8, 8, (2, 64, 10)).astype(np.int8),
    )
    copies = a.copy(), b.copy()
    for pairs in (False, True):
        multiply(tier_of(name), (a, left, b, right), pairs)
    np.testing.assert_array_equal(a, copies[0])
    np.testing.assert_array_equal(b, copies[1])
