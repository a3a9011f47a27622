"""How near each quantizer comes to real values of the model, at each width."""

from collections.abc import Sequence

from hwsim.record import Record
from reports.reconstruction import errors, place, widths
from reports.rows import label
from reports.table import Table, filled


def reconstruction_error(records: Sequence[Record]) -> Table | None:
    """One row per place and quantizer; None where there are no errors."""
    found = errors(records)
    if not found:
        return None
    at = widths(found)
    rows = [
        (label(of.model, ()), place(of.place), of.quantizer, *(_told(of.mean(bits)) for bits in at)) for of in found
    ]
    several = len({of.model for of in found}) > 1
    columns = ("Model", "Values", "Quantizer", *(f"{bits} bits" for bits in at))
    note = (
        "Squared error over sum of squares, mean over the modules of a place. Values of the float model on calibration"
        " images; each quantizer finds its grid on the values that it is judged on, all by squared error. No number: the"
        " quantizer does not define these bits."
    )
    return filled("Reconstruction error of quantizers", columns, rows, lambda _: note, 79, several)


def _told(error: float | None) -> str:
    return "" if error is None else f"{error:.2e}" if error < 0.001 else f"{error:.4f}"
