"""Every tier is compiled to the instructions that it is named after, for a CPU that has them all; nothing of it is run."""

import json
import os
import platform
import subprocess
import sys

import pytest

CODE = """
import json, re
from numba import boolean, int32, int64, types, uint8
from hwsim.kernels.simd.instructions import Vpdpbusd
from hwsim.kernels.simd.matrix import Amx, MatrixTiles
from hwsim.kernels.simd.product import drive
from hwsim.kernels.tiers.avx2 import Avx2
from hwsim.kernels.tiers.avx512vnni import Avx512Vnni
from hwsim.kernels.tiers.avxvnni import AvxVnni

words, quads = types.Array(int32, 2, "C"), types.Array(int64, 2, "C")
constants = words, words, quads, words, words
signature = (
    int64, types.Array(int64, 1, "C"), int64, types.Array(uint8, 2, "C"), words, words, *constants, *[int64] * 3, boolean,
    *[int64] * 4, types.Array(int64, 1, "C"), types.Array(int64, 1, "C"),
)
drivers = {kind.name: kind().driver for kind in (Avx2, AvxVnni, Avx512Vnni)}
found = {}
for name, driver in {"amx": drive("amx", MatrixTiles(Amx(), Vpdpbusd(16))), **drivers}.items():
    driver.product.compile(signature)
    (text,) = driver.product.inspect_asm().values()
    pattern = r"^\\s+(vpdpbusd|vpmaddubsw|t\\w*tile\\w*|ld\\w*tile\\w*|tile\\w+|tdp\\w+)\\b(?:.*([xyz]mm))?"
    found[name] = sorted({" ".join(filter(None, match)) for match in re.findall(pattern, text, re.MULTILINE)})
print(json.dumps(found))
"""


@pytest.mark.slow
def test_each_tier_is_compiled_to_its_instructions(tmp_path):
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(f"LLVM compiles for {platform.machine()} here")
    environment = {"NUMBA_CPU_NAME": "sapphirerapids", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "amx": ["ldtilecfg", "tdpbusd", "tileloadd", "tilerelease", "tilestored", "tilezero"],
        "avx2": ["vpmaddubsw ymm"],
        "avxvnni": ["vpdpbusd ymm"],
        "avx512vnni": ["vpdpbusd zmm"],
    }
