"""Log-likelihoods equal the definition for any grouping of rows, and stored ones are checked."""

import math

import pytest
import torch
from helpers.sft_runs import some_rows, tiny

from eefcore.errors import DriftError
from eefcore.training.logprobs import Drift, check_drift, measure_drift, token_logps
from eefcore.training.models import add_adapter
from eefcore.training.rows import IGNORE, Row


def by_definition(model, row):
    """Return log-likelihoods of one unpadded row, from the softmax of every logit."""
    logps = torch.log_softmax(model(torch.tensor([row.tokens])).logits[0].double(), dim=-1)
    return [logps[l - 1, label].item() for l, label in enumerate(row.labels) if l and label != IGNORE]


@pytest.mark.parametrize("batch_tokens", [1, 70, 10_000])
def test_each_trained_token_is_scored_once_in_the_order_of_the_rows(batch_tokens):
    model, rows, heard = tiny().train(), some_rows(9), []
    got = token_logps(model, rows, batch_tokens=batch_tokens, on_rows=heard.append)
    assert not model.training and sum(heard) == len(rows)
    for row, logps in zip(rows, got, strict=True):
        assert logps == pytest.approx(by_definition(model, row), abs=1e-5)


def test_an_adapter_is_scored_with_its_base():
    model, row = add_adapter(tiny(), r=2, alpha=4, seed=0), some_rows(1)[0]
    torch.nn.init.normal_(next(p for n, p in model.named_parameters() if "lora_B" in n))
    (got,) = token_logps(model, [row], batch_tokens=99)
    assert got == pytest.approx(by_definition(model, row), abs=1e-5)
    with model.disable_adapter():
        assert got != pytest.approx(by_definition(model, row), abs=1e-5)


def test_bfloat16_log_likelihoods_are_close_but_not_equal():
    model, rows = tiny(), some_rows(9)
    exact, rough = (token_logps(model, rows, batch_tokens=99, bf16=b) for b in (False, True))
    assert 0 < measure_drift(exact, rough).mean < 0.01


def test_no_rows_give_no_log_likelihoods():
    assert token_logps(tiny(), [], batch_tokens=9) == []
    assert token_logps(tiny(), [Row([1, 2], [1, IGNORE])], batch_tokens=9) == [()]


# Drift --------------------------------------------------------------------------------------------------


def test_drift_is_a_mean_over_tokens():
    found = measure_drift([(-1.0, -2.0), (-3.0,)], [(-1.0, -2.25), (-2.5,)])
    assert found == Drift((0.0, -0.25, 0.5)) and (found.mean, found.worst) == (0.25, 0.5)
    assert measure_drift([], []) == measure_drift([()], [()]) == Drift(())
    assert Drift(()).summary() == dict.fromkeys(Drift(()).summary(), 0.0)


def test_the_summary_shows_what_the_signed_mean_hides():
    """A ratio that is 50 % off in half of the tokens has a signed mean of 0."""
    summary = Drift((0.4, -0.4, 0.4, -0.4, 0.0, 0.0, 0.05, -0.05)).summary()
    assert summary["signed"] == pytest.approx(0.0)
    assert (summary["tokens"], summary["worst"], summary["outside"]) == (8, 0.4, 0.5)
    assert summary["mean"] == pytest.approx(0.2125) and summary["rms"] == pytest.approx(0.2839, abs=1e-4)
    assert summary["p95"] == pytest.approx(0.4)


def test_small_drift_passes_and_is_reported():
    assert check_drift([(-1.0,)], [(-1.125,)], at_most=0.125) == Drift((-0.125,))


@pytest.mark.parametrize(
    ("stored", "recomputed", "message"),
    [
        ([(-1.0, -1.0)], [(-1.0, -2.0)], "by 0.5 per token .at worst 1., expected at most 0.1"),
        ([(-1.0,)], [(math.nan,)], "differ from the trainer's by nan"),
        ([(-1.0,), (-1.0,)], [(-1.0,), (-1.0, -2.0)], "row 1 of 2: 1 log-likelihoods are stored, 2 tokens"),
    ],
)
def test_large_drift_is_refused(stored, recomputed, message):
    with pytest.raises(DriftError, match=message):
        check_drift(stored, recomputed, at_most=0.1)


def test_log_likelihoods_of_another_model_are_refused():
    rows = some_rows(6)
    stored, other = (token_logps(tiny(seed), rows, batch_tokens=99) for seed in (0, 1))
    assert check_drift(stored, token_logps(tiny(0), rows, batch_tokens=40), at_most=1e-5)
    with pytest.raises(DriftError, match="computed under another model"):
        check_drift(stored, other, at_most=0.001)
