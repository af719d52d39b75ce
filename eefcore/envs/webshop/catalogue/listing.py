"""List the products that have a value: rows by category, query or attribute, in file order, mapped from disk.

<kind>_names.json   the values
<kind>_ends         int64  [values]   where a value's rows end
<kind>_rows         uint32            rows of the product file, ascending within a value
"""

from __future__ import annotations

from array import array
from pathlib import Path

import msgspec
import numpy as np


class ListingWriter:
    """Write which products have each value (category, query, attribute): add rows in order, then `finish`."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._values, self._rows = array("I"), array("I")

    def add(self, row: int, value: str) -> None:
        """Add a product's row to those of `value`."""
        self._values.append(self._numbers.setdefault(value, len(self._numbers)))
        self._rows.append(row)

    def finish(self, folder: Path, kind: str) -> None:
        """Write the files of the listing by `kind`."""
        values, rows = np.array(self._values, np.uint32), np.array(self._rows, np.uint32)
        (folder / f"{kind}_names.json").write_bytes(msgspec.json.encode(list(self._numbers)))
        np.save(folder / f"{kind}_ends.npy", np.cumsum(np.bincount(values, minlength=len(self._numbers))))
        np.save(folder / f"{kind}_rows.npy", rows[np.argsort(values, kind="stable")])


class Listing:
    """The products that have each value, as row numbers; no file is read before the first look-up."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder, self._kind = folder, kind
        self._numbers: dict[str, int] | None = None

    def rows(self, value: str) -> list[int]:
        """Return the rows that have `value`, ascending; none for an unknown value."""
        if self._numbers is None:
            names = msgspec.json.decode((self._folder / f"{self._kind}_names.json").read_bytes())
            self._numbers = {name: number for number, name in enumerate(names)}
        if value not in self._numbers:
            return []
        number = self._numbers[value]
        ends = np.load(self._folder / f"{self._kind}_ends.npy", mmap_mode="r")
        rows = np.load(self._folder / f"{self._kind}_rows.npy", mmap_mode="r")
        return rows[ends[number - 1] if number else 0 : ends[number]].tolist()
