"""Reference likelihoods log π_ref of preference pairs: computed once, stored with the data, and checked before training.

add_reference_logps     score preferences under π_ref, or only those that no policy sampled    (Agent Q §5.2)
drop_stale_preferences  leave out pairs of earlier rounds that the model has moved too far away from
encode_pairs            make training rows of the preferences and their likelihoods
check_reference_logps   check that the trainer computes what was stored, before it learns from it

So no second model is loaded when a policy is trained.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from eefcore.errors import MaskError
from eefcore.rendering.renderer import Renderer
from eefcore.training.logprobs import ALARM, NOISE, Drift, OnRows, check_drift, measure_drift, token_logps
from eefcore.training.rows import Row, make_rows, rows_within, show_mask
from eefcore.types import Preference

_CHECKED_PAIRS = 64  # pairs that are checked, at least, where there are as many


class Pair(NamedTuple):
    """A preference as training rows, with log π_ref of each trained token of both sides.

    A side has one row, or one row per action where h_t does not grow (`rows.make_rows`); its log π is the sum over them.
    `age` is the preference's: 0 where π_ref is the model that learns.
    """

    chosen: tuple[Row, ...]
    rejected: tuple[Row, ...]
    chosen_logps: tuple[float, ...]
    rejected_logps: tuple[float, ...]
    age: int = 0

    @property
    def rows(self) -> tuple[Row, ...]:
        """Return the rows of both sides, the chosen side first."""
        return (*self.chosen, *self.rejected)


class ReferenceModel(NamedTuple):
    """The reference model π_ref, and how log-likelihoods are computed under it (`logprobs.token_logps`); `bf16` as the trainer computes."""

    model: Any
    renderer: Renderer
    batch_tokens: int
    bf16: bool
    on_rows: OnRows | None = None

    def side_logps(self, sides: Sequence[Sequence[Row]]) -> list[tuple[float, ...]]:
        """Return log π_ref of each trained token of each side of a pair, its rows one after the other."""
        rows = [row for side in sides for row in side]
        by_row = token_logps(
            self.model, rows, batch_tokens=self.batch_tokens, bf16=self.bf16, on_rows=self.on_rows
        )
        logps = iter(by_row)
        return [tuple(p for _ in side for p in next(logps)) for side in sides]


class ScoredPreferences(NamedTuple):
    """Preferences with their reference log-likelihoods, and how many were refused: too long, or not writable."""

    preferences: list[Preference]
    refused: int


def add_reference_logps(
    preferences: Sequence[Preference], reference: ReferenceModel, *, context: int, keep_sampled: bool = False
) -> ScoredPreferences:
    """Return the preferences with log π_ref of every trained token.

    With `keep_sampled`, what a policy wrote keeps log π of each token from when it was written: Agent Q's off-policy
    replay buffer, which knows the reference density of each tuple whichever model generated it. Only text that no policy
    sampled, such as an expert's action, is scored then. Preferences with a side longer than `context` are refused and
    counted, never cut.
    """
    sampled, sides, unscored = [], [], []
    for p in preferences:
        chosen, rejected = (rows_within(side, reference.renderer, context) for side in (p.chosen, p.rejected))
        if chosen is None or rejected is None:
            continue
        if keep_sampled and p.chosen_logps:
            sampled.append(p)
        else:
            unscored.append(p)
            sides += [chosen, rejected]
    logps = reference.side_logps(sides)
    scored = [
        msgspec.structs.replace(p, chosen_logps=chosen, rejected_logps=rejected, age=0)
        for p, chosen, rejected in zip(unscored, logps[::2], logps[1::2], strict=True)
    ]
    return ScoredPreferences([*sampled, *scored], len(preferences) - len(sampled) - len(scored))


class FreshPreferences(NamedTuple):
    """The preferences of a replay buffer that are still close enough to the model, and how many (`stale`) are not.

    `shift` is the mean |log π − log π_ref| per token of all pairs of earlier rounds; NaN if there are none.
    """

    preferences: list[Preference]
    stale: int
    shift: float


def drop_stale_preferences(
    preferences: Sequence[Preference], reference: ReferenceModel, *, at_most: float
) -> FreshPreferences:
    """Leave out preferences of earlier rounds whose likelihoods the model has moved by more than `at_most` per token.

    Learning has moved π_θ since they were sampled, so their shift is not an error, as it would be in the model's own
    round (`check_reference_logps`, which they passed then). How far a reference may lag behind is a separate question
    that the paper does not answer; the bound is ours.
    """
    old = [p for p in preferences if p.age]
    pairs = encode_pairs(old, reference.renderer)
    stored = [(*p.chosen_logps, *p.rejected_logps) for p in pairs]
    recomputed = reference.side_logps([p.rows for p in pairs])
    shifts = [measure_drift([then], [now]).mean for then, now in zip(stored, recomputed, strict=True)]
    close = iter([shift <= at_most for shift in shifts])
    fresh = [p for p in preferences if not p.age or next(close)]
    shift = measure_drift(stored, recomputed).mean if old else math.nan
    return FreshPreferences(fresh, len(preferences) - len(fresh), shift)


def encode_pairs(preferences: Sequence[Preference], renderer: Renderer) -> list[Pair]:
    """Return the preferences as pairs of training rows.

    Raises:
        MaskError: a preference has no reference log-likelihoods, or those of another number of tokens.
    """
    pairs = []
    for p in preferences:
        chosen, rejected = (tuple(make_rows(side, renderer)) for side in (p.chosen, p.rejected))
        pair = Pair(chosen, rejected, p.chosen_logps, p.rejected_logps, p.age)
        trained = tuple(sum(row.n_trained for row in side) for side in (chosen, rejected))
        stored = (len(pair.chosen_logps), len(pair.rejected_logps))
        if stored != trained:
            raise MaskError(
                f"{p.chosen.trajectory.task_id}: preference at s_{p.chosen.first}: {trained} tokens are trained, "
                f"{stored} reference log-likelihoods are stored; compute them with this tokenizer and format "
                "(notebook 08_preferences)"
            )
        pairs.append(pair)
    return pairs


def check_reference_logps(
    pairs: Sequence[Pair], reference: ReferenceModel, *, at_most: float | None = None
) -> Drift:
    """Measure how much the model, as the trainer computes, differs from π_ref on a sample of the pairs of its own round.

    Before a model learns from pairs that it made itself the two are equal, and a drift is an error of precision,
    tokens or files. A pair of an earlier round passed the check of that round, and `drop_stale_preferences` bounds how
    far behind it may be. `at_most` is the largest mean |Δ| a token; None is what the trainer's precision can explain
    (`logprobs.ALARM`).

    Raises:
        DriftError: they differ by more, on average.
    """
    own = [p for p in pairs if not p.age]
    sample = own[:: max(1, len(own) // _CHECKED_PAIRS)]
    stored = [logps for p in sample for logps in (p.chosen_logps, p.rejected_logps)]
    recomputed = reference.side_logps([side for p in sample for side in (p.chosen, p.rejected)])
    drift = check_drift(stored, recomputed, at_most=ALARM[reference.bf16] if at_most is None else at_most)
    if drift.mean > NOISE[True]:
        warnings.warn(
            f"stored log-likelihoods differ from the trainer's by {drift.mean:.2g} per token, more than rounding explains; "
            "compare the dtype of the engine with the trainer's",
            stacklevel=2,
        )
    return drift


def show_pair(pairs: Sequence[Pair], decode: Callable[[Sequence[int]], str]) -> str:
    """Return the shortest pair as text, what is trained of it in «guillemets», to be read before it is trained."""
    if not pairs:
        return "no pair: the policy learns nothing in this round"
    pair = min(pairs, key=lambda p: sum(len(row.tokens) for row in p.rows))
    chosen, rejected = (
        "\n\nand then\n\n".join(show_mask(*row, decode) for row in side)
        for side in (pair.chosen, pair.rejected)
    )
    return f"{chosen}\n\nrather than\n\n{rejected}"
