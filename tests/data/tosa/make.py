"""Makes `cases.json` and `tensors.npz` beside it: official TOSA conformance tests of RESCALE and MATMUL, made small.

Runs in an environment of its own that holds tosa-tools (see README.md):  python make.py
The generator makes the tests, the reference model their results; each tensor is then cut to a few rows and columns.
"""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from tosa.DType import DType
from tosa.Op import Op
from tosa.RescaleAttribute import RescaleAttribute
from tosa.RoundingMode import RoundingMode
from tosa.TosaGraph import TosaGraph

GENERATE = (
    "tosa_verif_conformance_generator --op rescale matmul --profile tosa-pro-int --extension tosa-ext-int4 "
    "tosa-ext-doubleround tosa-ext-inexactround --test-type positive --output-type binary"
)
INEXACT = "_rmI_"
MODES = {RoundingMode.SINGLE_ROUND: "half_up", RoundingMode.DOUBLE_ROUND: "double_round"}
DTYPES = {DType.INT8: np.dtype("<i1"), DType.INT16: np.dtype("<i2"), DType.INT32: np.dtype("<i4")}
BATCH, ROWS, COLUMNS = 4, 8, 24
HERE = Path(__file__).parent


def some(size, limit):
    """Up to `limit` indices, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, size - 1, min(size, limit)).astype(int))


def read(folder):
    """The tested operator of a generated test, and the arrays of its operands and its result."""
    block = TosaGraph.GetRootAs((folder / "test.tosa").read_bytes(), 0).Regions(0).Blocks(0)
    operator = block.Operators(block.OperatorsLength() - 1)
    names = [operator.Inputs(i) for i in range(operator.InputsLength())] + [operator.Outputs(0)]
    tensors = {block.Tensors(i).Name(): block.Tensors(i) for i in range(block.TensorsLength())}
    return operator, [array(tensors[name], folder / f"{name.decode()}.npy") for name in names]


def array(tensor, path):
    """Data of a constant from the graph (padded there), of anything else from its file."""
    if not tensor.DataLength():
        return np.load(path)
    shape = [tensor.Shape(i) for i in range(tensor.ShapeLength())]
    return tensor.DataAsNumpy().view(DTYPES[tensor.Type()])[: int(np.prod(shape))].reshape(shape)


def rescale(operator, arrays):
    """A case of RESCALE: x and result as (rows, channels), one multiplier and shift, or one per channel."""
    table = RescaleAttribute()
    table.Init(operator.Attribute().Bytes, operator.Attribute().Pos)
    x, multiplier, shift, zero_in, zero_out, result = arrays
    x, zero_in = (a.view(f"u{a.itemsize}") if table.InputUnsigned() else a for a in (x, zero_in))
    result, zero_out = (a.view(f"u{a.itemsize}") if table.OutputUnsigned() else a for a in (result, zero_out))
    channels = x.shape[-1] if x.ndim else 1
    x, result = x.reshape(-1, channels), result.reshape(-1, channels)
    grid = np.ix_(some(len(x), ROWS), some(channels, COLUMNS))
    pick = grid[1][0] if table.PerChannel() else slice(None)
    attributes = {"rounding": MODES[table.RoundingMode()], "per_channel": table.PerChannel()}
    kept = {"x": x[grid], "multiplier": multiplier[pick], "shift": shift[pick], "result": result[grid]}
    return attributes, kept, {"x": zero_in, "result": zero_out}


def matmul(_, arrays):
    """A case of MATMUL: a (N, H, K) times b (N, K, W); the summed axis is kept whole."""
    a, b, zero_a, zero_b, result = arrays
    batch, rows, columns = some(len(a), BATCH), some(a.shape[1], ROWS), some(b.shape[2], COLUMNS)
    kept = {"a": a[batch][:, rows], "b": b[batch][:, :, columns], "result": result[np.ix_(batch, rows, columns)]}
    return {}, kept, {"a": zero_a, "b": zero_b}


def main():
    """Generate, execute, cut, write."""
    cases, parts = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(GENERATE.split(), cwd=scratch, check=True, capture_output=True)
        for description in sorted(Path(scratch, "conformance").rglob("desc.json")):
            folder = description.parent
            if INEXACT in folder.name:
                continue
            command = ["tosa_reference_model", f"--test_desc={description}", f"--output_dir={folder}"]
            subprocess.run(command, check=True, capture_output=True)
            operator, arrays = read(folder)
            name, cut = {Op.RESCALE: ("rescale", rescale), Op.MATMUL: ("matmul", matmul)}[operator.Op()]
            attributes, kept, zeros = cut(operator, arrays)
            case = {"name": folder.name, "op": name, **attributes, "tensors": {}}
            for key, value in kept.items():
                zero = [int(zeros[key][0])] if key in zeros else []
                case["tensors"][key] = [value.dtype.name, list(value.shape), *zero]
                parts.setdefault(value.dtype.name, []).append(value.reshape(-1))
            cases.append(case)
    np.savez_compressed(HERE / "tensors.npz", **{name: np.concatenate(each) for name, each in parts.items()})
    lines = ",\n".join(json.dumps(case) for case in cases)
    (HERE / "cases.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
