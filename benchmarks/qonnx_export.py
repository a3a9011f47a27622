"""A model of timm as a QONNX file: exported for one image, with a Quant node before each operand of each product.

    python benchmarks/qonnx_export.py MODEL WBITS ABITS FILE

Weights are signed codes, other operands unsigned ones; the patch embedding and the head have 8 bits.
Scales are 1 and zero points 0 (with others qonnx takes codes for floats). Weights are random. Constants are folded
by ONNX Runtime first, in qonnx's favour: it folds one node at a time and infers all shapes again after each.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, helper, numpy_helper

DOMAIN = "qonnx.custom_op.general"
PRODUCTS = ("Conv", "MatMul", "Gemm")
ENDS_BITS = 8


def export(model: str, path: Path) -> None:
    """timm's float model with random weights as an ONNX file for one image."""
    import torch

    from qmodels import models

    torch.manual_seed(0)
    network = models.create(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older exporter: it needs no further packages
        torch.onnx.export(network, (torch.randn(1, 3, 224, 224),), path, dynamo=False, opset_version=17)


def folded(path: Path) -> ModelProto:
    """The model of the file without constant expressions and identities."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    providers = ["CPUExecutionProvider"]
    onnxruntime.InferenceSession(str(path), options, providers=providers, disabled_optimizers=["MatMulAddFusion"])
    return onnx.load(path)


def quantized(model: ModelProto, weight_bits: int, activation_bits: int) -> ModelProto:
    """`model` with Quant nodes; every product keeps its name."""
    weights = {tensor.name for tensor in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type in PRODUCTS]
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        for place in range(2) if node.op_type in PRODUCTS else ():
            constant = node.input[place] in weights
            inner = node not in (products[0], products[-1])
            bits = (weight_bits if constant else activation_bits) if inner else ENDS_BITS
            made = _quant(model, node.input[place], f"{node.name}_quant_{place}", bits, signed=constant)
            nodes.append(made)
            node.input[place] = made.output[0]
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return model


def _quant(model: ModelProto, value: str, name: str, bits: int, signed: bool) -> NodeProto:
    numbers = {"scale": 1.0, "zero": 0.0, "bits": float(bits)}
    inputs = [value]
    for what, number in numbers.items():
        inputs.append(f"{name}_{what}")
        model.graph.initializer.append(numpy_helper.from_array(np.array(number, np.float32), inputs[-1]))
    return helper.make_node(
        "Quant", inputs, [name], name, domain=DOMAIN, signed=int(signed), narrow=0, rounding_mode="ROUND"
    )


def main() -> None:
    """Write the file."""
    name, weight_bits, activation_bits, path = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    export(name, path)
    onnx.save(quantized(folded(path), weight_bits, activation_bits), path)


if __name__ == "__main__":
    main()
