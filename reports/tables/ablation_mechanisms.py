"""What the ingredients of a method do inside: entropy of codes, distances from the teacher, weights that oscillate."""

from collections.abc import Sequence

from hwsim.record import Record
from reports.rows import bits_label
from reports.table import Table
from reports.trainings import by_key, groups


def ablation_mechanisms(records: Sequence[Record]) -> Table | None:
    """One row per width and method; None where nothing was measured inside."""
    parts = (
        (groups(records, "code_entropy", operand="q"), 3, 1),
        (groups(records, "code_entropy", operand="k"), 3, 1),
        (groups(records, "map_distance"), 3, 1),
        (groups(records, "head_distance"), 3, 1),
        (groups(records, "oscillating", last="true"), 2, 100),
    )
    keys = dict.fromkeys(group.key for found, _, _ in parts for group in found)
    if not keys:
        return None
    ordered = sorted(keys, key=lambda key: (key[0], key[1] != (32, 32), key[1]))
    columns = [(by_key(found), digits, factor) for found, digits, factor in parts]
    return Table(
        "What the ingredients do inside",
        ("Bits", "Method", "Entropy q (bit)", "Entropy k (bit)", "Maps (nat)", "DGD", "Oscillating (%)"),
        tuple(
            (
                bits_label(key[1]),
                key[2],
                *(known[key].told(digits, factor) if key in known else "" for known, digits, factor in columns),
            )
            for key in ordered
        ),
        "Mean ± standard deviation over seeds. Maps: KL divergence of attention maps from the float teacher's. DGD: distance"
        " between normalised token similarities of q and k and the teacher's, per layer. Oscillating: weights whose code"
        " goes back and forth at the end of training.",
        place=71,
    )
