"""From a torch model to the Graph: torch.export captures it, and each ATen operator becomes one of ours (`aten/`).

The model is copied to float64, so that every constant of the graph is the number that the fake-quant model has in
float64. A quantizer is one `hwsim::` node: on an activation it becomes Quantize, on a weight integer codes. A value that
was quantized travels as codes through layout operators into the products; where a float operator reads it, a Dequantize
is put between. What does not depend on the input is evaluated here (Swin's masks and position biases).

A model on the meta device has shapes and no numbers. Its graph is right for shapes and costs alone: every constant is 1,
every code 1, every zero point the middle code where it is learned, else 0, and none takes memory. It is traced without
a copy of the weights.
"""

import copy
import operator
from collections.abc import Collection, Mapping
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.export.graph_signature import InputKind, InputSpec
from torch.utils._pytree import tree_leaves, tree_map_only

from hwsim.cost.groups import ENDS, group_of
from hwsim.errors import HwsimError, IllegalModel
from hwsim.graph import Graph, build
from hwsim.spec import FLOAT_BITS, TensorSpec
from qmodels.aten import RULES
from qmodels.layers.rectifier import Rectifier
from qmodels.quantizer import Quantizer
from qmodels.tracer import Activation, Constant, Site, Tracer, array_of
from workloads.bits import Bits

INPUT = "input"
QUANTIZERS = ("hwsim.fake_quantize", "hwsim.binarize", "hwsim.shift_quantize")
BATCH = 509
"""How many images a captured program is of: a prime that divides no other axis, so that each shape shows its batch axis.
A size that torch keeps as a symbol would do the same, but capturing takes more than twice as long with one."""
VIEWS = (
    *("aten.view", "aten.reshape", "aten.flatten", "aten.unsqueeze", "aten.squeeze", "aten.permute", "aten.transpose"),
    *("aten.select", "aten.slice", "aten.unbind", "aten.expand", "aten.alias", "aten.detach"),
)
"""Operators whose result may share memory with their operand."""
ARITHMETIC = ("aten.add", "aten.sub", "aten.mul", "aten.div", "aten.pow", "aten.clamp_min")
"""Operators whose plain numbers are operands, in which the number of images would go unnoticed."""
REPEATING = ("aten.expand", "aten.cat")
"""Operators that take a constant repeated for every image as a constant."""


def trace(model: nn.Module, example: Tensor, name: str = "model", meta: Mapping[str, Any] | None = None) -> Graph:
    """The graph of `model` in mixed form: products of quantized operands are integer, the rest float islands.

    example: images (B, ...), of which only the shape matters. Raises IllegalModel naming the module where the model
    holds an operator without a rule, or a granularity that no integer product can execute. The graph's `meta` says how
    many parameters the model has, whether a method put norms on q and k (`rectified`), how many multiply-accumulates
    of constants were done here, once (`folded_macs`), and which constants are gains of 1 and shifts of 0 that norms of
    the model do not have (`neutral`).
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
            value = values[node] = _call(node, values, tracer)
            if isinstance(value, Activation) and not value.order and value.name not in shapes:
                shapes[value.name] = _checked(value.name, node.meta["val"].shape)
        elif node.op == "output":
            outputs = [tracer.real(values[value]) for value in node.args[0]]
    facts = {"parameters": parameters(model), "folded_macs": tracer.folded_macs, "rectified": rectified(model)}
    facts.update({"neutral": tuple(tracer.neutral)} if tracer.neutral else {})
    facts.update(meta or {})
    graph = build(name, {INPUT: TensorSpec((1, *image))}, tracer.constants, tracer.nodes, outputs, facts)
    for value, shape in shapes.items():
        if value in graph.specs and graph.specs[value].shape != shape:
            raise IllegalModel(
                f"{value}: must have the shape {shape}, got {graph.specs[value].shape}; mend its rule in qmodels/aten"
            )
    return graph


def need_quantized(graph: Graph, bits: Bits, floats: Collection[str] = ()) -> None:
    """Raise IllegalModel where `bits` quantize both operands of every product, and one that is not among `floats` is not."""
    if FLOAT_BITS in (bits.weights, bits.activations):
        return
    for node in graph.nodes:
        out, group = graph.specs[node.name], group_of(node.name, node.op)
        if group == "elementwise" or out.quant is not None or node.name in floats:
            continue
        if group in ENDS and bits.ends == FLOAT_BITS:
            continue
        raise IllegalModel(
            f"{node.name}: every product of a model at {bits} has quantized operands, got "
            f"{' and '.join(map(str, graph.inputs_of(node)))}; where it is one of an attention, add the class of "
            f"{node.name.rpartition('.')[0] or 'the model'} to qmodels/layers/quant_products.py"
        )


def rectified(model: nn.Module) -> bool:
    """Whether a method put norms of its own on q and k; norms there are else the model's."""
    return any(isinstance(module, Rectifier) for module in model.modules())


def parameters(model: nn.Module) -> int:
    """How many parameters the model has, those of its quantizers not counted."""
    quantizers = {id(p) for m in model.modules() if isinstance(m, Quantizer) for p in m.parameters()}
    return sum(p.numel() for p in model.parameters() if id(p) not in quantizers)


def node_name(quantizer_path: str) -> str:
    """The graph's name of the codes that the quantizer at this module path makes."""
    return quantizer_path.removesuffix("_quantizer")


def capture(model: nn.Module, image: tuple[int, ...]) -> torch.export.ExportedProgram:
    """A float64 copy of `model` in eval mode as torch.export sees it, on BATCH images of the shape `image`."""
    double = copy.deepcopy(model).double().eval().requires_grad_(False)
    device = next((p.device for p in double.parameters()), None)
    images = torch.empty(BATCH, *image, dtype=torch.float64, device=device)  # looked at by nobody: no memory is touched
    try:
        return torch.export.export(double, (images,), strict=False)
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
    return Constant(state[spec.target].detach(), spec.target, learned=spec.kind == InputKind.PARAMETER)


def _call(node: torch.fx.Node, values: Mapping[torch.fx.Node, Any], tracer: Tracer) -> Any:
    """The value of one captured call: evaluated where it reads constants alone, else by its rule."""
    args = torch.fx.map_arg(node.args, values.__getitem__)
    kwargs = torch.fx.map_arg(node.kwargs, values.__getitem__)
    if node.target is operator.getitem:
        return args[0][args[1]]
    results = [v for v in tree_leaves(node.meta.get("val")) if isinstance(v, Tensor)]
    if not results:
        return None  # sizes and assertions: shapes are read from the capture itself
    packet = packet_of(node).removesuffix("_") if _writes(node) else packet_of(node)
    stack = list((node.meta.get("nn_module_stack") or {"": ("", "model")}).values())
    path, kind = stack[-1]
    if packet not in REPEATING:
        args, kwargs = tree_map_only(Constant, lambda c: _once(c, tracer), (args, kwargs))
    leaves = tree_leaves((args, kwargs))
    if packet in ARITHMETIC:
        _need_free_of_batch(path, leaves)
    repeats = packet == "aten.expand" and _batched(results[0].shape[0])
    if packet not in QUANTIZERS and not repeats and not any(isinstance(leaf, Activation) for leaf in leaves):
        if packet in ("aten.linear", "aten.matmul"):
            tracer.folded_macs += results[0].numel() * leaves[0].tensor.shape[-1]
        return _evaluated(node, args, kwargs, tracer)
    if packet not in RULES:
        raise IllegalModel(
            f"{path or 'model'}: every operator needs a rule, got {packet} in {kind}; add one to qmodels/aten and, "
            "where it is new arithmetic, a file to hwsim/ops"
        )
    shapes = tuple(_per_image(result.shape) for result in results)
    arguments = (tracer, Site(path, shapes[0], shapes), *args)
    try:
        signature(RULES[packet]).bind(*arguments, **kwargs)
    except TypeError as error:
        raise IllegalModel(
            f"{path or 'model'}: {packet} has a rule for other arguments, got {str(error).removeprefix('got ')}; extend "
            "it in qmodels/aten"
        ) from None
    return RULES[packet](*arguments, **kwargs)


def _need_free_of_batch(path: str, operands: list[Any]) -> None:
    """Raise IllegalModel where a number is made of the batch: a multiple of it, its inverse, or a root of either."""
    for value in (abs(v) for v in operands if isinstance(v, int | float) and not isinstance(v, bool) and v):
        for size in (value, 1 / value, value**2, 1 / value**2):
            whole = round(size / BATCH) * BATCH if size < 1e12 else 0
            if whole and abs(size - whole) < 1e-12 * size:
                raise IllegalModel(
                    f"{path or 'model'}: a value must not depend on how many images there are, got {value:g} of {BATCH}; "
                    "leave the batch out of arithmetic"
                )


def _writes(node: torch.fx.Node) -> bool:
    """Whether the call writes its result over its first operand; IllegalModel where views share that memory.

    Who reads the operand afterwards reads the call: so torch.export writes it down.
    """
    packet = packet_of(node)
    if not packet.startswith("aten.") or not packet.endswith("_") or packet.endswith("__"):
        return False
    (target, *_), path = node.args, str(list((node.meta.get("nn_module_stack") or {"": ("", "")}).values())[-1][0])
    shared = packet_of(target) in VIEWS or any(packet_of(user) in VIEWS for user in target.users)
    if shared:
        raise IllegalModel(f"{path or 'model'}: what is written in place must have no views, got {packet}; copy it")
    return True


def _once(constant: Constant, tracer: Tracer) -> Activation | Constant:
    """What the model repeats for every image and then computes with is computed in the graph, there once."""
    if not constant.repeated:
        return constant
    return Activation(tracer.constant(constant.name, array_of(constant.tensor), wide=True))


def _per_image(shape: torch.Size) -> tuple[int, ...]:
    """The shape for one image."""
    return tuple(size // BATCH if _batched(size) else size for size in shape)


def _checked(value: str, shape: torch.Size) -> tuple[int, ...]:
    """The shape for one image of an activation, whose leading axis must be the batch, and no other."""
    batch = [axis for axis, size in enumerate(shape) if _batched(size)]
    if batch[:1] == [0] and len(batch) > 1:
        raise IllegalModel(
            f"{value}: {BATCH} marks the batch, so that no other axis may be a multiple of it, got {tuple(shape[1:])}; "
            "choose another size"
        )
    if batch != [0]:
        raise IllegalModel(
            f"{value}: the batch must stay the leading axis, got it at {batch} of {len(shape)}; reorder it"
        )
    return _per_image(shape)


def _batched(size: int) -> bool:
    """Whether an axis of this size counts images, or their windows."""
    return size > 0 and size % BATCH == 0


def _evaluated(node: torch.fx.Node, args: Any, kwargs: Any, tracer: Tracer) -> Any:
    plain_args, plain_kwargs = tree_map_only(Constant, tracer.tensor_of, (args, kwargs))
    assert callable(node.target)
    return tree_map_only(Tensor, lambda t: Constant(t, node.name), node.target(*plain_args, **plain_kwargs))
