"""ONNX operators that timm's less usual transformers need, in terms of ours: float islands all."""

from onnx_cases import Case, any_format, apply, real

from hwsim.op import Array
from hwsim.ops.clip import Clip
from hwsim.ops.div import Div
from hwsim.ops.reducel2 import ReduceL2
from hwsim.ops.rmsnorm import RmsNorm
from hwsim.ops.sigmoid import Sigmoid
from hwsim.ops.silu import Silu
from hwsim.ops.sub import Sub


def sigmoid(case: Case) -> list[Array]:
    return [apply(Sigmoid(), real(case.inputs[0]))[0]]


def swish(case: Case) -> list[Array]:
    assert case.attributes.get("alpha", 1.0) == 1.0
    return [apply(Silu(), real(case.inputs[0]))[0]]


def rms_normalization(case: Case) -> list[Array]:
    """The axes behind `axis` as one."""
    x, weight = case.inputs
    axis = case.attributes.get("axis", -1) % x.ndim
    op = RmsNorm(case.attributes.get("epsilon", 1e-5))
    return [apply(op, real(x.reshape(*x.shape[:axis], -1)), real(weight.ravel()))[0].reshape(x.shape)]


def reduce_l2(case: Case) -> list[Array]:
    """The axes that are summed as the last one."""
    x, axes = case.inputs
    summed = [axis % x.ndim for axis in axes.tolist()] or list(range(x.ndim))
    kept = [axis for axis in range(x.ndim) if axis not in summed]
    rows = x.transpose(*kept, *summed).reshape(*(x.shape[axis] for axis in kept), -1)
    return [apply(ReduceL2(), real(rows))[0].reshape(case.outputs[0].shape)]


def clip(case: Case) -> list[Array]:
    """A single bound is either, which the case's name says."""
    x, *bounds = case.inputs
    both = len(bounds) == 2
    least = float(bounds[0]) if both or "min" in case.name else None
    most = float(bounds[-1]) if both or "max" in case.name else None
    return [apply(Clip(least, most), any_format(x))[0]]


def sub(case: Case) -> list[Array]:
    return [apply(Sub(), *map(any_format, case.inputs))[0]]


def div(case: Case) -> list[Array]:
    return [apply(Div(), *map(any_format, case.inputs))[0]]
