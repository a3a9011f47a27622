"""From a torch model to the Graph: torch.export captures it, and each ATen operator becomes one of ours (`aten.py`).

The model is copied to float64, so that every constant of the graph is the number that the fake-quant model has in
float64. A quantizer is one `hwsim::` node: on an activation it becomes Quantize, on a weight integer codes. A value that
was quantized travels as codes through layout operators into the products; where a float operator reads it, a Dequantize
is put between. What does not depend on the input is evaluated here (Swin's masks and position biases).
"""

import copy
import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.export.graph_signature import InputKind, InputSpec
from torch.utils._pytree import tree_leaves, tree_map_only

from hwsim.errors import HwsimError, IllegalModel
from hwsim.graph import Graph, build
from hwsim.spec import TensorSpec
from qmodels.aten import RULES
from qmodels.quantizer import Quantizer
from qmodels.tracer import Activation, Constant, Site, Tracer

INPUT = "input"
QUANTIZERS = ("hwsim.fake_quantize", "hwsim.binarize")


def trace(model: nn.Module, example: Tensor, name: str = "model", meta: Mapping[str, Any] | None = None) -> Graph:
    """The graph of `model` in mixed form: products of quantized operands are integer, the rest float islands.

    example: images (B, ...), of which only the shape matters. Raises IllegalModel naming the module where the model
    holds an operator without a rule, or a granularity that no integer product can execute.
    """
    image = tuple(example.shape[1:])
    program = capture(model, image)
    state = {**program.state_dict, **program.constants}
    inputs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
    tracer = Tracer(taken={INPUT})
    values: dict[torch.fx.Node, Any] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    outputs: list[str] = []
    for node in program.graph.nodes:
        if node.op == "placeholder":
            values[node] = _placeholder(inputs[node.name], state)
        elif node.op == "call_function":
            values[node] = _call(node, values, tracer)
            if isinstance(values[node], Activation) and not values[node].order:
                shapes[values[node].name] = _checked(values[node].name, node.meta["val"].shape)
        elif node.op == "output":
            outputs = [tracer.real(values[value]) for value in node.args[0]]
    facts = {"parameters": parameters(model), **(meta or {})}
    graph = build(name, {INPUT: TensorSpec((1, *image))}, tracer.constants, tracer.nodes, outputs, facts)
    for value, shape in shapes.items():
        if value in graph.specs and graph.specs[value].shape != shape:
            raise IllegalModel(
                f"{value}: must have the shape {shape}, got {graph.specs[value].shape}; mend its rule in aten.py"
            )
    return graph


def parameters(model: nn.Module) -> int:
    """How many parameters the model has, those of its quantizers not counted."""
    quantizers = {id(p) for m in model.modules() if isinstance(m, Quantizer) for p in m.parameters()}
    return sum(p.numel() for p in model.parameters() if id(p) not in quantizers)


def node_name(quantizer_path: str) -> str:
    """The graph's name of the codes that the quantizer at this module path makes."""
    return quantizer_path.removesuffix("_quantizer")


def capture(model: nn.Module, image: tuple[int, ...]) -> torch.export.ExportedProgram:
    """A float64 copy of `model` in eval mode as torch.export sees it, for any number of images of the shape `image`."""
    double = copy.deepcopy(model).double().eval()
    images = torch.zeros(2, *image, dtype=torch.float64)  # a batch of 1 would specialise
    try:
        return torch.export.export(double, (images,), dynamic_shapes=({0: torch.export.Dim.AUTO},), strict=False)
    except HwsimError:
        raise
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise IllegalModel(
            f"{type(model).__name__}: torch.export must be able to capture it on images {image}, got {reason}; mend it"
        ) from error


def packet_of(node: torch.fx.Node) -> str:
    """The operator that the node calls, without its overload: `aten.linear`, `hwsim.fake_quantize`."""
    return str(getattr(node.target, "overloadpacket", node.target))


def _placeholder(spec: InputSpec, state: Mapping[str, Any]) -> Activation | Constant:
    if spec.kind == InputKind.USER_INPUT:
        return Activation(INPUT)
    assert spec.target is not None
    return Constant(state[spec.target].detach(), spec.target)


def _call(node: torch.fx.Node, values: Mapping[torch.fx.Node, Any], tracer: Tracer) -> Any:
    """The value of one captured call: evaluated where it reads constants alone, else by its rule."""
    args = torch.fx.map_arg(node.args, values.__getitem__)
    kwargs = torch.fx.map_arg(node.kwargs, values.__getitem__)
    if node.target is operator.getitem:
        return args[0][args[1]]
    results = [v for v in tree_leaves(node.meta.get("val")) if isinstance(v, Tensor)]
    if not results:
        return None  # sizes and assertions: shapes are read from the capture itself
    packet = packet_of(node)
    stack = list((node.meta.get("nn_module_stack") or {"": ("", "model")}).values())
    path, kind = stack[-1]
    leaves = tree_leaves((args, kwargs))
    if packet not in (*QUANTIZERS, "aten.expand") and not any(isinstance(leaf, Activation) for leaf in leaves):
        return _evaluated(node, args, kwargs)
    if packet not in RULES:
        raise IllegalModel(
            f"{path or 'model'}: every operator needs a rule, got {packet} in {kind}; add one to qmodels/aten.py and, "
            "where it is new arithmetic, a file to hwsim/ops"
        )
    if packet == "aten.unbind":
        kwargs = {**kwargs, "count": len(results)}
    return RULES[packet](tracer, Site(path, _per_image(results[0].shape)), *args, **kwargs)


def _per_image(shape: torch.Size) -> tuple[int, ...]:
    """The shape for one image."""
    return tuple(
        int(size.node.expr.subs(dict.fromkeys(size.node.expr.free_symbols, 1)) if _symbolic(size) else size)
        for size in shape
    )


def _checked(value: str, shape: torch.Size) -> tuple[int, ...]:
    """The shape for one image of an activation, whose leading axis must be the batch, and no other."""
    batch = [axis for axis, size in enumerate(shape) if _symbolic(size)]
    if batch != [0]:
        raise IllegalModel(
            f"{value}: the batch must stay the leading axis, got it at {batch} of {len(shape)}; reorder it"
        )
    return _per_image(shape)


def _symbolic(size: Any) -> bool:
    return isinstance(size, torch.SymInt)


def _evaluated(node: torch.fx.Node, args: Any, kwargs: Any) -> Any:
    plain_args, plain_kwargs = tree_map_only(Constant, lambda c: c.tensor, (args, kwargs))
    assert callable(node.target)
    return tree_map_only(Tensor, lambda t: Constant(t, node.name), node.target(*plain_args, **plain_kwargs))
