"""Losses worked by hand, and their properties for any numbers."""

import math

import pytest
import torch
from helpers.definitions import sequence_logp
from hypothesis import given
from hypothesis import strategies as st

from eefcore.training.losses import dpo_loss, sft_loss, token_logp
from eefcore.training.rows import IGNORE

_ = IGNORE
LN2, LN4 = math.log(2), math.log(4)

# Two tokens in the vocabulary. z = (0, 0) gives each ½; z = (0, ln 3) gives ¼ and ¾.
EVEN, QUARTER = [0.0, 0.0], [0.0, math.log(3)]


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
def test_sequence_log_likelihoods_match_a_hand_computation(logits, labels, logp):
    assert sequence_logp(torch.tensor([logits]), torch.tensor([labels])).tolist() == pytest.approx([logp])


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


# SFT ----------------------------------------------------------------------------------------------------


def test_the_sft_loss_matches_a_hand_computation():
    """Trained tokens at ½ and ¼: −(ln ½ + ln ¼) = ln 8."""
    assert sft_loss(torch.tensor([-LN2, -LN4])).item() == pytest.approx(math.log(8))


# DPO ----------------------------------------------------------------------------------------------------


def dpo(*logps: float, beta: float) -> tuple[float, float]:
    loss, margin = dpo_loss(*(torch.tensor([x]) for x in logps), beta=beta)
    return loss.item(), margin.item()


@pytest.mark.parametrize(
    ("chosen", "rejected", "reference_chosen", "reference_rejected", "beta", "loss"),
    [
        (-2.0, -3.0, -2.0, -3.0, 0.1, LN2),  # π is π_ref: σ(0) = ½
        (-1.5, -3.5, -2.0, -3.0, 0.1, math.log(1 + math.exp(-0.1))),  # log-ratios +½ and −½: 0.6444
        (-2.5, -2.5, -2.0, -3.0, 0.1, math.log(1 + math.exp(0.1))),  # −½ and +½
        (-1.0, -3.0, -2.0, -3.0, math.log(3), math.log(4 / 3)),  # σ(ln 3) = ¾
        (-1.0, -9.0, -1.0, -8.0, math.log(3), math.log(4 / 3)),  # the rejected one less likely does as well
        (-2.0, -2.0, -2.0, -3.0, math.log(3), LN4),  # σ(−ln 3) = ¼
    ],
)
def test_the_dpo_loss_of_equation_4_matches_a_hand_computation(
    chosen, rejected, reference_chosen, reference_rejected, beta, loss
):
    got, margin = dpo(chosen, rejected, reference_chosen, reference_rejected, beta=beta)
    assert got == pytest.approx(loss)
    assert margin == pytest.approx(-math.log(math.expm1(loss)), abs=1e-6)


def test_equation_5_sums_over_actions_without_observations():
    """Chosen: tokens at ½ and ¼ of two actions, what is between them is read. Rejected: one token at ¾.

    Under π_ref each token is at ½: log-ratios −ln 2 and ln 3/2, margin at β = 1 −ln 3, loss ln 4.
    """
    logits = torch.tensor([[EVEN, EVEN, QUARTER, EVEN], [QUARTER, EVEN, EVEN, EVEN]])
    labels = torch.tensor([[_, 0, _, 0], [_, 1, _, _]])
    chosen, rejected = sequence_logp(logits, labels).split(1)
    loss, margin = dpo_loss(chosen, rejected, torch.tensor([-2 * LN2]), torch.tensor([-LN2]), beta=1.0)
    assert margin.item() == pytest.approx(-math.log(3))
    assert loss.item() == pytest.approx(LN4)


def test_the_dpo_gradient_is_that_of_the_paper():
    """−β σ(−margin) to the chosen, the opposite to the rejected: wrong pairs pull more."""
    chosen = torch.tensor([-1.0, -5.0], requires_grad=True)
    rejected = torch.tensor([-5.0, -1.0], requires_grad=True)
    reference = torch.tensor([-3.0, -3.0])
    dpo_loss(chosen, rejected, reference, reference, beta=0.5).loss.sum().backward()
    pulls = [0.5 / (1 + math.exp(2.0)), 0.5 / (1 + math.exp(-2.0))]
    assert chosen.grad.tolist() == pytest.approx([-p for p in pulls])
    assert rejected.grad.tolist() == pytest.approx(pulls)


logp = st.floats(-200.0, 0.0)


@given(logp, logp, logp, logp, st.floats(0.01, 1.0))
def test_properties_of_the_dpo_loss_of_any_pair(chosen, rejected, reference_chosen, reference_rejected, beta):
    loss, margin = dpo(chosen, rejected, reference_chosen, reference_rejected, beta=beta)
    back, other = dpo(rejected, chosen, reference_rejected, reference_chosen, beta=beta)
    assert margin == pytest.approx(-other, abs=1e-4)
    assert loss - back == pytest.approx(-margin, abs=1e-3)  # log σ(x) − log σ(−x) = x
    assert (loss < LN2) == (margin > 0) or margin == pytest.approx(0, abs=1e-6)
