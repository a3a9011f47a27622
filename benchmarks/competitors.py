"""Makers of what hwsim is compared with: torch and ONNX Runtime, each run as its users run it at its best.

Each maker gives a function that puts one batch of random images (B, 3, 224, 224) through the model, which has random
weights: time does not depend on them. What takes part:

    torch float32          timm's model in eval mode under no_grad; fused attention on and off, channels_last (the best)
    torch fake quant       our own model (`qmodels`), float32, eager
    the same, compiled     by inductor, with the quantizer in plain torch operators that it fuses
    ONNX Runtime           `ort_models`: float32, the best int8 dynamic and static; several threads spinning and not

The first and the last are chosen anew for every model (`model_cases.choose`). Tried, and not faster: torch.compile of the
float model (1.00), inductor's freezing (0.99), torch.compile with the quantizer as the custom operator it is (slower
than eager). Workers of torch and ONNX Runtime keep freed memory, which spares torch page faults (up to 5 %).
"""

import functools
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
from worker import Skip

KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "-1", "MALLOC_TOP_PAD_": "268435456"}
"""glibc: keep freed memory in the process; page faults cost torch up to 5 %."""

Call = Callable[[], object]


def images(batch: int) -> "np.ndarray[Any, Any]":
    """The same random images (batch, 3, 224, 224), float32, for everybody."""
    return np.random.default_rng(0).standard_normal((batch, 3, 224, 224), dtype=np.float32)


def torch_float(model: str, batch: int, threads: int, fused: bool = False, channels_last: bool = False) -> Call:
    """timm's float32 model. `fused`: by scaled_dot_product_attention."""
    import torch

    from qmodels import models

    torch.manual_seed(0)
    network = models.create(model)
    for module in network.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = fused
    return _torch_call(network, batch, threads, channels_last, False)


def fake_quant(workload: str, batch: int, threads: int, compiled: bool = False) -> Call:
    """Our fake-quant model. `compiled`: with the quantizer in torch operators instead of one that is custom."""
    import torch

    from qmodels import builder
    from qmodels import fake_quantize as operators
    from qmodels.quantizers import lsq, lsq_plus

    network = builder.build(workload)
    if compiled:

        def fake_quantize(x, scale, zero_point, qmin, qmax, axis, grad_factor):  # type: ignore[no-untyped-def]
            s = operators.along(scale, x, axis)
            z = operators.along(zero_point.round().clamp(qmin, qmax), x, axis)
            return (torch.clamp(torch.round(x / s) + z, qmin, qmax) - z) * s

        lsq.fake_quantize = lsq_plus.fake_quantize = fake_quantize
    return _torch_call(network, batch, threads, False, compiled)


def _torch_call(network: Any, batch: int, threads: int, channels_last: bool, compiled: bool) -> Call:
    import torch

    feed = torch.from_numpy(images(batch))
    if channels_last:
        network, feed = network.to(memory_format=torch.channels_last), feed.to(memory_format=torch.channels_last)
    torch.set_num_threads(threads)
    if compiled:
        if shutil.which("g++") is None and shutil.which("clang++") is None:
            raise Skip("torch.compile needs a C++ compiler, got none; install g++")
        network = torch.compile(network)

    def call() -> object:
        torch.set_num_threads(threads)
        with torch.no_grad():
            return network(feed)

    return call


def onnx(path: str, batch: int, threads: int, spin: bool = False) -> Call:
    """An ONNX file in ONNX Runtime, all graph optimisations on."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
    options.add_free_dimension_override_by_name("batch", batch)  # shapes known: nothing is left to compute at run time
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return functools.partial(session.run, None, {"input": images(batch)})
