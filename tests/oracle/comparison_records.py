"""Made-up records of methods side by side, as `hwsim compare` writes them."""

from collections.abc import Iterator

from hwsim.record import Record

METHODS = {"ptq_minmax": 1.0, "repqvit": 0.25, "p2vit": 0.6, "ptq4vit": 0.5}
"""Methods, and how far they are from the float model, as multiples of what min-max is."""
UNITS = {
    "ptq_minmax": (("row sums", "counted"), ("column sums", "counted")),
    "repqvit": (("shifter", "as mac"), ("mantissa banks", "as mac"), ("encoder", "counted"), ("row sums", "counted")),
    "ptq4vit": (("conditional shifter", "as mac"), ("encoder", "counted")),
}
DIVERGENCE = {8: 1e-4, 6: 2e-3, 4: 4e-2, 3: 0.4}
COMMAND = "hwsim compare --workload digits_deit"
PLACES = {
    "softmax": ("uniform", "log2", "log-sqrt2", "SULQ", "twin uniform"),
    "gelu": ("uniform symmetric", "uniform", "twin uniform"),
    "layernorm": ("uniform", "uniform, 6 groups", "uniform per channel"),
    "norm_inputs": ("uniform", "power-of-two factors"),
    "weights": ("uniform symmetric", "uniform per channel"),
}


def _run(method: str, bits: int, seed: int, place: int) -> Iterator[Record]:
    tags = {"label": method, "method": method, "preset": "deployable", "seed": seed, "place": place}
    tags |= {"wbits": bits, "abits": bits}
    workload = f"digits_deit_w{bits}a{bits}_{method}"

    def record(metric: str, value: float | str, node: str = "", **more: object) -> Record:
        said = tuple((key, str(x)) for key, x in {**tags, **more}.items())
        return Record(workload, metric, value, "", node, source="measured", tags=said)

    yield record("run", f"{COMMAND} --methods {method} --bits w{bits}a{bits} --seeds {seed}")
    if (method, bits) == ("p2vit", 3):
        yield record("method_undefined", "p2vit: W3A3: bits must be 4 or more, got 3; choose others")
        return
    kl = DIVERGENCE[bits] * METHODS[method] * (1 + seed / 10)
    for split in ("test", "integer"):
        yield record("method_accuracy", 0.983 - kl / 2, split=split)
    yield record("method_kl_divergence", kl)
    yield record("method_agreement", 1 - kl / 2)
    yield record("method_seconds", 1.5 + place + seed / 10)
    yield record("method_peak", 7e8 + 1e7 * place, before=650_000_000, exact="true")
    for mode in ("node_by_node", "free_running"):
        yield record("method_codes", 63_565_920, mode=mode)
        yield record("method_mismatches", 0, mode=mode)
    yield record("method_size", 13_000.0 * bits + 35_000 + 100 * place)
    yield record("method_size", 7000 + 100 * place, "extras")
    yield record("method_operations", 9e6 * bits * bits, convention="bitops_wa")
    yield record("method_shifts_only", int(method == "p2vit"))
    for unit, charged in UNITS.get(method, ()):
        yield record("method_unit", 126_360 * (1 + place), unit, nodes=8, charged=charged)


def _float() -> Iterator[Record]:
    tags = tuple({"label": "float", "seed": "0", "place": "0", "wbits": "32", "abits": "32"}.items())
    values = {"method_accuracy": 0.983, "method_kl_divergence": 0.0, "method_agreement": 1.0, "method_size": 470_632.0}
    values |= {"method_operations": 9.07e9, "method_shifts_only": 0.0}
    for metric, value in values.items():
        more = {"method_accuracy": (("split", "test"),), "method_operations": (("convention", "bitops_wa"),)}.get(
            metric, ()
        )
        yield Record("digits_deit_w32a32", metric, value, "", tags=(*tags, *more))
    yield Record("digits_deit_w32a32", "run", COMMAND, "", tags=tags)


def _reconstruction() -> Iterator[Record]:
    for place, quantizers in PLACES.items():
        for index, quantizer in enumerate(quantizers):
            for bits in (2, 3, 4, 6, 8):
                if quantizer.startswith("log") and bits > 4:
                    continue
                for block in range(4):
                    error = 0.4 * 0.25 ** (bits - 2) * (1 - index / 9) * (1 + block / 10)
                    tags = (("place", place), ("quantizer", quantizer), ("bits", str(bits)))
                    yield Record("digits_deit", "reconstruction_error", error, "", f"blocks.{block}", tags=tags)


def comparisons() -> list[Record]:
    """Three seeds of each method at four widths, the float model, and the quantizers alone."""
    runs = ((m, bits, seed, i) for seed in range(3) for bits in DIVERGENCE for i, m in enumerate(METHODS, 1))
    return [*_float(), *_reconstruction(), *(record for run in runs for record in _run(*run))]
