"""The products of a shop and the search over them: built once from the official files, then mapped from disk.

Opening takes the same time for a thousand products and for a million. A product whose price is a range gets one price,
drawn uniformly, as officially, but from a stream of its own, seeded by `price_seed` and the asin, so that it is the
same in every run and does not depend on other draws.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np

from eefcore.envs.webshop.catalogue.building import build_once
from eefcore.envs.webshop.catalogue.listing import Listing
from eefcore.envs.webshop.catalogue.loading import Skipped
from eefcore.envs.webshop.catalogue.product import Entry, Product
from eefcore.envs.webshop.lucene.search import Index, mapped
from eefcore.errors import DataError
from eefcore.storage.hashing import digest

NO_PRICE = 100.0  # the official price of a product without a price
CHANCE = 50  # products that `<r>` lists by chance
_KINDS = {"<a>": "attribute", "<c>": "category", "<q>": "query"}


class Catalogue:
    """The products of one folder of official files, by asin. Read-only; shared by all episodes and processes.

    Pickles as the path of its built files; a fork or a spawned process maps the same ones. `hash`, 12 hex digits, is of
    content and prices; `skipped` counts what the official loader leaves out; `asins` are in the order of the file.
    """

    def __init__(self, folder: Path, price_seed: int) -> None:
        self._folder, self._price_seed = folder, price_seed
        self.skipped = msgspec.json.decode((folder / "skipped.json").read_bytes(), type=Skipped)
        self._ids = mapped(folder / "ids.npy")  # ascending: the n-th is document n of the index
        self._row_of = mapped(folder / "rows.npy")  # id number to row of the file
        self._number_of = mapped(folder / "numbers.npy")  # and back
        self._entries = np.asarray(np.memmap(folder / "entries", mode="r"))
        self._entry_ends = mapped(folder / "entry_ends.npy")
        self.asins: Sequence[str] = _Ids(self._ids, self._number_of)
        self.hash = digest(folder.stem, str(price_seed))[:12]  # the folder is named by content
        self._index = Index(folder)
        self._listings = {kind: Listing(folder, name) for kind, name in _KINDS.items()}
        self._product = lru_cache(maxsize=1 << 14)(self._read_product)
        self._search = lru_cache(maxsize=1 << 14)(self._index.search)

    @classmethod
    def load(cls, folder: Path, *, cache: Path | None = None, price_seed: int = 233) -> Catalogue:
        """Open the catalogue of the `items_shuffle*.json` and `items_ins_v2*.json` in `folder`; build it if it is new.

        Args:
            cache: where built catalogues are kept; `$EEF_CACHE` or `~/.cache/eefcore` by default.
            price_seed: of the prices drawn from ranges.

        Raises:
            DataError: a file is missing or damaged, or a product lacks what it needs.
            StoreError: the cache can't be written or read.
        """
        return cls(build_once(Path(folder), cache), price_seed)

    def __reduce__(self) -> tuple[type[Catalogue], tuple[Path, int]]:
        return type(self), (self._folder, self._price_seed)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, asin: object) -> bool:
        return isinstance(asin, str) and self._number(asin) is not None

    def __getitem__(self, asin: str) -> Product:
        return self._product(asin)

    def search(self, query: str, k: int = 50) -> tuple[str, ...]:
        """Return the ids of the best `k` products for the words of `query`, best first; a product without any is not listed."""
        return tuple(id.decode() for id in self._ids[self._search(query, k).documents].tolist())

    def filtered(self, kind: str, value: str) -> tuple[str, ...]:
        """Return the ids of all products whose `kind` is exactly `value`, in file order.

        A kind is `<a>` an attribute, `<c>` the category or `<q>` the query; `<r>` lists 50 by chance, the same for a value.
        """
        if kind == "<r>":
            rng = random.Random(f"{self.hash} {value}")
            return tuple(rng.sample(self.asins, min(CHANCE, len(self))))
        if kind not in self._listings:
            raise DataError(f"products can't be listed by {kind!r}; choose one of <r>, {', '.join(_KINDS)}")
        return tuple(self.asins[row] for row in self._listings[kind].rows(value))

    def _number(self, asin: str) -> int | None:
        encoded = asin.encode(errors="replace")
        number = bisect_left(self._ids, encoded)
        return number if number < len(self._ids) and self._ids[number] == encoded else None

    def _read_product(self, asin: str) -> Product:
        number = self._number(asin)
        if number is None:
            raise KeyError(asin)
        row = self._row_of[number]
        start = self._entry_ends[row - 1] if row else 0
        entry = _decode(self._entries[start : self._entry_ends[row]].data)
        return _with_price(entry, self._price_seed)


class _Ids(Sequence[str]):
    """Ids in file order, decoded on demand."""

    def __init__(self, ids: np.ndarray, number_of: np.ndarray) -> None:
        self._ids, self._number_of = ids, number_of

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, row):
        if isinstance(row, slice):
            return tuple(id.decode() for id in self._ids[self._number_of[row]].tolist())
        return self._ids[self._number_of[row]].decode()

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), 4096):
            yield from self[start : start + 4096]


_decode = msgspec.msgpack.Decoder(Entry).decode


def _with_price(entry: Entry, seed: int) -> Product:
    prices = entry.prices or (NO_PRICE,)
    price = prices[0] if len(prices) == 1 else random.Random(f"{seed} {entry.asin}").uniform(*prices)
    priced = msgspec.structs.replace(entry, prices=prices)
    return Product(*msgspec.structs.astuple(priced), " to ".join(f"${price}" for price in prices), price)
