"""One quantized model written down twice, as ONNX and as a Graph, and run in both: ONNX Runtime and our simulator."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from hwsim.graph import Node, build
from hwsim.op import Array
from hwsim.ops.conv2d import Conv2d
from hwsim.ops.dequantize import Dequantize
from hwsim.ops.linear import Linear
from hwsim.ops.matmul import MatMul
from hwsim.ops.quantize import Quantize
from hwsim.ops.requantize import Requantize
from hwsim.ops.reshape import Reshape
from hwsim.ops.transpose import Transpose
from hwsim.simulator import simulate
from hwsim.spec import QuantSpec, TensorSpec


class Twin:
    """Its methods add one step to both and give the name of its value. `x` is the input, floats of `shape` per image.

    Weights are (codes, grid) as ONNX lays them out; scales must be float32 numbers.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.specs = {"x": TensorSpec((1, *shape))}
        self.constants: dict[str, tuple[Array, TensorSpec]] = {}
        self.nodes: list[Node] = []
        self.onnx_nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def quantize(self, x: str, grid: QuantSpec) -> str:
        """QuantizeLinear."""
        return self._both("QuantizeLinear", [x, *self._grid(grid)], self._ours(Quantize(grid), x))

    def dequantize(self, x: str) -> str:
        """DequantizeLinear."""
        return self._both("DequantizeLinear", [x, *self._grid(self.specs[x].quant)], self._ours(Dequantize(), x))

    def transpose(self, x: str, order: tuple[int, ...]) -> str:
        """Transpose; the batch stays in front."""
        return self._both("Transpose", [x], self._ours(Transpose(order), x), perm=order)

    def reshape(self, x: str, shape: tuple[int, ...]) -> str:
        """Reshape to `shape` per image."""
        target = self._initializer(np.array([-1, *shape], np.int64))
        return self._both("Reshape", [x, target], self._ours(Reshape((1, *shape)), x))

    def matmul_integer(self, x: str, weight: tuple[Array, QuantSpec]) -> str:
        """MatMulInteger with a constant (K, N)."""
        operands = [x, self._initializer(weight[0]), self._zero(x), self._zeros(weight[1])]
        return self._both("MatMulInteger", operands, self._ours(Linear(), x, self._constant(weight[0].T, weight[1])))

    def conv_integer(self, x: str, weight: tuple[Array, QuantSpec], **geometry) -> str:
        """ConvInteger with a constant (O, C / groups, KH, KW)."""
        operands = [x, self._initializer(weight[0]), self._zero(x), self._zeros(weight[1])]
        ours = self._ours(Conv2d(**geometry), x, self._constant(*weight))
        return self._both("ConvInteger", operands, ours, **_attributes(**geometry))

    def qlinear_matmul(self, x: str, other: str | tuple[Array, QuantSpec], out: QuantSpec) -> str:
        """QLinearMatMul with a constant (K, N), or with another activation."""
        if isinstance(other, str):
            right = [other, *self._grid(self.specs[other].quant)]
            acc = self._ours(MatMul(), x, other)
        else:
            right = [self._initializer(other[0]), *self._grid(other[1])]
            acc = self._ours(Linear(), x, self._constant(other[0].T, other[1]))
        operands = [x, *self._grid(self.specs[x].quant), *right, *self._grid(out)]
        return self._both("QLinearMatMul", operands, self._ours(Requantize.between(self.specs[acc], out), acc))

    def qlinear_conv(self, x: str, weight: tuple[Array, QuantSpec], out: QuantSpec, **geometry) -> str:
        """QLinearConv with a constant (O, C / groups, KH, KW)."""
        right = [self._initializer(weight[0]), *self._grid(weight[1])]
        acc = self._ours(Conv2d(**geometry), x, self._constant(*weight))
        operands = [x, *self._grid(self.specs[x].quant), *right, *self._grid(out)]
        ours = self._ours(Requantize.between(self.specs[acc], out), acc)
        return self._both("QLinearConv", operands, ours, **_attributes(**geometry))

    def run(self, images: Array, output: str, keep: tuple[str, ...] = ()) -> tuple[Array, ...]:
        """The value `output` of both, ours first, then those of `keep`, ours alone; images are (B, ...) of float32."""
        graph = build("twin", {"x": self.specs["x"]}, self.constants, self.nodes, [output])
        ours = simulate(graph, {"x": images.astype(np.float64)}, keep, threads=1, chunk=len(images))
        feed = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
        result = onnx.ValueInfoProto(name=output)  # its type is inferred
        model = helper.make_model(
            helper.make_graph(self.onnx_nodes, "twin", [feed], [result], self.initializers),
            opset_imports=[helper.make_opsetid("", 21)],
            ir_version=10,
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        (theirs,) = session.run([output], {"x": images})
        return (ours[output], theirs, *(ours[name] for name in keep))

    def _ours(self, op, *inputs: str) -> str:
        name = f"v{len(self.nodes)}"
        self.specs[name] = op.infer(tuple(self.specs[operand] for operand in inputs))
        self.nodes.append(Node(name, op, inputs))
        return name

    def _both(self, op_type: str, operands: list[str], name: str, **attributes) -> str:
        self.onnx_nodes.append(helper.make_node(op_type, operands, [name], **attributes))
        return name

    def _constant(self, codes: Array, grid: QuantSpec) -> str:
        name = f"c{len(self.constants)}"
        axis = 0 if grid.axis is not None else None
        self.specs[name] = TensorSpec(codes.shape, grid.moved_to(axis), batched=False)
        self.constants[name] = (np.ascontiguousarray(codes), self.specs[name])
        return name

    def _initializer(self, array: Array) -> str:
        name = f"i{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _grid(self, grid: QuantSpec) -> list[str]:
        scale = np.array(grid.scale if grid.axis is not None else grid.scale[0], np.float32)
        assert scale.ravel().astype(np.float64).tolist() == list(grid.scale)
        return [self._initializer(scale), self._zeros(grid)]

    def _zeros(self, grid: QuantSpec) -> str:
        return self._initializer(
            np.array(grid.zero_point if grid.axis is not None else grid.zero_point[0], grid.container)
        )

    def _zero(self, x: str) -> str:
        return self._zeros(self.specs[x].quant)


def _attributes(stride: tuple[int, int], padding: tuple[int, int], groups: int) -> dict:
    return {"strides": stride, "pads": [*padding, *padding], "group": groups}
