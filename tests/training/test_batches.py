"""A global batch is cut into forward passes that fit, whatever they hold, and what begins alike stays together."""

import pytest
from helpers.shared_rows import tries
from hypothesis import given, settings
from hypothesis import strategies as st

from eefcore.training.batches import BatchSampler, Passes
from eefcore.training.rows import Row


def alone(row):
    return [row]


@pytest.mark.parametrize("packed", [False, True])
@given(rows=tries(), tokens=st.integers(1, 80), at_least=st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_each_row_is_in_one_pass_and_passes_fit(rows, tokens, at_least, packed):
    passes = Passes(packed, tokens)
    numbered = list(enumerate(rows))
    cut = passes.cut(numbered, lambda item: [item[1]], at_least=at_least)
    assert sorted(i for part in cut for i, _ in part) == list(range(len(rows)))
    assert min(len(rows), at_least) <= len(cut) <= len(rows)
    for part in cut:
        assert len(part) == 1 or passes.count([row for _, row in part]) <= tokens
    assert passes.cut(numbered, lambda item: [item[1]], at_least=at_least) == cut


def families(n: int, rows: int, shared: int, own: int) -> list[Row]:
    made = []
    for k in range(rows):
        for family in range(n):
            tokens = [1, *[family + 2] * shared, *[100 + k] * own, 7]
            made.append(Row(tokens, tokens))
    return made


def test_families_stay_whole_where_they_fit():
    """Three families of 4 rows, each of 1 + 50 + 4 · 5 tokens: two fit into a pass, and none is cut."""
    rows, passes = families(3, 4, shared=50, own=5), Passes(True, 150)
    cut = passes.cut(rows, alone)
    assert len(cut) == 2
    assert sorted(len({row.tokens[1] for row in part}) for part in cut) == [1, 2]
    assert sum(passes.count(part) for part in cut) == 2 * 1 + 3 * 70
    # Dealt by length or at random, each pass would read nearly every beginning.
    assert sum(passes.count(rows[k : k + 3]) for k in range(0, 12, 3)) == 4 * (1 + 3 * 55)


def test_a_budget_counts_what_rows_share_once_and_padding_where_they_are_padded():
    rows = families(1, 8, shared=50, own=5)
    assert Passes(True, 1).count(rows) == 1 + 50 + 8 * 5
    assert Passes(False, 1).count(rows) == 8 * 56
    assert len(Passes(True, 91).cut(rows, alone)) == 1
    assert len(Passes(False, 448).cut(rows, alone)) == 1 and len(Passes(False, 447).cut(rows, alone)) == 2


def test_padded_passes_hold_rows_of_similar_length():
    rows = [Row([1] * n, [1] * n) for n in (5, 100, 6, 101)]
    assert Passes(False, 250).cut(rows, alone) == [[rows[1], rows[3]], [rows[0], rows[2]]]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.sampled_from([1, 2, 4]), st.integers(1, 4))
@settings(max_examples=50, deadline=None)
def test_each_device_gets_long_and_short_items_of_a_batch(lengths, devices, share):
    one, several = (list(BatchSampler(lengths, share * devices, 0, devices=d)) for d in (1, devices))
    for start in range(0, len(lengths) - share * devices + 1, share * devices):
        batch = one[start : start + share * devices]
        assert several[start : start + share * devices] == [
            i for d in range(devices) for i in batch[d::devices]
        ]
    assert sorted(several) == list(range(len(lengths)))
