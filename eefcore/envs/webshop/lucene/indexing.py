"""Build an inverted index of documents in bounded memory (`search.Index` reads it).

The terms of documents are counted a batch at a time, and go to disk with their frequencies. When all documents
are added, they get their final numbers and are written out by term, a block of documents at a time.

    posting_documents  uint32 [P]   document numbers, ascending within a term
    posting_codes      uint16 [P]   which impact (f_td over its norm) the pair has
    posting_ends       int64  [V]   where the postings of a term end; terms in the order of their bytes
    impacts, peaks     float32      the value of each code; the greatest of each term
    terms, term_ends                the vocabulary in UTF-8, end to end
    counts             int64  [2]   documents, and documents that have a term
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eefcore.envs.webshop.lucene.search import norms
from eefcore.envs.webshop.lucene.terms import length_codes, term
from eefcore.envs.webshop.lucene.wordbreak import words

_CACHED = 1 << 20  # words whose term numbers are kept in memory
_BLOCK = 1 << 15  # documents written out at a time
_MOST = (1 << 16) - 1  # repetitions of one term in a document, at most
_PAIR = np.dtype([("term", np.uint32), ("count", np.uint16)])


class IndexWriter:
    """Build an inverted index on disk: add texts in any order, then `finish` writes it. Use it in a `with`, which closes its file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._terms: dict[str, int] = {}
        self._number = lru_cache(maxsize=_CACHED)(self._number_of)
        self._lengths: list[np.ndarray] = []  # terms in each document, repetitions counted
        self._sizes: list[np.ndarray] = []  # different terms in each document
        self._spilled = open(folder / "spilled", "wb")  # noqa: SIM115, closed by __exit__

    def __enter__(self) -> IndexWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._spilled.close()

    def add(self, texts: Sequence[str]) -> None:
        """Add a batch of documents; a few thousand at a time are counted fastest."""
        numbers = [list(map(self._number, words(text))) for text in texts]
        documents = np.repeat(np.arange(len(texts)), [len(one) for one in numbers])
        flat = np.fromiter(chain.from_iterable(numbers), np.int64, len(documents))
        documents, flat = documents[flat >= 0], flat[flat >= 0]
        pairs, counts = np.unique(documents << 32 | flat, return_counts=True)
        rows = np.rec.fromarrays((pairs & 0xFFFFFFFF, np.minimum(counts, _MOST)), dtype=_PAIR)
        rows.tofile(self._spilled)
        self._lengths.append(np.bincount(documents, minlength=len(texts)))
        self._sizes.append(np.bincount(pairs >> 32, minlength=len(texts)))

    def finish(self, order: np.ndarray) -> None:
        """Write the index. The added document number `order[n]`, counted from 0, becomes document n."""
        self._spilled.close()
        path = self._folder / "spilled"
        spilled: np.ndarray = np.memmap(path, _PAIR, "r") if path.stat().st_size else np.empty(0, _PAIR)
        lengths, sizes = np.concatenate(self._lengths), np.concatenate(self._sizes)
        filled = int(np.count_nonzero(lengths))
        self._save("counts", np.array([len(lengths), filled]))
        renumbered = self._write_vocabulary()
        width = int(spilled["count"].max(initial=0)) + 1
        blocks = _Blocks(spilled, renumbered, length_codes(lengths), sizes, order, width)
        self._write_postings(blocks, norms(lengths.sum() / filled) if filled else np.ones(256, np.float32))
        path.unlink()

    def _number_of(self, word: str) -> int:
        """Return the number of a word's term, -1 for a stop word; terms are numbered as they come."""
        new = term(word)
        return -1 if new is None else self._terms.setdefault(new, len(self._terms))

    def _write_vocabulary(self) -> np.ndarray:
        """Write the terms in order; return the new number of each, by its old one."""
        encoded = [term.encode() for term in self._terms]
        self._terms.clear()
        self._number.cache_clear()
        by_bytes = sorted(range(len(encoded)), key=encoded.__getitem__)
        self._save("terms", np.frombuffer(b"".join(encoded[n] for n in by_bytes), np.uint8))
        self._save("term_ends", np.cumsum([len(encoded[n]) for n in by_bytes], dtype=np.int64))
        renumbered = np.empty(len(encoded), np.int64)
        renumbered[by_bytes] = np.arange(len(encoded))
        return renumbered

    def _write_postings(self, blocks: _Blocks, norms: np.ndarray) -> None:
        """Write the documents and impacts of each term: one pass to count them, one to put them in their places."""
        sizes = np.zeros(len(blocks.renumbered), np.int64)
        used = np.zeros(256 * blocks.width, bool)  # by length code and count
        for block in blocks:
            sizes += np.bincount(block.terms, minlength=len(sizes))
            used[block.kinds] = True
        ends = np.cumsum(sizes)
        total = int(ends[-1]) if len(ends) else 0
        self._save("posting_ends", ends)
        kinds = np.flatnonzero(used)
        code_of = np.cumsum(used) - 1
        impacts = (kinds % blocks.width).astype(np.float32) * norms[kinds // blocks.width]
        self._save("impacts", impacts)

        documents = self._create("posting_documents", np.uint32, total)
        codes = self._create("posting_codes", np.min_scalar_type(len(impacts)), total)
        peaks = np.zeros(len(sizes), np.float32)
        free = ends - sizes
        for block in blocks:
            at = np.argsort(block.terms, kind="stable")
            terms = block.terms[at]
            firsts = np.flatnonzero(np.diff(terms, prepend=-1))
            lengths = np.diff(firsts, append=len(terms))
            places = np.repeat(free[terms[firsts]] - firsts, lengths) + np.arange(len(terms))
            documents[places] = block.documents[at]
            codes[places] = code = code_of[block.kinds[at]]
            free[terms[firsts]] += lengths
            if len(firsts):
                peaks[terms[firsts]] = np.maximum(
                    peaks[terms[firsts]], np.maximum.reduceat(impacts[code], firsts)
                )
        self._save("peaks", peaks)

    def _create(self, name: str, dtype: np.dtype | type, length: int) -> np.ndarray:
        if not length:
            self._save(name, np.empty(0, dtype))
            return np.empty(0, dtype)
        path = self._folder / f"{name}.npy"
        return np.lib.format.open_memmap(path, "w+", np.dtype(dtype), (length,))

    def _save(self, name: str, array: np.ndarray) -> None:
        np.save(self._folder / f"{name}.npy", array)


class _Block(NamedTuple):
    """Occurrences of terms in a block of documents: document numbers, term numbers, and length code · width + count."""

    documents: np.ndarray
    terms: np.ndarray
    kinds: np.ndarray


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Read the occurrences of terms back from disk in the final order of documents, `_BLOCK` documents at a time."""

    spilled: np.ndarray
    renumbered: np.ndarray
    codes: np.ndarray
    sizes: np.ndarray
    order: np.ndarray
    width: int  # one more than the highest count

    def __iter__(self) -> Iterator[_Block]:
        starts = np.cumsum(self.sizes) - self.sizes
        for first in range(0, len(self.order), _BLOCK):
            chosen = self.order[first : first + _BLOCK]
            sizes = self.sizes[chosen]
            within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            pairs = self.spilled[np.repeat(starts[chosen], sizes) + within]
            yield _Block(
                documents=np.repeat(np.arange(first, first + len(chosen)), sizes),
                terms=self.renumbered[pairs["term"].astype(np.int64)],
                kinds=np.repeat(self.codes[chosen].astype(np.int64) * self.width, sizes) + pairs["count"],
            )
