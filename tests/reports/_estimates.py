"""Plausible records of accelerator estimates, made up; conftest joins them to the others, tests make more of them."""

from collections.abc import Sequence

from hwsim.record import Record

PARTS = ("useful", "mapping", "fill", "port", "dram", "vector")
MMAC = {"patch_embed": 57.8, "qkv": 1045.8, "qk": 178.8, "av": 178.8, "proj": 348.6, "fc1": 1394.3, "fc2": 1394.3}
LOSSES = {"patch_embed": (0.2, 0.1), "qk": (1.1, 0.5), "av": (1.4, 0.3), "head": (3.0, 1.0)}  # of useful: mapping, fill
ENERGIES = {"bitfusion_45nm": (1.0, 1.0), "horowitz_45nm": (0.45, 0.7), "cacti_28nm": (0.12, 0.05)}
ACCELERATORS = {  # PEs, MACs per PE and cycle by bits, bytes per cycle of DRAM, MHz
    "systolic_32x32": (1024, dict.fromkeys((8, 6, 5, 4, 3, 2), 1), 16.0, 500),
    "bitfusion": (512, {8: 1, 6: 1, 5: 1, 4: 4, 3: 4, 2: 16}, 24.0, 500),
    "bit_serial": (4096, {8: 0.25, 6: 0.44, 5: 0.64, 4: 1, 3: 1.78, 2: 4}, 24.0, 1000),
    "zcu102_dsp": (2048, {8: 2, 6: 2, 5: 4, 4: 4, 3: 6, 2: 6}, 64.0, 200),
}
PAPER = {8: 3.6, 6: 4.2, 5: 5.0, 4: 6.142857, 3: 10.75, 2: 21.5}


def estimates(
    workload: str = "deit_small_patch16_224", accelerators: Sequence[str] = (), widths: Sequence[int] = (8, 4, 2)
) -> list[Record]:
    """The records of estimates of `workload` on these accelerators (none: the first two) at these widths."""
    rows = [
        _record(workload, "paper_speedup", PAPER[b], "x", bits=b, claim="6.14x, DeiT-S W4A4" if b == 4 else "")
        for b in widths
    ]
    for name in accelerators or tuple(ACCELERATORS)[:2]:
        for bits in widths:
            rows += _estimate(workload, name, bits)
    return rows


def _record(workload: str, metric: str, value: float, unit: str, node: str = "", **tags: object) -> Record:
    bits = tags.pop("bits")
    name = str(tags.pop("accelerator", ""))
    said = {"wbits": bits, "abits": bits, "batch": 1, **({"level": "group"} if node else {}), **tags}
    return Record(workload, metric, value, unit, node, name, tags=tuple((key, str(v)) for key, v in said.items()))


def _split(group: str, mmac: float, peak: float, bandwidth: float, bits: int) -> tuple[dict[str, float], float]:
    """Cycles by part, and bytes."""
    useful = 1e6 * mmac / peak
    mapping, fill = LOSSES.get(group, (0.05, 0.09))
    moved = 1e6 * bits / 8 * (mmac / 60 + 0.2)
    busy = useful * (1 + mapping + fill + 0.02)
    cycles = (useful, useful * mapping, useful * fill, useful * 0.02, max(0.0, moved / bandwidth - busy), 90_000.0)
    return dict(zip(PARTS, cycles, strict=True)), moved


def _estimate(workload: str, name: str, bits: int) -> list[Record]:
    pes, rates, bandwidth, mhz = ACCELERATORS[name]
    about = {"bits": bits, "accelerator": name}
    splits = {group: _split(group, mmac, pes * rates[bits], bandwidth, bits) for group, mmac in MMAC.items()}
    total = {part: sum(split[part] for split, _ in splits.values()) for part in PARTS}
    everything = {"": (total, sum(moved for _, moved in splits.values())), **splits}
    rows = [
        _record(workload, "peak", pes * rates[bits], "MAC/cycle", **about),
        _record(workload, "peak", pes * rates[8], "MAC/cycle", "patch_embed", a_bits=8, w_bits=8, **about),
        _record(workload, "bandwidth", bandwidth, "B/cycle", **about),
    ]
    for node, (split, moved) in everything.items():
        macs, cycles = 1e6 * (MMAC[node] if node else sum(MMAC.values())), sum(split.values())
        values = {"cycles": cycles, **{f"{part}_cycles": split[part] for part in PARTS}}
        rows += [_record(workload, metric, v, "cycle", node, **about) for metric, v in values.items()]
        rows.append(_record(workload, "macs", macs, "MAC", node, **about))
        rows.append(_record(workload, "dram_bytes", moved, "B", node, **about))
        rows.append(_record(workload, "intensity", macs / moved, "MAC/B", node, **about))
    rows += [
        _record(workload, f"{part}_cycles", v / 12, f"blocks.0.{node}", level="node", role=node, **about)
        for node, (split, _) in splits.items()
        for part, v in split.items()
        if bits == 4
    ]
    cycles = sum(total.values())
    rows.append(_record(workload, "latency", cycles / mhz / 1e3, "ms", **about))
    rows.append(_record(workload, "fps", 1e6 * mhz / cycles, "frames/s", **about))
    rows.append(_record(workload, "utilisation", total["useful"] / cycles, "fraction", **about))
    rows += _energies(workload, bits, about, everything[""][1]) + _roles(workload, about)
    rows += _units(workload, about, cycles) if name == "bitfusion" else []
    return rows + _speedups(workload, about, total, bits)


def _roles(workload: str, about: dict[str, object]) -> list[Record]:
    """What the vector unit works on, a part of which the arrays wait for."""
    return [
        _record(workload, metric, cycles * part, "cycles", role, **{**about, "level": "role"})
        for role, cycles in {"softmax": 3e5, "layernorm": 1e5, "gelu": 2.3e5}.items()
        for metric, part in (("busy_cycles", 1.0), ("vector_cycles", 0.4))
    ]


def _units(workload: str, about: dict[str, object], cycles: float) -> list[Record]:
    """As if it were a pipeline, whose softmax is the slowest."""
    found = {**{group: cycles * (0.5 + 0.05 * i) for i, group in enumerate(MMAC)}, "softmax": cycles}
    about = {**about, "level": "unit"}
    return [_record(workload, "unit_cycles", v, "cycles", unit, **about) for unit, v in found.items()]


def _energies(workload: str, bits: int, about: dict[str, object], moved: float) -> list[Record]:
    rows = []
    for table, (compute, memory) in ENERGIES.items():
        mj = {"mac": 0.03 * bits**2 * compute, "sram": 0.11 * bits * memory, "dram": moved * 1.2e-7 * memory}
        mj |= {"vector": 0.05, "leakage": 0.2 * compute}
        said = {**about, "table": table} | ({"leakage": "none"} if table == "horowitz_45nm" else {})
        mj["leakage"] *= table != "horowitz_45nm"
        mj["total"] = sum(mj.values())
        rows += [_record(workload, "energy", v, "mJ", component=c, **said) for c, v in mj.items()]
        rows.append(_record(workload, "area", 4 * compute, "mm2", table=table, **about))
    return rows


def _speedups(workload: str, about: dict[str, object], total: dict[str, float], bits: int) -> list[Record]:
    """Over baselines whose useful cycles are those of one MAC per PE, and whose others are a few times ours."""
    rows = []
    _, rates, *_ = ACCELERATORS[str(about["accelerator"])]
    for over, wide, rate in (("float32", 32, 1.0), ("int8", 8, rates[8])):
        base = {part: total[part] * (rates[bits] / rate if part != "vector" else 1) for part in PARTS}
        base["mapping"] *= 0.6
        base["dram"] = total["dram"] * (2 if wide == 32 else 1.2)
        sums = [0.0, 0.0]
        for part in PARTS:
            sums = [sums[0] + base[part], sums[1] + total[part]]
            rows.append(_record(workload, "speedup", sums[0] / sums[1], "x", over=over, step=part, **about))
    return rows


def published() -> list[Record]:
    """Published figures of accelerators, some with a band, and ours for all but the last."""
    found = (
        ("hg_pipe", "deit_tiny_patch16_224", "initiation interval", "cycles", 57624, 57330, "printed", (0.98, 1.02)),
        ("hg_pipe", "deit_tiny_patch16_224", "frame rate", "frames/s", 7118, 7413, "printed", (0.9, 1.1)),
        ("vitcod", "deit_tiny_patch16_224", "linear and MLP cycles", "cycles", 2043156, 2043156, "printed", (1, 1)),
        ("zcu102_dsp", "deit_base_patch16_224", "frame rate", "frames/s", 24, 31.4, "printed", (1, None)),
        ("zcu102_dsp", "deit_base_patch16_224", "clock", "MHz", 150, 150, "recalled", None),
        ("hailo_8", "deit_small_patch16_224", "frame rate, batch 8", "frames/s", 309, 988, "inferred", (0.5, 2)),
        ("hailo_8", "swin_tiny_patch4_window7_224", "frame rate, batch 1", "frames/s", 28, None, "printed", None),
    )
    rows = []
    for name, workload, quantity, unit, theirs, ours, status, band in found:
        tags = {"accelerator": name, "quantity": quantity, "unit": unit}
        low, high = band or (None, None)
        more = {"status": status, "source": f"{name} (arXiv 2407.17879) table 3", "note": f"what {name} leaves out"}
        more |= {key: str(v) for key, v in (("band_low", low), ("band_high", high)) if v is not None}
        rows.append(Record(workload, "published", theirs, unit, "", name, tags=tuple({**tags, **more}.items())))
        if ours is not None:
            rows.append(Record(workload, "predicted", ours, unit, "", name, tags=tuple(tags.items())))
    return rows
