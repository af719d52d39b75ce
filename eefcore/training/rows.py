"""Make training rows: a trajectory as token ids, with labels that say which tokens carry the loss (EEF §3.2).

m_l = 1 iff t_l lies in a trained action:

    tokens    o_0 … | a_0 … end | o_1 … | a_1 … end
    first=0    0 …     1 …  1      0 …     1 …  1
    first=1    0 …     0 …  0      0 …     1 …  1

The spans of actions are recorded while rendering, never searched for afterwards; sampled ids are used as they were
sampled, never decoded and encoded again. Where h_t does not grow (`Format.grows`), each trained action has a row
of its own, after the h_t that it was written in.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from eefcore.errors import FormatError, MaskError
from eefcore.rendering.formats import add_phrase, dialogue
from eefcore.rendering.renderer import Encoded, Renderer
from eefcore.types import Example, History

IGNORE = -100  # torch.nn.functional.cross_entropy's ignore_index


class Row(NamedTuple):
    """One training row: ids [L], and labels [L] that are the id where it is trained, else IGNORE."""

    tokens: list[int]
    labels: list[int]

    @property
    def n_trained(self) -> int:
        """Return the number of trained tokens; the first token is never one, since nothing predicts it."""
        return sum(label != IGNORE for label in self.labels[1:])


def make_rows(example: Example, renderer: Renderer) -> list[Row]:
    """Return the training rows of τ: one where h_t grows, else one for each trained action, after its own h_t.

    Raises:
        FormatError, MaskError: see `make_row`.
    """
    if renderer.format.grows:
        return [make_row(example, renderer)]
    return [_make_action_row(example, i, renderer) for i in example.trained_indices]


def make_row(example: Example, renderer: Renderer) -> Row:
    """Return ids and labels of τ, trained on a_first, …, a_{until-1} alone, after the example's phrase if it has one.

    What follows the last trained action is left out: no loss looks at it.

    Raises:
        FormatError: the format can't write an action or a page of it.
        MaskError: sampled tokens do not say their action, or h_t does not grow.
    """
    if not renderer.format.grows:
        raise MaskError(
            f"format {renderer.format.name} makes one row per action, not one per trajectory; call make_rows"
        )
    history, trained = dialogue(example), {*example.trained_indices}
    tokens, spans = _encode(history, renderer, trained)
    tokens = tokens[: spans[-1][1]]
    labels = [IGNORE] * len(tokens)
    for i in trained:
        start, stop = spans[i]
        labels[start:stop] = tokens[start:stop]
    return Row(tokens, labels)


def _make_action_row(example: Example, i: int, renderer: Renderer) -> Row:
    """Return the row of h_i and a_i, of which a_i is trained."""
    history = add_phrase(example.trajectory.history.at(i + 1), example.phrase)
    action = renderer.action_ids(history.steps[i])
    _check_action(history, i, action, renderer)
    prompt = _encode(history.at(i), renderer).tokens
    return Row([*prompt, *action], [*[IGNORE] * len(prompt), *action])


def _encode(history: History, renderer: Renderer, trained: Collection[int] = ()) -> Encoded:
    """Return the ids of h_t; each action that is trained, or was sampled, must decode to its text."""
    encoded = renderer.encode(history)
    for i, (start, stop) in enumerate(encoded.spans):
        if i in trained or renderer.sampled_ids(history.steps[i]):
            _check_action(history, i, encoded.tokens[start:stop], renderer)
    return encoded


def _check_action(history: History, i: int, tokens: Sequence[int], renderer: Renderer) -> None:
    """Check that the tokens of a_i decode to its text."""
    step = history.steps[i]
    action, decoded = renderer.action_text(step), renderer.decode_action(tokens)
    if decoded == action:
        return
    if renderer.sampled_ids(step):
        kind, reason = MaskError, "were they sampled with another tokenizer?"
    else:
        kind, reason = FormatError, "it spells a mark of this model, or what its tokenizer can't write"
    raise kind(f"{history.task_id}: a_{i} is {action!r} but its tokens say {decoded!r}; {reason}")


class FittingRows(NamedTuple):
    """Rows that fit a context, and how many were refused: rows that do not, and examples that the format can't write."""

    rows: list[Row]
    refused: int


def make_fitting_rows(examples: Sequence[Example], renderer: Renderer, *, context: int) -> FittingRows:
    """Return the rows of `examples` of at most `context` tokens; longer ones are refused and counted, never cut.

    Raises:
        MaskError: see `make_row`; or there are no examples, the format can't write any of them, or every row is longer.
    """
    if not examples:
        raise MaskError(
            "expected examples to train on, got none: no simulation of a training task won; explore with more samples, "
            "more tasks or a higher temperature, or begin with a model that wins some"
        )
    rows: list[Row] = []
    unwritable: list[FormatError] = []
    for example in examples:
        try:
            rows += make_rows(example, renderer)
        except FormatError as error:
            unwritable.append(error)
    if unwritable:
        found = f"{len(unwritable)} of {len(examples)} examples can't be written: {unwritable[0]}"
        if len(unwritable) == len(examples):
            raise MaskError(found) from unwritable[0]
        warnings.warn(f"{found}; they are left out", stacklevel=2)
    fitting = [row for row in rows if len(row.tokens) <= context]
    if not fitting:
        lengths = sorted(len(row.tokens) for row in rows)
        raise MaskError(
            f"context {context}: refuses every one of {len(rows)} rows, of which the shortest has {lengths[0]} tokens and "
            f"the longest {lengths[-1]}; raise context to {lengths[-1]} to train on all"
        )
    return FittingRows(fitting, len(rows) - len(fitting) + len(unwritable))


def rows_within(example: Example, renderer: Renderer, context: int) -> list[Row] | None:
    """Return the rows of τ; None if one is longer than `context`, or the format can't write it."""
    try:
        rows = make_rows(example, renderer)
    except FormatError:
        return None
    return rows if all(len(row.tokens) <= context for row in rows) else None


def show_mask(tokens: Sequence[int], labels: Sequence[int], decode: Callable[[list[int]], str]) -> str:
    """Return the dialogue as text with the trained tokens in «guillemets», so that a person can check the mask."""
    text, run, trained = "", [], False
    for token, label in zip(tokens, labels, strict=True):
        if (label != IGNORE) != trained:
            text += decode(run)
            text += "«" if not trained else "»"
            run, trained = [], not trained
        run.append(token)
    return text + decode(run) + ("»" if trained else "")
