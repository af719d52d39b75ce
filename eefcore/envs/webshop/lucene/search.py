"""Search as Lucene does: BM25 over a read-only inverted index, mapped from disk.

    score(d) = Σ_t  w_t - w_t / (1 + i_td)          float32, summed in float64, rounded to float32
        w_t  = (times t is in the query) · ln(1 + (N - n_t + ½) / (n_t + ½))
        i_td = f_td / (k1 (1 - b + b |d| / avgdl))   with |d| from its one-byte code

That is Lucene 8.11's arithmetic, operation by operation, so that equal scores there are equal here. Documents are
numbered in the order of their names, so ties go to the lower number (Anserini: ascending id).

Terms are scored from the one that can add most to the one that can add least. Once the remaining terms can't lift a
new document over the k-th best score, only documents near that score are scored further (MaxScore). No document that
could enter the top k is dropped.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eefcore.envs.webshop.lucene.terms import LENGTHS, terms

K1, B = np.float32(0.9), np.float32(0.4)

_SLACK = 1 - 1e-6  # allows for more than the error of rounding to float32
_SPARSE = 16  # looking a document up in a list costs about as much as scoring this many in sequence


class Hits(NamedTuple):
    """The documents that a search found, best first, and their scores."""

    documents: np.ndarray  # int64 [≤ k]
    scores: np.ndarray  # float32 [≤ k]


class _Postings(NamedTuple):
    """The part of the index that lists a term's documents, its weight in this query, and the most it can add to a score."""

    start: int
    stop: int
    weight: np.float32
    most: float


class Index:
    """An inverted index in a folder (`indexing.IndexWriter`); opening it reads a few headers only."""

    def __init__(self, folder: Path) -> None:
        self._vocabulary = mapped(folder / "terms.npy")
        self._term_ends = mapped(folder / "term_ends.npy")
        self._ends = mapped(folder / "posting_ends.npy")
        self._documents = mapped(folder / "posting_documents.npy")
        self._codes = mapped(folder / "posting_codes.npy")
        self._impacts = np.array(mapped(folder / "impacts.npy"))
        self._peaks = mapped(folder / "peaks.npy")
        self._n_documents, self._n_filled = map(int, mapped(folder / "counts.npy"))
        self._find = lru_cache(maxsize=1 << 14)(self._find_term)

    def search(self, query: str, k: int = 50) -> Hits:
        """Return the best `k` documents with a term of `query`; fewer where fewer have one."""
        lists = [p for term, times in Counter(terms(query)).items() if (p := self._postings(term, times))]
        lists.sort(key=lambda p: -p.most)
        left = [0.0, *np.cumsum([p.most for p in reversed(lists)])][::-1]  # the most that lists[i:] can add
        scores = np.zeros(self._n_documents)
        bar, done = 0.0, 0  # a lower bound of the k-th best score; how many lists are in `scores`
        for done, postings in enumerate(lists, 1):
            now = self._add(postings, scores)
            if len(now) >= k and left[done] and now.max() > left[done]:
                bar = max(bar, _kth(now, k))
            if left[done] < bar * _SLACK:
                break
        near = np.flatnonzero(scores > 0) if not bar else np.flatnonzero(scores >= bar * _SLACK - left[done])
        totals = scores[near]
        for i in range(done, len(lists)):
            totals = self._extend(lists[i], near, totals, scores)
            bar = max(bar, _kth(totals, k))
            kept = totals >= bar * _SLACK - left[i + 1]
            near, totals = near[kept], totals[kept]
        return _best(near, totals.astype(np.float32), k)

    def _add(self, postings: _Postings, scores: np.ndarray) -> np.ndarray:
        """Add a term to `scores`; return the new scores of its documents."""
        documents = self._documents[postings.start : postings.stop]
        added = _score(self._impacts, postings.weight)[self._codes[postings.start : postings.stop]]
        now = scores[documents] + added
        scores[documents] = now
        return now

    def _extend(
        self, postings: _Postings, near: np.ndarray, totals: np.ndarray, scores: np.ndarray
    ) -> np.ndarray:
        """Add a term to the `totals` of the documents `near`; `scores` may serve as scratch."""
        documents = self._documents[postings.start : postings.stop]
        if len(near) * _SPARSE > len(documents):
            scores[near] = totals
            self._add(postings, scores)
            return scores[near]
        at = np.searchsorted(documents, near.astype(documents.dtype))
        at[at == len(documents)] = 0
        there = documents[at] == near
        added = _score(self._impacts[self._codes[postings.start + at[there]]], postings.weight)
        totals[there] += added
        return totals

    def _postings(self, term: str, times: int) -> _Postings | None:
        number = self._find(term)
        if number is None:
            return None
        start, stop = (int(self._ends[number - 1]) if number else 0), int(self._ends[number])
        n = stop - start
        weight = np.float32(times) * np.float32(np.log(1 + (self._n_filled - n + 0.5) / (n + 0.5)))
        return _Postings(start, stop, weight, float(_score(self._peaks[number], weight)))

    def _find_term(self, term: str) -> int | None:
        """Return the number of a term, None if no document has it."""
        encoded = term.encode()
        number = bisect_left(range(len(self._term_ends)), encoded, key=self._term)
        return number if number < len(self._term_ends) and self._term(number) == encoded else None

    def _term(self, number: int) -> bytes:
        start = self._term_ends[number - 1] if number else 0
        return self._vocabulary[start : self._term_ends[number]].tobytes()


def norms(average_length: float) -> np.ndarray:
    """Return 1 / (k1 (1 - b + b |d| / avgdl)) for each length code, float32 [256]."""
    one = np.float32(1)
    return one / (K1 * ((one - B) + B * LENGTHS.astype(np.float32) / np.float32(average_length)))


def _score(impacts: np.ndarray, weight: np.float32) -> np.ndarray:
    one = np.float32(1)
    return weight - weight / (one + impacts)


def _kth(scores: np.ndarray, k: int) -> float:
    """Return the k-th largest score; 0 where there are fewer."""
    return float(np.partition(scores, len(scores) - k)[len(scores) - k]) if len(scores) >= k else 0.0


def _best(documents: np.ndarray, scores: np.ndarray, k: int) -> Hits:
    """Return the top k, ties by document number."""
    if len(scores) > k:
        kept = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
        documents, scores = documents[kept], scores[kept]
    order = np.lexsort((documents, -scores))[:k]
    return Hits(documents[order], scores[order])


def mapped(path: Path) -> np.ndarray:
    """Map a file as a plain array, whose slices cost a fifth of a `memmap`'s."""
    return np.asarray(np.load(path, mmap_mode="r"))
