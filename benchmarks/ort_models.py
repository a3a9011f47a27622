"""ONNX files of timm's float models, quantized in every way that might be the fastest; made once, kept under out/bench.

    python benchmarks/ort_models.py MODEL FOLDER      # as `prepare` calls it, in a process of its own

Each is made from the same export (batch free) with ONNX Runtime's own tools: `float`; `dynamic-u8s8` (matrix products with
constant weights in s8, activations quantized to u8 at run time), `-channel` with one scale per output channel, `-reduced`
with 7-bit weights (reduce_range, for CPUs without VNNI); `static-u8s8` and `static-s8s8` (QDQ form of all operators,
calibrated on two random images), `-products` of matrix products and convolutions alone.

Tried, and never faster: u8 weights (1.6 times slower), and graphs fused beforehand by onnxruntime.transformers (ONNX
Runtime fuses the same at load).
"""

import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def prepare(model: str, folder: Path) -> dict[str, Path]:
    """The files of `model` by name, made where they are not there yet."""
    place = folder / _version() / model
    if not (place / "done").exists():
        place.mkdir(parents=True, exist_ok=True)
        with (place / "log.txt").open("w") as log:  # its warnings are many
            subprocess.run([sys.executable, __file__, model, str(place)], check=True, stdout=log, stderr=log)
    return {path.stem: path for path in sorted(place.glob("*.onnx"))}


def _version() -> str:
    from importlib.metadata import version

    return "ort-" + "-".join(version(name) for name in ("torch", "timm", "onnxruntime"))


DYNAMIC: Mapping[str, Mapping[str, Any]] = {
    "dynamic-u8s8": {},
    "dynamic-u8s8-channel": {"per_channel": True},
    "dynamic-u8s8-reduced": {"reduce_range": True},
}
STATIC: Mapping[str, Mapping[str, Any]] = {
    "static-u8s8": {},
    "static-u8s8-reduced": {"reduce_range": True, "per_channel": True},
    "static-u8s8-products": {"op_types_to_quantize": ["MatMul", "Gemm", "Conv"]},
    "static-s8s8": {"signed": True},
}


def make(model: str, place: Path) -> None:
    """Write all files of `model` into `place`."""
    plain = place / "float.onnx"
    export(model, plain)
    for name, options in DYNAMIC.items():
        dynamic(plain, place / f"{name}.onnx", **options)
    for name, options in STATIC.items():
        static(plain, place / f"{name}.onnx", **options)
    (place / "done").touch()


def export(model: str, path: Path) -> None:
    """timm's float model with random weights as an ONNX file; input `input`, dimension `batch` free."""
    import torch

    from qmodels import models

    torch.manual_seed(0)
    network = models.create(model)
    for parameter in network.parameters():  # constants that are all alike would be shared, or folded away
        parameter.data += 0.01 * torch.randn_like(parameter)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older exporter: it needs no further packages
        torch.onnx.export(
            network,
            (torch.randn(2, 3, 224, 224),),
            path,
            dynamo=False,
            opset_version=17,
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
        )


def dynamic(source: Path, path: Path, **options: Any) -> None:
    """Weights of matrix products in int8, activations quantized at run time."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        source,
        path,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gemm"],
        **options,
        extra_options={"MatMulConstBOnly": True},
    )


def static(source: Path, path: Path, *, signed: bool = False, **options: Any) -> None:
    """Everything quantized ahead, QDQ form."""
    import numpy as np
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Random(CalibrationDataReader):
        def __init__(self) -> None:
            feed = np.random.default_rng(0).standard_normal((2, 3, 224, 224), dtype=np.float32)
            self.feeds: Iterator[dict[str, Any]] = iter([{"input": feed}])

        def get_next(self) -> dict[str, Any] | None:
            return next(self.feeds, None)

    quantize_static(
        source,
        path,
        Random(),
        quant_format=QuantFormat.QDQ,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
        **options,
    )


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]))
