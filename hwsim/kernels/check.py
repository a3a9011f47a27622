"""Do the kernels compile on this CPU, and do they compute what Python's unbounded integers compute?"""

import time

import numpy as np

from hwsim.kernels.gemm import gemm


def check_kernels() -> dict[str, str]:
    """Facts for `hwsim doctor`: what compiles for which CPU, how fast, and whether a product is exact."""
    from llvmlite import binding
    from numba import __version__ as numba_version

    generator = np.random.default_rng(0)
    a = generator.integers(-255, 256, (1, 197, 384)).astype(np.int32)
    b = generator.integers(-128, 128, (1, 384, 384)).astype(np.int16)
    out = np.empty((1, 197, 384), dtype=np.int32)
    start = time.perf_counter()
    gemm(a, b, out)
    first = time.perf_counter() - start
    start = time.perf_counter()
    gemm(a, b, out)
    rate = a.shape[1] * a.shape[2] * b.shape[2] / (time.perf_counter() - start) / 1e9
    exact = [sum(int(x) * int(y) for x, y in zip(a[0, i], b[0, :, i], strict=True)) for i in range(197)]
    right = exact == np.diagonal(out[0]).tolist()
    return {
        "numba": f"{numba_version}, CPU {binding.get_host_cpu_name()}",
        "kernels": f"portable, {'exact' if right else 'WRONG'}; first call {first:.2f} s, then {rate:.1f} GMAC/s",
    }
