"""Read the products of the official files one by one, as the official loader does (engine/engine.py:230-362).

    items_shuffle*.json   [{asin, name, full_description, small_description, pricing?, customization_options,
                            category, product_category, query, …}, …]
    items_ins_v2*.json    {asin: {attributes, …}, …}

The product file has over a million products and several gigabytes; memory holds a piece of it. A field that the
official loader can't do without is an error here if it is missing; a field that it never reads is ignored. It accepts
NaN, so we do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from eefcore.envs.webshop.catalogue.elements import elements
from eefcore.envs.webshop.catalogue.product import Entry
from eefcore.errors import UNDECODABLE, DataError

T = TypeVar("T")

PRODUCT_FILES = ("items_shuffle*.json", "items_ins_v2*.json")
"""The official files of products, and of their attributes."""

_LONGEST_ASIN = 10
_DUMMY = ("DUMMY_ATTR",)


class Skipped(NamedTuple):
    """Products of the file that the official loader leaves out, counted by reason."""

    nan: int = 0
    long_asin: int = 0
    repeated: int = 0


class _Option(msgspec.Struct):
    value: str


class _Row(msgspec.Struct):
    """The fields of a product that are read, under the file's names."""

    asin: str
    name: str
    full_description: str
    small_description: tuple[str, ...] | str
    customization_options: dict[str, tuple[_Option, ...] | None] | str | None
    category: str
    product_category: str
    query: str
    pricing: str | None = None


class _Named(msgspec.Struct):
    asin: str


class _Attributed(msgspec.Struct):
    attributes: tuple[str, ...] = _DUMMY


class ProductReader:
    """Iterates once over the products of `items` that the official loader keeps, with their attributes from `ins`.

    Raises (while iterating):
        DataError: a file or a product has another format; names file, product, field, and what to do.
    """

    def __init__(self, items: Path, ins: Path) -> None:
        self._items, self._ins = items, ins
        self.position = 0  # bytes of `items` read so far
        self.skipped = Skipped()  # products left out so far

    def __iter__(self) -> Iterator[Entry]:
        attributes = _read_entries(self._ins)
        seen: set[str] = set()
        with open(self._items, "rb") as file:
            for number, raw in enumerate(elements(file, self._items.name)):
                self.position = file.tell()
                read = self._read(raw, number, seen)
                if isinstance(read, str):
                    self.skipped = self.skipped._replace(**{read: getattr(self.skipped, read) + 1})
                    continue
                seen.add(read.asin)
                yield self._entry(read, number, attributes)

    def _read(self, raw: bytes, number: int, seen: set[str]) -> _Row | str:
        """Return the product, or the reason to skip it: of a skipped product only the id is read."""
        try:
            row = _decode(raw, _Row)
            return _reason_to_skip(row.asin, seen) or row
        except (ValueError, RecursionError) as error:
            with suppress(ValueError, RecursionError):
                if reason := _reason_to_skip(_decode(raw, _Named).asin, seen):
                    return reason
            raise self._error(number, error) from error

    def _entry(self, row: _Row, number: int, attributes: Mapping[str, msgspec.Raw]) -> Entry:
        options = row.customization_options or {}
        if isinstance(options, str):
            raise self._error(
                number, f"Expected `object`, got {options[:40]!r} - at `$.customization_options`"
            )
        try:
            prices = _parse_prices(row.pricing)
        except ValueError:
            message = f"Expected prices like `$9.99` or `$9.99$12.50`, got {row.pricing!r} - at `$.pricing`"
            raise self._error(number, message) from None
        if "\0" in row.asin:
            raise self._error(number, f"Expected an id without NUL, got {row.asin!r} - at `$.asin`")
        bullets = row.small_description
        return Entry(
            asin=row.asin,
            title=row.name,
            description=row.full_description,
            bullets=(bullets,) if isinstance(bullets, str) else bullets,
            options={
                name.lower(): tuple(v.value.strip().replace("/", " | ").lower() for v in values)
                for name, values in options.items()
                if values is not None
            },
            prices=prices,
            category=row.category,
            product_category=row.product_category,
            query=row.query.lower().strip(),
            attributes=self._product_attributes(attributes, row.asin),
        )

    def _product_attributes(self, attributes: Mapping[str, msgspec.Raw], asin: str) -> tuple[str, ...]:
        if asin not in attributes:
            return _DUMMY
        try:
            return msgspec.json.decode(attributes[asin], type=_Attributed).attributes
        except msgspec.ValidationError as error:
            raise DataError(
                f"{self._ins.name}: {asin}: {error}; correct it, or download the file again"
            ) from error

    def _error(self, number: int, problem: Exception | str) -> DataError:
        return DataError(
            f"{self._items.name}: product {number} (counted from 0): {problem}; "
            "correct or remove this product, or download the file again"
        )


def _decode(raw: bytes, type: type[T]) -> T:
    """Decode `raw` as a `type`; accept what only Python's reader takes: NaN, and half a surrogate pair, which becomes `?`."""
    try:
        return msgspec.json.decode(raw, type=type)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        whole = json.dumps(json.loads(raw), ensure_ascii=False).encode(errors="replace")
        return msgspec.convert(json.loads(whole), type)


def only_file(folder: Path, pattern: str) -> Path:
    """Return the only file of `folder` whose name matches `pattern`.

    Raises:
        DataError: no file or several files match.
    """
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        others = ", ".join(sorted(p.name for p in folder.glob("*"))[:10]) or "nothing"
        others = others if folder.is_dir() else "no such folder"
        got = ", ".join(p.name for p in found) or f"none (there: {others})"
        raise DataError(
            f"{folder}: expected exactly one {pattern}, got {got}; put the official file there, or write a catalogue "
            "with eefcore.envs.webshop.generate"
        )
    return found[0]


def _read_entries(path: Path) -> dict[str, msgspec.Raw]:
    """Return the entry of each asin in `path`, not decoded yet: a million decoded entries would take a gigabyte."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
    except UNDECODABLE as error:
        raise DataError(
            f"{path.name}: expected a JSON object of asins: {error}; it is truncated or of another kind; "
            "download or write it again"
        ) from error


def _reason_to_skip(asin: str, seen: set[str]) -> str | None:
    if asin == "nan":
        return "nan"
    if len(asin) > _LONGEST_ASIN:
        return "long_asin"
    return "repeated" if asin in seen else None


def _parse_prices(text: str | None) -> tuple[float, ...]:
    """Return the first two prices of `$9.99$12.50`; other characters between dollar signs are ignored."""
    if not text:
        return ()
    prices = tuple(float(re.sub(r"[^\d.]", "", price)) for price in text.split("$")[1:])
    if not prices:
        raise ValueError(text)
    return prices[:2]
