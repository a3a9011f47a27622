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
    *[int64] * 5, types.Array(int64, 1, "C"), types.Array(int64, 1, "C"),
)
tiers = {kind.name: kind() for kind in (Avx2, AvxVnni, Avx512Vnni)}
drivers = {"amx": drive("amx", MatrixTiles(Amx(), Vpdpbusd(16)))}
drivers |= {name: tier.bytes.driver for name, tier in tiers.items()}
drivers |= {f"{name} words": tier.words.driver for name, tier in tiers.items()}
found = {}
for name, driver in drivers.items():
    driver.product.compile(signature)
    (text,) = driver.product.inspect_asm().values()
    pattern = r"^\\s+(vpdp\\w+|vpmadd\\w+|t\\w*tile\\w*|ld\\w*tile\\w*|tile\\w+|tdp\\w+)\\b(?:.*([xyz]mm))?"
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
        "avx2": ["vpmaddubsw ymm", "vpmaddwd ymm"],
        "avxvnni": ["vpdpbusd ymm"],
        "avx512vnni": ["vpdpbusd zmm"],
        "avx2 words": ["vpdpwssd ymm", "vpmaddwd ymm"],
        "avxvnni words": ["vpdpwssd ymm", "vpmaddwd ymm"],
        "avx512vnni words": ["vpdpwssd zmm", "vpmaddwd zmm"],
    }
