import numpy as np
import pytest

from hwsim import catalog
from hwsim.op import Op
from hwsim.ops.igelu import IGelu
from hwsim.ops.logintsoftmax import LogIntSoftmax
from hwsim.ops.lookup import Lookup
from hwsim.ops.shiftgelu import ShiftGelu
from hwsim.ops.tablesoftmax import TableSoftmax
from hwsim.spec import QuantSpec, TensorSpec
from hwsim.study import distance as study
from hwsim.study.distance import POINTS, WIDTHS, distance, distances, operators


@pytest.fixture(scope="module")
def all_of_them():
    return distances()


def test_every_operator_that_stands_for_a_function_is_measured(all_of_them):
    wanted = {name for name in catalog.names("hwsim.ops") if catalog.find("hwsim.ops", name).stands_for}
    assert {d.operator for d in all_of_them} == wanted == set(operators())
    for name in wanted:
        assert {d.family for d in all_of_them if d.operator == name} == {catalog.find("hwsim.ops", name).stands_for}


def test_a_new_operator_needs_no_list(monkeypatch, all_of_them):
    class Fresh(Lookup):
        __slots__ = ()

    names, find = catalog.names, catalog.find
    monkeypatch.setattr(catalog, "names", lambda package: (*names(package), "fresh"))
    monkeypatch.setattr(catalog, "find", lambda package, name: Fresh if name == "fresh" else find(package, name))
    assert operators()["fresh"] is Fresh
    assert [d.largest for d in distance("fresh", Fresh, 8)] == [
        d.largest for d in all_of_them if (d.operator, d.bits) == ("lookup", 8)
    ]


def test_widths_that_an_operator_refuses_are_left_out(all_of_them):
    taken = {name: tuple(d.bits for d in all_of_them if d.operator == name and d.curve) for name in operators()}
    assert taken["lookup"] == (8, 10)
    assert taken["tablesoftmax"] == (8, 10)
    assert taken["igelu"] == WIDTHS["gelu"]
    assert taken["ptflayernorm"] == WIDTHS["layernorm"]


def test_a_curve_is_short_ascends_and_holds_the_largest(all_of_them):
    for d in all_of_them:
        assert d.largest >= d.rms > 0
        if d.inputs == f"rows of {study.ROW}":
            assert d.curve == ()
            continue
        places, errors = zip(*d.curve, strict=True)
        assert len(places) <= POINTS
        assert list(places) == sorted(places)
        assert max(errors) == d.largest
    ends = {d.family: (d.curve[0][0], d.curve[-1][0]) for d in all_of_them if d.curve and d.bits == 8}
    assert ends["gelu"] == pytest.approx((-8, 8), abs=0.1)
    assert ends["softmax"] == pytest.approx((0, 12), abs=0.1)
    assert ends["layernorm"][0] < 0.7
    assert ends["layernorm"][1] > 64


def largest(found, name, bits, inputs=""):
    return next(d.largest for d in found if (d.operator, d.bits) == (name, bits) and d.inputs.startswith(inputs))


def test_known_distances(all_of_them):
    """Tables are half a step off; i-GELU 0.018 (I-BERT, table 1, has 0.018 for its L-infinity distance)."""
    half = study.GELU_RANGE / 2**16
    assert half * 0.9 < largest(all_of_them, "lookup", 10) <= half * 1.0001
    assert largest(all_of_them, "igelu", 16) == pytest.approx(0.018, abs=0.0005)
    assert largest(all_of_them, "tablesoftmax", 10, "rows") < 1.25 * 2.0**-16
    assert 0.01 < largest(all_of_them, "shiftmax", 12, "rows") < 0.02


def test_gelu_by_hand():
    """Each code by itself, in a row with the largest and with the smallest code, against the float function."""
    grid = QuantSpec(8, True, (8 / 128,))
    spec, out = TensorSpec((1, 2), grid), QuantSpec(16, True, (8 / 2**15,))
    for operator in (IGelu, ShiftGelu):
        op = operator.lower(spec, out)
        own = op.infer((spec,))
        errors = []
        for code in range(-128, 128):
            for end in (-128, 127):
                row = np.array([[code, end]], np.int8)
                made = own.quant.to_real(op.run((row,), (spec,), own))[0, 0]
                errors.append(abs(made - op.reference(np.array([[code / 16]]), (spec,), own)[0, 0]))
        (found,) = distance("x", operator, 8)
        assert found.largest == pytest.approx(max(errors), rel=1e-12)
        assert found.rms == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-12)
        assert found.scale == grid.scale[0]


@pytest.mark.parametrize("operator", [TableSoftmax, LogIntSoftmax])
def test_softmax_of_two_scores_by_hand(operator):
    pairs, rows = distance("x", operator, 8)
    assert (pairs.inputs, rows.inputs) == ("two scores", "rows of 197")
    grid = QuantSpec(8, False, (pairs.scale,))
    spec = TensorSpec((1, 2), grid)
    op = operator.lower(spec)
    out = op.infer((spec,))
    errors = []
    for apart in range(256):
        if apart * pairs.scale <= 12:
            made = out.quant.to_real(op.run((np.array([[255, 255 - apart]], np.uint8),), (spec,), out))[0]
            lower = 1 / (1 + np.exp(apart * pairs.scale))
            errors += [abs(made[0] - (1 - lower)), abs(made[1] - lower)]
    assert pairs.largest == pytest.approx(max(errors), rel=1e-9)
    assert pairs.rms == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-9)


class Spy(Op):
    """Stands for what `stands_for` says, gives 0 and keeps what it was fed; is off by 1 / deviation of the row in codes."""

    fed = ()

    @classmethod
    def lower(cls, x, *rest):
        return cls()

    @staticmethod
    def fitted_scale(scale):
        return scale

    def infer(self, inputs):
        return TensorSpec(inputs[0].shape, QuantSpec(32, True, (2.0**-20,)))

    def run(self, values, inputs, out):
        type(self).fed = (*self.fed, values[0])
        return np.zeros(values[0].shape, np.int32)

    def reference(self, x, inputs, out):
        deviation = x.std(axis=-1, keepdims=True) / inputs[0].quant.scale[0]
        return np.broadcast_to(1 / np.maximum(deviation, 0.25), x.shape)


def test_layernorm_is_fed_rows_of_every_deviation_and_mean():
    class Norm(Spy):
        stands_for = "layernorm"

        @classmethod
        def lower(cls, x, weight, bias, epsilon, out):
            assert (x.shape, epsilon) == ((1, 384), 1e-6)
            assert (weight == 1).all()
            assert (bias == 0).all()
            return cls()

    (found,) = distance("x", Norm, 8)
    assert found.inputs == "rows of 384"
    for place, error in found.curve:
        assert error == pytest.approx(1 / place, rel=0.25)
    (rows,) = Norm.fed
    means = rows[rows.std(axis=1) < 10].mean(axis=1)
    assert means.min() < -80
    assert means.max() > 80
    clipped = np.isin(rows, (-128, 127)).mean(axis=1)
    assert clipped[rows.std(axis=1) < 10].max() < 0.02


def test_softmax_is_fed_rows_that_have_room_below_their_maximum():
    class Soft(Spy):
        stands_for = "softmax"

    distance("x", Soft, 8)
    pairs, rows = Soft.fed
    assert (pairs[:, 0] == 255).all()
    assert pairs[:, 1].tolist() == list(range(255, -1, -1))
    assert rows.shape == (study.ROWS, 197)
    assert (rows.max(axis=1) == 255).all()
    spread = rows.std(axis=1) * 12 / 255
    assert spread.min() < 0.05
    assert spread.max() > 3
    assert (rows == 0).mean() < 0.1


def test_progress_and_fewer_widths():
    calls = []
    found = distances({"gelu": (8,), "softmax": (), "layernorm": ()}, lambda done, total: calls.append((done, total)))
    assert {d.family for d in found} == {"gelu"}
    assert calls == [(i, len(calls)) for i in range(len(calls))]
    assert len(calls) == sum(op.stands_for == "gelu" for op in operators().values())


def test_the_same_every_time(all_of_them):
    assert distances() == all_of_them
