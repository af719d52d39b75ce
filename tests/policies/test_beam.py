"""Beam search over the tokens of one action: with as many beams as tokens it is exact."""

from __future__ import annotations

import pytest
import torch
from helpers.byte_tokenizer import byte_tokenizer
from helpers.sft_runs import VOCABULARY, tiny

from eefcore.policies.beam import BeamPolicy
from eefcore.policies.hf_engine.policy import HFPolicy
from eefcore.protocols import Sampling
from eefcore.rendering.formats import TurnFormat
from eefcore.rendering.renderer import Renderer
from eefcore.types import History, StopReason


def policy(seed: int, end: str, max_new_tokens: int = 2) -> HFPolicy:
    renderer = Renderer(byte_tokenizer(), TurnFormat("plain", prompt="", first="{}|", then="{}|", end=end))
    return HFPolicy(tiny(seed), renderer, slots=2, max_new_tokens=max_new_tokens, context=64)


def beam_replies(inner: HFPolicy, beams: int, *observations: str):
    beam = BeamPolicy(inner, beams=beams)
    for o in observations:
        beam.ask(o, History("t", o), Sampling())
    out = dict(beam.answers())
    assert beam.answers() == []
    return [out[o] for o in observations]


@torch.no_grad()
def likeliest(inner: HFPolicy, observation: str) -> tuple[list[int], float]:
    """Return the likeliest action among all of one or two tokens."""
    prompt = inner.renderer.encode(History("t", observation)).tokens
    (end,) = inner.renderer.ids(inner.renderer.format.end)
    first = inner.model(torch.tensor([prompt])).logits[0, -1].log_softmax(-1)
    second = (
        inner.model(torch.tensor([[*prompt, x] for x in range(VOCABULARY)])).logits[:, -1].log_softmax(-1)
    )
    both = first[:, None] + second
    both[end] = -torch.inf  # an action ends there
    x, y = divmod(int(both.argmax()), VOCABULARY)
    if first[end] >= both.max():
        return [end], first[end].item()
    return [x, y], both.max().item()


@pytest.mark.parametrize("seed", range(3))
def test_beam_search_with_every_beam_finds_the_likeliest_action(seed):
    inner = policy(seed, ".")
    (reply,) = beam_replies(inner, VOCABULARY, "a page")
    tokens, logp = likeliest(inner, "a page")
    assert list(reply.tokens) == tokens
    assert sum(reply.logps) == pytest.approx(logp, abs=1e-4)
    assert (reply.stop is None) is (tokens[-1] == inner.renderer.ids(".")[0] and len(tokens) > 1)


def test_one_beam_is_greedy_whatever_else_is_in_the_batch():
    inner = policy(0, ".", 6)
    inner.ask("alone", History("t", "a page"), Sampling())
    ((_, greedy),) = inner.answers()
    alone, longer = beam_replies(inner, 1, "a page", "a page that is longer")
    assert alone.tokens == greedy.tokens and alone.logps == pytest.approx(greedy.logps, abs=1e-4)
    assert [longer.tokens] == [r.tokens for r in beam_replies(inner, 1, "a page that is longer")]


def test_a_page_that_fills_the_context_ends_with_context_limit():
    (reply,) = beam_replies(policy(0, "."), 2, "a page " * 20)
    assert reply.stop is StopReason.CONTEXT_LIMIT
