"""Preference pairs in ids, with log π_ref of what they train: stored with the data, so that no second model is loaded.

referenced    preferences, and what the reference thinks of each trained token      (Agent Q §5.2)
completed     the same of those that were not sampled; the others know it already     (the off-policy replay buffer)
pairs         the same as a trainer reads them
replayed      those of earlier rounds that the model has not left too far behind
gate          that the trainer computes what was stored, before it learns from it
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from eefcore.errors import MaskError
from eefcore.rendering.renderer import Renderer
from eefcore.training.logprobs import Drift, drift, refuse_drift, token_logps
from eefcore.training.rows import Row, rows, show_mask
from eefcore.types import Preference

_SAMPLE = 64  # pairs that the gate looks at, at least, where there are as many
_GATE_TOKENS = 4096  # of one of its forward passes


class Pair(NamedTuple):
    """A preference in ids, and log π_ref of each trained token of both sides.

    A side has one row, or one an action where h_t does not grow (`masking.rows`); its log π is the sum over them.
    `age` is the preference's: 0 where π_ref is the model that learns.
    """

    chosen: tuple[Row, ...]
    rejected: tuple[Row, ...]
    chosen_logps: tuple[float, ...]
    rejected_logps: tuple[float, ...]
    age: int = 0


class Referenced(NamedTuple):
    """Preferences with their reference log-likelihoods, and how many were refused because a side is too long."""

    preferences: list[Preference]
    refused: int


def referenced(
    preferences: Sequence[Preference],
    model: Any,
    renderer: Renderer,
    *,
    context: int,
    batch_tokens: int,
    bf16: bool,
    on_rows: Callable[[int], None] = lambda n: None,
) -> Referenced:
    """The preferences with log π_ref of every trained token, `model` being π_ref.

    Args:
        context: pairs of which a side is longer are refused and counted, never cut.
        batch_tokens: tokens of one forward pass (`scoring.token_logps`).
        bf16: as the trainer that will read them computes.
        on_rows: hears how many rows are done; two a pair, or one an action where h_t does not grow.
    """
    fitting = _fitting(preferences, renderer, context)
    sides = [side for _, both in fitting for side in both]
    logps = _logps(model, sides, _pad(renderer), batch_tokens, bf16, on_rows)
    scored = [
        msgspec.structs.replace(p, chosen_logps=chosen, rejected_logps=rejected, age=0)
        for (p, _), chosen, rejected in zip(fitting, logps[::2], logps[1::2], strict=True)
    ]
    return Referenced(scored, len(preferences) - len(scored))


def completed(
    preferences: Sequence[Preference],
    model: Any,
    renderer: Renderer,
    *,
    context: int,
    batch_tokens: int,
    bf16: bool,
    on_rows: Callable[[int], None] = lambda n: None,
) -> Referenced:
    """The preferences with the likelihoods they were sampled with, the others with `model`'s, as `referenced`.

    What a policy wrote carries log π of each token from when it was written: Agent Q's off-policy replay buffer, which
    knows the reference density of each tuple whoever generated it. Only what nobody sampled, as an expert's action, is
    scored.
    """
    unknown = [p for p in preferences if not p.chosen_logps]
    scored = referenced(
        unknown, model, renderer, context=context, batch_tokens=batch_tokens, bf16=bf16, on_rows=on_rows
    )
    kept = [p for p, _ in _fitting([p for p in preferences if p.chosen_logps], renderer, context)]
    return Referenced([*kept, *scored.preferences], len(preferences) - len(kept) - len(scored.preferences))


class Replayed(NamedTuple):
    """What is left of a replay buffer, how many were left out as stale, and the mean shift of those of earlier rounds."""

    preferences: list[Preference]
    stale: int
    shift: float  # |log π - log π_ref| a token, over all of them; NaN if there are none


def replayed(
    preferences: Sequence[Preference],
    model: Any,
    renderer: Renderer,
    *,
    at_most: float,
    batch_tokens: int,
    bf16: bool,
    on_rows: Callable[[int], None] = lambda n: None,
) -> Replayed:
    """The preferences without those of earlier rounds whose likelihoods `model` has left by more than `at_most` a token.

    Learning has moved π_θ on since they were sampled, so their shift is no error, as it would be in the model's own
    round (`gate`; theirs was passed then). How far a reference may lie behind is a question of its own, which the paper
    does not answer; the bound is ours.
    """
    old = [p for p in preferences if p.age]
    kept = pairs(old, renderer)
    stored = [(*p.chosen_logps, *p.rejected_logps) for p in kept]
    again = _logps(
        model, [(*p.chosen, *p.rejected) for p in kept], _pad(renderer), batch_tokens, bf16, on_rows
    )
    shifts = [drift([was], [now]).mean for was, now in zip(stored, again, strict=True)]
    near = iter([shift <= at_most for shift in shifts])
    left = [p for p in preferences if not p.age or next(near)]
    return Replayed(left, len(preferences) - len(left), drift(stored, again).mean if old else math.nan)


def _fitting(
    preferences: Iterable[Preference], renderer: Renderer, context: int
) -> list[tuple[Preference, tuple[list[Row], list[Row]]]]:
    """Those of which no row of either side is longer than `context`, and the rows of both sides."""
    read = ((p, (rows(p.chosen, renderer), rows(p.rejected, renderer))) for p in preferences)
    return [(p, both) for p, both in read if all(len(r.tokens) <= context for side in both for r in side)]


def pairs(preferences: Sequence[Preference], renderer: Renderer) -> list[Pair]:
    """The preferences as the trainer reads them.

    Raises:
        MaskError: a preference has no reference log-likelihoods, or those of another number of tokens.
    """
    out = []
    for p in preferences:
        sides = tuple(rows(p.chosen, renderer)), tuple(rows(p.rejected, renderer))
        pair = Pair(*sides, p.chosen_logps, p.rejected_logps, p.age)
        expected = (n_trained(pair.chosen), n_trained(pair.rejected))
        got = (len(pair.chosen_logps), len(pair.rejected_logps))
        if got != expected:
            raise MaskError(
                f"{p.chosen.trajectory.task_id}: preference at s_{p.chosen.first}: {expected} tokens are trained, "
                f"{got} reference log-likelihoods are stored; compute them with this tokenizer and format "
                "(notebook 08_preferences)"
            )
        out.append(pair)
    return out


def gate(model: Any, pairs: Sequence[Pair], *, pad_id: int, bf16: bool, at_most: float) -> Drift:
    """By how much `model`, as the trainer computes, differs from π_ref on a sample of the pairs of its own round.

    Before a model learns from pairs that it made itself the two are one, and a drift is an error of precision,
    tokens or files. Of a replayed pair it could be what was learnt since; it passed the gate of its own round, and
    `replayed` says how far behind it may lie.

    Raises:
        DriftError: by more than `at_most` a token, on average.
    """
    own = [p for p in pairs if not p.age]
    some = own[:: max(1, len(own) // _SAMPLE)]
    stored = [logps for p in some for logps in (p.chosen_logps, p.rejected_logps)]
    sides = [side for p in some for side in (p.chosen, p.rejected)]
    again = _logps(model, sides, pad_id, _GATE_TOKENS, bf16)
    return refuse_drift(stored, again, at_most=at_most)


def shown(pairs: Sequence[Pair], decode: Callable[[Sequence[int]], str]) -> str:
    """The shortest pair with what is trained of it in «guillemets», to read before it is trained."""
    if not pairs:
        return "no pair: the policy learns nothing in this round"
    pair = min(pairs, key=lambda p: sum(len(r.tokens) for side in (p.chosen, p.rejected) for r in side))
    chosen, rejected = (
        "\n\nand then\n\n".join(show_mask(*r, decode) for r in side) for side in (pair.chosen, pair.rejected)
    )
    return f"{chosen}\n\nrather than\n\n{rejected}"


def n_trained(side: Sequence[Row]) -> int:
    """Trained tokens of one side of a pair."""
    return sum(r.n_trained for r in side)


def _logps(
    model: Any,
    sides: Sequence[Sequence[Row]],
    pad_id: int,
    batch_tokens: int,
    bf16: bool,
    on_rows: Callable[[int], None] = lambda n: None,
) -> list[tuple[float, ...]]:
    """log π of each trained token of each side, its rows one after the other."""
    every = [r for side in sides for r in side]
    each = iter(
        token_logps(model, every, pad_id=pad_id, batch_tokens=batch_tokens, bf16=bf16, on_rows=on_rows)
    )
    return [tuple(p for _ in side for p in next(each)) for side in sides]


def _pad(renderer: Renderer) -> int:
    return renderer.tokenizer.pad_token_id or 0
