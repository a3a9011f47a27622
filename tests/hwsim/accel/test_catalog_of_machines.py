"""Every machine of the catalogue: it loads, every number says where it is from, and published rates follow from it."""

import re
from importlib import resources
from pathlib import Path

import pytest

import hwsim
from hwsim.accel import accelerator, energy, scheme
from hwsim.accel.accelerator import Accelerator
from hwsim.accel.dataflow import gemm_cycles
from hwsim.accel.parts import VECTOR_CYCLES, Array, Buffer, Buffers, Dram, Pipeline, Published, Stream, Unit, Vector
from hwsim.cli import run
from workloads import models

ROOT = Path(hwsim.__file__).parents[1]
FOLDER = ROOT / "hwsim" / "accel" / "catalog"
DOCUMENT = ROOT / "docs" / "accelerators.md"
NAMES = accelerator.names()
ORIGINS = ("printed", "recalled", "inferred", "fitted", "ours")


def test_the_catalogue_is_its_folder() -> None:
    assert tuple(sorted(path.stem for path in FOLDER.iterdir())) == NAMES
    for name in ("systolic_16x16", "systolic_32x32", "systolic_128x128", "bit_fusion", "stripes", "zcu102", "hg_pipe"):
        assert name in NAMES


def test_it_travels_with_the_package() -> None:
    """What the wheel's build takes is the package's folder, and what is read are its resources."""
    assert resources.files("hwsim.accel").joinpath("catalog", "hg_pipe.toml").is_file()
    assert 'packages = ["hwsim"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_every_machine_says_what_it_is_and_where_from(name: str) -> None:
    machine = accelerator.find(name)
    assert machine.name == name
    assert len(machine.about) > 20
    assert len(machine.source) > 20
    assert "\n" not in machine.about + machine.source
    assert name in DOCUMENT.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_every_number_says_where_it_is_from(name: str) -> None:
    text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8").partition("[[published]]")[0]
    numbers = [line for line in text.splitlines() if re.match(r"\w+ = [\d{[]", line)]
    assert len(numbers) >= 13
    for line in numbers:
        assert re.search(rf"  # ({'|'.join(ORIGINS)})\b", line), line


@pytest.mark.parametrize("name", NAMES)
def test_its_energy_table_can_price_it(name: str) -> None:
    machine = accelerator.find(name)
    assert machine.energy in energy.names()
    table = energy.find(machine.energy)
    assert table.mac(machine.precision, 8, 8) >= table.mac(machine.precision, 4, 4) > 0


@pytest.mark.parametrize("name", NAMES)
def test_its_ports_feed_its_pes(name: str) -> None:
    """At 8 bits and less, each row and column gets its operands in every cycle: a port is never what a catalogue lacks."""
    machine = accelerator.find(name)
    array, buffers = machine.array, machine.buffers
    if machine.pipeline is None and array.dataflow != "weight_stationary":
        for bits in (1, 2, 4, 8):
            packed = machine.precision.packing(scheme.Operand(bits), scheme.Operand(bits))
            rows = array.rows * packed.m * packed.k * bits / packed.passes / 8
            cols = array.cols * array.count * packed.n * packed.k * bits / packed.passes / 8
            assert rows <= buffers.activations.bytes_per_cycle
            assert cols <= buffers.weights.bytes_per_cycle


PUBLISHED = [(name, one) for name in NAMES for one in accelerator.find(name).published]


@pytest.mark.parametrize(("name", "one"), PUBLISHED)
def test_published_figures_are_of_models_that_there_are(name: str, one: Published) -> None:
    assert one.source
    if one.metric == "peak":
        assert one.model == ""
    else:
        assert models.is_name(one.model)
        assert one.unit == {"fps": "frames/s", "latency": "ms"}.get(one.metric, "cycles")


@pytest.mark.parametrize(("name", "one"), [(name, one) for name, one in PUBLISHED if one.metric == "peak"])
def test_published_peaks(name: str, one: Published) -> None:
    machine = accelerator.find(name)
    ours = 2e-6 * machine.clock_mhz * machine.pes * machine.precision.peak(one.abits, one.wbits)
    assert one.band is not None
    assert one.band[0] <= ours / one.value <= one.band[1]


def test_some_peaks_are_published() -> None:
    assert {name for name, one in PUBLISHED if one.metric == "peak"} == {
        "bismo",
        "edge_npu",
        "tensor_core_a100",
        "tensor_core_t4",
    }


def test_bit_fusion_moves_192_bits_per_cycle() -> None:  # bf_e_conf.ini, if_width
    machine = accelerator.find("bit_fusion")
    assert machine.dram.gb_per_s * 8e9 / (machine.clock_mhz * 1e6) == 192


def test_loom_is_as_128_multipliers_of_16_bits() -> None:  # arXiv 1706.07853, abstract
    machine = accelerator.find("loom")
    assert machine.pes * machine.precision.peak(16, 16) == 128


def test_stripes_is_at_16_bits_what_its_parallel_baseline_is() -> None:
    """DaDianNao: 16 tiles of 16 filters x 16 lanes (recalled)."""
    machine = accelerator.find("stripes")
    assert machine.pes * machine.precision.peak(16, 16) == 16 * 16 * 16


def hg_pipe_units() -> dict[str, tuple[int, int]]:
    """Cycles and multipliers of each unit of HG-PIPE for the 196 tokens that it has, by the loops of its sources."""
    pipeline = accelerator.find("hg_pipe").pipeline
    assert pipeline is not None
    shapes = {
        "patch_embed": (1, 196, 768, 192),
        "qkv": (1, 196, 192, 576),
        "proj": (1, 196, 192, 192),
        "fc1": (1, 196, 192, 768),
        "fc2": (1, 196, 768, 192),
        "head": (1, 1, 192, 1000),
        "qk": (3, 196, 64, 196),
        "av": (3, 196, 196, 64),
    }
    found = {}
    for group, unit in pipeline.units.items():
        batch, m, k, n = shapes[group]
        found[group] = (batch * -(-m // unit.m) * -(-k // unit.k) * -(-n // unit.n), unit.m * unit.k * unit.n)
    return found


def test_hg_pipe_waits_for_its_softmax() -> None:
    """57,624 cycles (printed): two rows of 196 scores in three passes; no product and no other stage takes as long."""
    machine = accelerator.find("hg_pipe")
    assert machine.pipeline is not None
    softmax, layernorm = (machine.pipeline.vector[role] for role in ("softmax", "layernorm"))
    assert 3 * 196 * 196 * softmax.passes / softmax.elements == 57_624 == machine.published[0].value
    assert 196 * 192 * layernorm.passes / layernorm.elements == 56_448
    cycles = {group: found[0] for group, found in hg_pipe_units().items()}
    assert {group: cycles[group] for group in ("patch_embed", "qkv", "proj", "fc1", "fc2", "head")} == {
        "patch_embed": 56_448,
        "qkv": 50_176,
        "proj": 50_176,
        "fc1": 50_176,
        "fc2": 50_176,
        "head": 48_000,
    }
    assert max(cycles.values()) < 57_624
    assert 3 * 197 * 197 * softmax.passes / softmax.elements == pytest.approx(57_624, rel=0.02)  # our 197 tokens


def test_hg_pipes_multipliers() -> None:
    macs = {group: found[1] for group, found in hg_pipe_units().items()}
    ends = macs.pop("patch_embed") + macs.pop("head")
    assert 12 * sum(macs.values()) + ends == accelerator.find("hg_pipe").pes == 25_284


def test_vitcods_array_has_no_rest_at_its_linear_layers() -> None:
    """1,361,664 cycles of the MLPs (printed): MACs/512; those of the others have 510 PEs at work, ours all of them."""
    machine = accelerator.find("vitcod")
    sizes = {"qkv": (192, 576), "proj": (192, 192), "fc1": (192, 768), "fc2": (768, 192)}
    cycles = {}
    for group, (k, n) in sizes.items():
        found = gemm_cycles(machine.array.rows, machine.array.cols, machine.array.dataflow, 197, k, n)
        cycles[group] = int(12 * found.folds * 197)  # broadcast: no fill, no drain
        assert cycles[group] == 12 * 197 * k * n // 512
    whole, linear, mlp = machine.published
    assert cycles["fc1"] + cycles["fc2"] == mlp.value
    assert cycles["qkv"] + cycles["proj"] == pytest.approx(linear.value, rel=0.001)
    assert sum(cycles.values()) == pytest.approx(whole.value, rel=0.001)


@pytest.mark.parametrize(
    "table", [Accelerator, Array, Buffer, Buffers, Dram, Vector, Pipeline, Unit, Stream, Published, scheme.Scheme]
)
def test_the_document_names_every_key(table: type) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for key in table.model_fields:  # type: ignore[attr-defined]
        assert f"`{key}`" in text or key == "name", key


def test_the_document_names_every_scheme_and_its_keys_and_the_default_of_every_action() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for name in scheme.names():
        assert f"| `{name}` |" in text
        for key in type(scheme.read({"scheme": name}, "m")).model_fields:
            assert f"`{key}`" in text
    for kind, cycles in VECTOR_CYCLES.items():
        assert re.search(rf"^\| .*`{kind}`.* \| {cycles:g} \|", text, re.MULTILINE), kind


def test_all_kinds_of_actions_have_a_default() -> None:
    kinds = set()
    for path in (ROOT / "hwsim" / "ops").glob("*.py"):
        kinds |= set(re.findall(r"Action\(\s*\"(\w+)\"", path.read_text(encoding="utf-8")))
    assert kinds - {"mac"} == set(VECTOR_CYCLES)


def test_the_file_in_the_document_is_one(tmp_path: Path) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    written, *_ = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    path = tmp_path / "mine.toml"
    path.write_text(written)
    assert accelerator.read(path).pes == 48 * 16


def test_list_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "accelerators"]) == 0
    told = capsys.readouterr().out
    for name in NAMES:
        assert re.search(rf"^{name} ", told, re.MULTILINE)
        assert accelerator.find(name).source in told
    assert re.search(r"^bit_fusion +16x32 +spatial_fusion +512 +2,048 +8,192 ", told, re.MULTILINE)
    assert run(["list", "schemes"]) == 0
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == list(scheme.names())
