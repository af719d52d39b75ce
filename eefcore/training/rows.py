"""Which tokens carry the loss: m_l = 1 iff t_l lies in a trained action (EEF §3.2).

    tokens    o_0 … | a_0 … end | o_1 … | a_1 … end
    first=0    0 …     1 …  1      0 …     1 …  1
    first=1    0 …     0 …  0      0 …     1 …  1

Spans are recorded while rendering, never searched for afterwards; sampled ids are used as they were
sampled, never decoded and encoded again. Where h_t does not grow (`Format.grows`), each trained action has a row
of its own, after the h_t that it was written in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from eefcore.errors import MaskError
from eefcore.rendering.formats import add_phrase, dialogue
from eefcore.rendering.renderer import Renderer
from eefcore.types import Example, History

IGNORE = -100  # torch.nn.functional.cross_entropy's ignore_index


class Row(NamedTuple):
    """One training row: ids [L], and labels [L] that are the id where trained, else IGNORE."""

    tokens: list[int]
    labels: list[int]

    @property
    def n_trained(self) -> int:
        """Trained tokens; the first one never is, since nothing predicts it."""
        return sum(label != IGNORE for label in self.labels[1:])


def rows(example: Example, renderer: Renderer) -> list[Row]:
    """The training rows of τ: one where h_t grows, else one for each trained action, after its own h_t.

    Raises:
        MaskError: see `row`.
    """
    if renderer.format.grows:
        return [row(example, renderer)]
    return [_alone(example, i, renderer) for i in example.trained_indices]


def row(example: Example, renderer: Renderer) -> Row:
    """Ids and labels of τ, trained on a_first, …, a_{until-1} alone, after the example's phrase if it has one.

    What follows the last trained action is left out: no loss looks at it.

    Raises:
        MaskError: nothing would be trained, a trained span does not say its action, or h_t does not grow.
    """
    if not renderer.format.grows:
        raise MaskError(
            f"format {renderer.format.name} has a row an action, not one a trajectory; ask for `rows`"
        )
    history = dialogue(example)
    tokens, spans = renderer.encode(history)
    tokens = tokens[: spans[-1][1]]
    labels = [IGNORE] * len(tokens)
    for i, (start, stop) in enumerate(spans):
        step, trained = history.steps[i], i in example.trained_indices
        # Ids that only stand there to be read must be this tokenizer's as well.
        if trained or step.tokens:
            _check(history, i, tokens[start:stop], renderer)
        if not trained:
            continue
        labels[start:stop] = tokens[start:stop]
    if all(label == IGNORE for label in labels):
        raise MaskError(f"{history.task_id}: no token of a_{example.first} … is trained")
    return Row(tokens, labels)


def _alone(example: Example, i: int, renderer: Renderer) -> Row:
    """h_i, and a_i trained."""
    whole = add_phrase(example.trajectory.history.at(i + 1), example.phrase)
    read, own = renderer.encode(whole.at(i)), renderer.action_ids(whole.steps[i])
    _check(whole, i, own, renderer)
    for k, (start, stop) in enumerate(read.spans):
        if whole.steps[k].tokens:
            _check(whole, k, read.tokens[start:stop], renderer)
    return Row([*read.tokens, *own], [*[IGNORE] * len(read.tokens), *own])


def _check(history: History, i: int, tokens: Sequence[int], renderer: Renderer) -> None:
    action = renderer.action_text(history.steps[i])
    if (said := renderer.decode_action(tokens)) == action:
        return
    reason = (
        f"the action holds {renderer.format.end!r}, which ends actions in this format; use format: chat"
        if renderer.format.end in action
        else "were they sampled with another tokenizer?"
    )
    raise MaskError(f"{history.task_id}: a_{i} is {action!r} but its tokens say {said!r}; {reason}")


class Fitted(NamedTuple):
    """Rows that fit a context, and how many were refused because they do not."""

    rows: list[Row]
    refused: int


def fitted(examples: Sequence[Example], renderer: Renderer, *, context: int) -> Fitted:
    """The rows of `examples` of at most `context` tokens; longer ones are refused and counted, never cut."""
    made = [r for e in examples for r in rows(e, renderer)]
    kept = [r for r in made if len(r.tokens) <= context]
    return Fitted(kept, len(made) - len(kept))


def show_mask(tokens: Sequence[int], labels: Sequence[int], decode: Any) -> str:
    """The dialogue with trained tokens in «guillemets», to read with your own eyes."""
    out, run, trained = "", [], False
    for token, label in zip(tokens, labels, strict=True):
        if (label != IGNORE) != trained:
            out += decode(run)
            out += "«" if not trained else "»"
            run, trained = [], not trained
        run.append(token)
    return out + decode(run) + ("»" if trained else "")
