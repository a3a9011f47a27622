"""Plausible records of a sweep, made up; conftest joins them to the others, tests make more of them."""

from hwsim.record import Record

UNITS = {"latency": "ms", "energy": "mJ", "area": "mm2", "size": "MB"}


def fronts(
    names: tuple[str, ...] = ("w8a8", "mine.json"), points: int = 20, objectives: str = "latency energy area"
) -> list[Record]:
    """The records of one front for each of `names`, bits or a file of them; every second point is beaten."""
    return [
        record
        for number, bits in enumerate(names)
        for point in range(points)
        for record in _point(number, bits, point, points, objectives)
    ]


def _point(number: int, bits: str, point: int, points: int, objectives: str) -> list[Record]:
    beaten = point % 2
    rows = 8 << point % 5
    values = {
        "latency": 2.0 + 30 / (point + 1) + 4 * beaten,
        "energy": 1.0 + point,
        "area": 3.0 + point / 9,
        "size": 22.0,
    }
    said = {
        "sweep": "arrays",
        "front": number,
        "compete": 1000,
        "on": "no" if beaten else "yes",
        "point": point,
        "bits": bits,
        "batch": 1 + 7 * number,
        "table": "horowitz_45nm",
        "settings": f"dataflow weight_stationary, rows cols {rows}, gb_per_s {point + 1}",
        "objectives": objectives,
    }
    if bits == "w8a8":
        said |= {"wbits": 8, "abits": 8}
    tags = tuple((key, str(value)) for key, value in said.items())
    return [
        Record("deit_small_patch16_224", f"sweep_{name}", value, UNITS[name], accelerator="systolic_32x32", tags=tags)
        for name, value in values.items()
    ]
