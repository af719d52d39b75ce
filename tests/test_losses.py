"""Numbers worked by hand, and what must hold for any numbers."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eefcore.losses import predicted, sequence_logp, sft_loss, token_logp
from eefcore.masking import IGNORE

_ = IGNORE
LN2, LN4 = math.log(2), math.log(4)

# Two tokens in the vocabulary. z = (0, 0) gives each ½; z = (0, ln 3) gives ¼ and ¾.
EVEN, QUARTER = [0.0, 0.0], [0.0, math.log(3)]


def test_labels_move_one_to_the_left():
    assert predicted(torch.tensor([[_, _, 7, 8], [_, 5, _, 6]])).tolist() == [[_, 7, 8, _], [5, _, 6, _]]


@pytest.mark.parametrize(
    ("logits", "labels", "logp"),
    [
        ([EVEN, EVEN, EVEN], [_, 0, 1], -LN2 - LN2),
        ([EVEN, QUARTER, EVEN], [_, 0, 0], -LN2 - LN4),
        ([EVEN, QUARTER, EVEN], [_, 0, 1], -LN2 + math.log(3 / 4)),
        ([EVEN, QUARTER, EVEN], [_, _, 0], -LN4),  # what is read is not scored
        ([QUARTER, QUARTER, EVEN], [0, _, _], 0.0),  # nothing predicts the first token
        ([EVEN, EVEN, QUARTER], [_, _, _], 0.0),  # and the last logits predict nothing
    ],
)
def test_sequence_logp_by_hand(logits, labels, logp):
    assert sequence_logp(torch.tensor([logits]), torch.tensor([labels])).tolist() == pytest.approx([logp])


def test_sft_loss_by_hand():
    """Row 1 trains two tokens at ½ and ¼, row 2 one at ½: (ln 2 + ln 4 + ln 2) / 3 = 4/3 ln 2."""
    logits = torch.tensor([[EVEN, QUARTER, EVEN], [EVEN, EVEN, EVEN]])
    labels = torch.tensor([[_, 0, 0], [_, _, 1]])
    assert sft_loss(logits, labels, 3).item() == pytest.approx(4 / 3 * LN2)


def test_parts_of_a_batch_add_up_to_the_batch():
    """The mean of the rows' means would be (3/2 ln 2 + ln 2) / 2 = 5/4 ln 2, which is not the loss."""
    logits = torch.tensor([[EVEN, QUARTER, EVEN], [EVEN, EVEN, EVEN]])
    labels = torch.tensor([[_, 0, 0], [_, _, 1]])
    parts = [sft_loss(logits[i : i + 1], labels[i : i + 1], 3) for i in range(2)]
    assert sum(parts).item() == pytest.approx(sft_loss(logits, labels, 3).item())
    assert sum(parts).item() != pytest.approx(5 / 4 * LN2)


def test_bfloat16_logits_are_scored_in_float32():
    logits = torch.tensor([[0.0, 100.0]], dtype=torch.bfloat16)
    logp = token_logp(logits, torch.tensor([0]))
    assert logp.dtype == torch.float32
    assert logp.item() == pytest.approx(-100.0)


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(2, 9))
def test_logp_is_that_of_the_softmax(seed, rows, length):
    """Against the definition, token by token."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, length, 5, generator=generator)
    tokens = torch.randint(0, 5, (rows, length), generator=generator)
    labels = torch.where(torch.rand(rows, length, generator=generator) < 0.5, tokens, IGNORE)
    expected = [
        sum(
            math.log(torch.softmax(logits[b, t - 1], 0)[labels[b, t]].item())
            for t in range(1, length)
            if labels[b, t] != IGNORE
        )
        for b in range(rows)
    ]
    assert sequence_logp(logits, labels).tolist() == pytest.approx(expected, abs=1e-4)
