"""What a table borrows, put in its place: prices of a shipped table under the borrower's name of the lender.

Units are taken in proportion to the two tables' own integer MACs of 8 bits, so that, say, a fusion unit stays 2.26 times as
costly as a MAC; all else, and whatever a table borrows that has no MAC of its own, as it is. A lender must have the item of
its own: nothing is borrowed twice, but for a whole book.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hwsim import catalog
from hwsim.accel.prices import Curve, Energy, Own, PriceList, Units
from hwsim.errors import BadFile

IN_PROPORTION = ("mac", "multiply", "add", "float_multiply", "float_add", "fusion")


@dataclass(frozen=True, slots=True)
class Lenders:
    """The shipped tables, as they are `written` (what they borrow by name only) and `whole`."""

    names: tuple[str, ...]
    written: Callable[[str], PriceList]
    whole: Callable[[str], PriceList]

    def books(self, table: PriceList, where: str) -> dict[str, Any]:
        """The fields of `table` with everything that it borrows; raises BadFile where that cannot be had."""
        fields = dict(table)
        for name in ("energy", "area", "leak"):
            if fields[name] is not None:
                fields[name] = self._book(table, name, where)
        dram = {of: self._item(curve, ("dram", of), where) for of, curve in table.dram}
        return fields | {"sram": self._item(table.sram, ("sram",), where), "dram": table.dram.model_copy(update=dram)}

    def _book(self, table: PriceList, name: str, where: str) -> Units:
        book: Units = getattr(table, name)
        if book.borrow:
            self._known(book.borrow, (name,), where)
            lent: Units | None = getattr(self.whole(book.borrow), name)
            if lent is None:
                raise self._lacks((name,), book.borrow, where)
            return lent.model_copy(update={"borrow": book.borrow})
        items = {item: value for item, value in book if isinstance(value, Curve) and value.borrow}
        taken = {item: self._item(value, (name, item), where) for item, value in items.items()}
        if isinstance(book, Energy):
            for item in taken.keys() & set(IN_PROPORTION):
                factor = _ratio(book, self.written(items[item].borrow).energy)
                points = tuple(point.model_copy(update={"value": point.value * factor}) for point in taken[item].points)
                taken[item] = taken[item].model_copy(update={"points": points})
        return book.model_copy(update=taken)

    def _item(self, item: Own, place: tuple[str, ...], where: str) -> Any:
        if not item.borrow:
            return item
        self._known(item.borrow, place, where)
        lent: Any = self.written(item.borrow)
        for part in place:
            lent = getattr(lent, part, None)
        if lent is None or lent.borrow:
            raise self._lacks(place, item.borrow, where)
        return lent.model_copy(update={"borrow": item.borrow})

    def _known(self, lender: str, place: tuple[str, ...], where: str) -> None:
        if lender not in self.names:
            nearest = ", ".join(catalog.nearest(lender, self.names))
            raise BadFile(
                f'{where}: {".".join(place)}.borrow must be a shipped table, got "{lender}"; known, nearest first: {nearest}'
            )

    def _lacks(self, place: tuple[str, ...], lender: str, where: str) -> BadFile:
        return BadFile(
            f'{where}: {".".join(place)}.borrow must be a table with {place[-1]} of its own, got "{lender}"; '
            "see docs/energy.md for which have it"
        )


def _ratio(book: Energy, lender: Energy) -> float:
    """MAC of 8 bits of the borrower over the lender's, 1 where either has none of its own."""
    macs = [one.mac_at(8) for one in (book, lender) if _own_mac(one)]
    return macs[0] / macs[1] if len(macs) == 2 else 1.0


def _own_mac(book: Energy) -> bool:
    parts = [book.mac] if book.mac is not None else [book.multiply, book.add]
    return all(part is not None and not part.borrow for part in parts)
