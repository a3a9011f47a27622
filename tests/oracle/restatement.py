"""docs/semantics.md once more, as an executor of integer graphs: a second writing of every equation, to hold against the
simulator.

Written from the document alone. It imports nothing of hwsim: operators are known by their names, and only attributes and
labels (`QuantSpec`, `ShiftSpec`) are read. Values are object arrays of Python's unbounded integers, so that nothing here
can overflow or be rounded unless an equation says so. A rule is called with the operator, the values of its operands,
their TensorSpecs and that of the result, and gives the result's integers.
"""

import math

import numpy as np

isqrt = np.frompyfunc(math.isqrt, 1, 1)
bit_length = np.frompyfunc(int.bit_length, 1, 1)


def execute(graph, feeds):
    """Every value of `graph` by name (inputs, constants, nodes) for the codes `feeds`; LookupError without a rule."""
    values = {name: unbounded(value) for name, value in {**graph.constants, **feeds}.items()}
    for node in graph.nodes:
        kind = type(node.op).__name__.lower()
        if kind not in RULES:
            raise LookupError(f"{node.name}: an operator needs a rule, got {kind}; write one from docs/semantics.md")
        operands = [values[name] for name in node.inputs]
        values[node.name] = RULES[kind](node.op, operands, graph.inputs_of(node), graph.specs[node.name])
    return values


def unbounded(array):
    """Integers as an array of Python's."""
    return np.asarray(array).astype(object)


def along(numbers, axis, ndim):
    """One number, or one per index of `axis`, so that it broadcasts."""
    column = unbounded(numbers)
    return column[0] if axis is None else column.reshape((1,) * axis + (-1,) + (1,) * (ndim - axis - 1))


def meant(x, spec):
    """S1, S14: the integers that codes stand for, less their zero point or by the table."""
    grid = spec.quant
    if hasattr(grid, "significand"):
        return looked_up(table_of(grid), x)
    return x - along(grid.zero_point, grid.axis, x.ndim)


def table_of(grid):
    """S14: value(c) = (significand[c] << shift[c]) - zero."""
    return [(s << k) - grid.zero for s, k in zip(grid.significand, grid.shift, strict=True)]


def looked_up(table, index):
    return unbounded(table)[index.astype(np.int64)]


def total(x):
    """The sum of each row, over the last axis."""
    return x.sum(axis=-1, keepdims=True)


def clamp(x, low, high):
    return np.minimum(np.maximum(x, low), high)


def shifted(x, left):
    """x * 2^left; a right shift floors."""
    return (x << np.maximum(left, 0)) >> np.maximum(-left, 0)


def round_shift(p, s, mode):
    """S4: p / 2^s, rounded by the `mode`; a shift of 0 rounds nothing (S11, S13)."""
    if np.all(s == 0):
        return p
    half = 1 << (s - 1)
    if mode == "floor":
        return p >> s
    if mode == "half_up":
        return (p + half) >> s
    if mode == "double_round":
        first = np.where(p >= 0, 1 << 30, -(1 << 30))
        return (p + np.where(s > 31, first, 0) + half) >> s
    if mode == "half_even":
        floor = p >> s
        rest = p - (floor << s)
        return floor + ((rest > half) | ((rest == half) & (floor % 2 == 1)))
    raise LookupError(f"round_shift: rounding must be a mode of S4, got {mode!r}; write it")


def finished(p, shift, op, out):
    """S4, S11, S13: clamp(round_shift(p, shift) + zero_point, qmin, qmax)."""
    grid = out.quant
    code = round_shift(p, shift, op.rounding) + along(grid.zero_point, grid.axis, p.ndim)
    return clamp(code, grid.qmin, grid.qmax)


def linear(op, values, specs, out):
    """S3 with the transpose of a weight (N, K)."""
    return meant(values[0], specs[0]) @ meant(values[1], specs[1]).T


def matmul(op, values, specs, out):
    """S3; codes of S14 on the left are shifts, that is their values."""
    return meant(values[0], specs[0]) @ meant(values[1], specs[1])


def conv2d(op, values, specs, out):
    """S3 on patches; padding is the code of real zero, so 0 once the zero point is off."""
    image, kernel = meant(values[0], specs[0]), meant(values[1], specs[1])
    (up, left), (down, right), (wide, far) = op.padding, op.stride, op.dilation
    image = np.pad(image, ((0, 0), (0, 0), (up, up), (left, left)), constant_values=0)
    channels, height, width = kernel.shape[1:]
    each = kernel.shape[0] // op.groups
    result = np.empty((len(image), *out.shape[1:]), dtype=object)
    for y, x in np.ndindex(*out.shape[2:]):
        rows = [y * down + i * wide for i in range(height)]
        patch = image[:, :, rows][:, :, :, [x * right + i * far for i in range(width)]]
        for g in range(op.groups):
            rows = patch[:, g * channels : (g + 1) * channels].reshape(len(image), -1)
            result[:, g * each : (g + 1) * each, y, x] = rows @ kernel[g * each : (g + 1) * each].reshape(each, -1).T
    return result


def requantize(op, values, specs, out):
    """S4."""
    x = meant(values[0], specs[0])
    multiplier, shift = along(op.multiplier, op.axis, x.ndim), along(op.shift, op.axis, x.ndim)
    offset = along(op.offset, op.axis, x.ndim) if op.offset else 0
    return finished(x * multiplier + offset, shift, op, out)


def encode(op, values, specs, out):
    """S14: the number of thresholds at or below q - zero_point, then the code of the index-th smallest value."""
    q, axis = meant(values[0], specs[0]), op.spec.axis
    if hasattr(op.spec, "significand"):
        table = table_of(op.spec)
        order = [table.index(value) for value in sorted(set(table))]
    else:
        order = [-1, 1]
    rows = unbounded(op.thresholds).reshape(-1, len(order) - 1)
    index = sum((q >= along(rows[:, i], axis, q.ndim)) * 1 for i in range(len(order) - 1))
    return looked_up(order, index)


def add(op, values, specs, out):
    """S10: exact, then saturated where a width is stated."""
    exact = values[0] + values[1]
    return clamp(exact, out.quant.qmin, out.quant.qmax) if op.bits else exact


def mean(op, values, specs, out):
    """S10: the sum; the division is a label."""
    return values[0].sum(axis=op.axes, keepdims=op.keep)


def relu(op, values, specs, out):
    """S10."""
    return np.maximum(values[0], along(out.quant.zero_point, out.quant.axis, values[0].ndim))


def pooled(op, x, out, dilation, of):
    """`of` the elements of the image in each window; what lies beside it is none of them."""
    result = np.empty((len(x), *out.shape[1:]), dtype=object)
    for place in np.ndindex(*out.shape[2:]):
        starts = [i * s - p for i, s, p in zip(place, op.stride, op.padding, strict=True)]
        taken = [[f + i * d for i in range(k)] for f, k, d in zip(starts, op.kernel, dilation, strict=True)]
        rows, columns = ([i for i in t if 0 <= i < size] for t, size in zip(taken, x.shape[2:], strict=True))
        result[:, :, *place] = of(x[:, :, rows][:, :, :, columns], axis=(2, 3))
    return result


def maxpool2d(op, values, specs, out):
    """S10."""
    return pooled(op, values[0], out, op.dilation, np.max)


def avgpool2d(op, values, specs, out):
    """S10: the sum; the division is a label."""
    return pooled(op, values[0], out, (1, 1), np.sum)


def pad(op, values, specs, out):
    """S9: zeros, or the lowest codes."""
    (x,) = values
    zero = along(out.quant.zero_point, out.quant.axis, x.ndim)
    result = np.empty((len(x), *out.shape[1:]), dtype=object)
    result[:] = out.quant.qmin if op.lowest else zero
    result[tuple(slice(b, b + size) for b, size in zip(op.before, x.shape, strict=True))] = x
    return result


def reshape(op, values, specs, out):
    """S9: the batch takes what is left."""
    return values[0].reshape((-1, *op.shape[1:]) if out.batched else op.shape)


def transpose(op, values, specs, out):
    """S9."""
    return values[0].transpose(op.order)


def slice_(op, values, specs, out):
    """S9: elements start, start + step, ... before stop."""
    kept = values[0].take(range(op.start, op.stop, op.step), op.axis)
    return kept.squeeze(op.axis) if op.drop else kept


def concat(op, values, specs, out):
    """S9: a constant is repeated for every image."""
    batch = max(len(value) for value in values) if out.batched else None
    parts = [value if batch in (None, len(value)) else value.repeat(batch, axis=0) for value in values]
    return np.concatenate(parts, axis=op.axis)


def roll(op, values, specs, out):
    """S9: element i goes to i + shift, modulo the size."""
    x = values[0]
    for shift, axis in zip(op.shifts, op.axes, strict=True):
        size = x.shape[axis]
        x = x.take([(i - shift) % size for i in range(size)], axis)
    return x


def ilayernorm(op, values, specs, out):
    """S11a."""
    q = meant(values[0], specs[0]) << op.fraction
    size, k = q.shape[-1], op.reciprocal_bits
    y = q - (2 * total(q) + size) // (2 * size)
    s = np.maximum(isqrt(total(y * y) + op.epsilon), 1)
    n = (y * ((1 << k) // s)) >> (k - 30)
    return finished(n * unbounded(op.gain) + unbounded(op.offset), op.shift, op, out)


def ptflayernorm(op, values, specs, out):
    """S11b."""
    q = shifted(meant(values[0], specs[0]), unbounded(op.alpha))
    size, m = q.shape[-1], op.multiplier_bits
    y = size * q - total(q)
    s = np.maximum(isqrt(size * total(q * q) - total(q) ** 2 + op.epsilon), 1)
    right = m - 1 + bit_length(s)
    n = shifted(y * np.minimum((1 << right) // s, (1 << m) - 1), 22 - right)
    return finished(n * unbounded(op.gain) + unbounded(op.offset), op.shift, op, out)


def below(x):
    """S12: x = q - max q, over the last axis."""
    return x - x.max(axis=-1, keepdims=True)


def halved(p, unit, halvings):
    """S12a, S12b, S13c: p held at -halvings * unit; z = floor(-p / unit) and r = p + z * unit."""
    p = np.maximum(p, -halvings * unit)
    z = -p // unit
    return z, p + z * unit


def probabilities(op, e, numerator, half):
    """S12: the factor of a row, and the codes."""
    down = op.reciprocal_bits - op.bits
    return np.minimum((e * (numerator // total(e)) + half) >> down, (1 << op.bits) - 1)


def by_log2_e(v):
    """S12a, S13c: v times log2(e), about."""
    return v + (v >> 1) - (v >> 4)


def shiftmax(op, values, specs, out):
    """S12a."""
    z, r = halved(by_log2_e(below(values[0])), op.unit, op.halvings)
    e = ((r >> 1) + op.unit) << op.fraction_bits >> z
    return probabilities(op, e, (1 << op.reciprocal_bits) - 1, 0)


def polynomial(op, x):
    """S12b: the weights e."""
    z, r = halved(below(x), op.ln2, op.halvings)
    return (r * (r + op.b) + op.c) << op.fraction_bits >> z


def ibertsoftmax(op, values, specs, out):
    """S12b."""
    return probabilities(op, polynomial(op, values[0]), 1 << op.reciprocal_bits, 0)


def logintsoftmax(op, values, specs, out):
    """S12c: as many as there are j, from 0 and before the last code, for which sum < 1.5 * 2^j * e does not hold yet."""
    e = polynomial(op, values[0])
    return unbounded(sum((2 * total(e) >= 3 * 2**j * e) * 1 for j in range(2**op.bits - 1)))


def tablesoftmax(op, values, specs, out):
    """S12d."""
    e = looked_up(op.table, -below(values[0]))
    return probabilities(op, e, 1 << op.reciprocal_bits, 1 << (op.reciprocal_bits - op.bits - 1))


def lookup(op, values, specs, out):
    """S13a."""
    return looked_up(op.table, values[0] - specs[0].quant.qmin)


def igelu(op, values, specs, out):
    """S13b."""
    q = meant(values[0], specs[0])
    u = np.minimum(abs(q) << op.fraction, op.b) - op.b
    w = (np.sign(q) * (op.c - u * u) + op.c) >> op.erf_shift
    return finished(q * w, op.shift, op, out)


def shiftgelu(op, values, specs, out):
    """S13c."""
    q = meant(values[0], specs[0])
    top = np.maximum(q.max(axis=-1, keepdims=True), 0)

    def e(q):
        k, r = halved(by_log2_e((q - top) << op.fraction), op.unit, op.halvings)
        return ((r >> 1) + op.unit) << (op.halvings - k)

    w = (1 << (op.sigmoid_bits - 1)) * e(q) // (e(q) + e(0))
    return finished(q * w, op.shift, op, out)


PRODUCTS = linear, matmul, conv2d
GRIDS = requantize, encode, add, mean, relu, maxpool2d, avgpool2d
LAYOUT = reshape, transpose, slice_, concat, roll, pad
NORMS = ilayernorm, ptflayernorm
SOFTMAXES = shiftmax, ibertsoftmax, logintsoftmax, tablesoftmax
GELUS = lookup, igelu, shiftgelu
RULES = {rule.__name__.rstrip("_"): rule for rule in (*PRODUCTS, *GRIDS, *LAYOUT, *NORMS, *SOFTMAXES, *GELUS)}
"""By the operator's name in lower case, as in the catalogue."""
