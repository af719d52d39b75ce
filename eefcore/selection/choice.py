"""The order in which solutions are chosen, by name, for params files; `likeliest` asks the model.

Named here alone, since scoring what an expert did needs π_θ; the orders themselves are `orders`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from eefcore.errors import ParamsError
from eefcore.plugins import load_plugin
from eefcore.rendering.renderer import Renderer, make_renderer
from eefcore.selection import orders
from eefcore.selection.orders import Order
from eefcore.storage.cost import Cost
from eefcore.training import rows as masking
from eefcore.types import Example, State, Trajectory

NAMES = ("fewest_expert", "shortest", "repeated", "likeliest")
_BATCH_TOKENS = 16384  # of one forward pass: bounds the memory


class Choice(NamedTuple):
    """An order, and what it took to know it."""

    order: Order
    cost: Cost


def choice(
    name: str,
    rivals: Sequence[Trajectory],
    simulations: Iterable[Trajectory],
    *,
    model: Path | None,
    format: str,
    context: int,
) -> Choice:
    """The order called `name`; one of your own is `my_module:function`, an `orders.Order`.

    Args:
        rivals: the solutions of which a choice is to be made (`selection.rivals`); those that `likeliest` scores.
        simulations: all so far; what `repeated` counts.
        model: folder of the π_θ that explored last. All rivals are scored by it, those that an earlier π_θ or an
            expert found as well, so that they are told apart by one measure.
        format: how dialogues are written.
        context: tokens of the longest dialogue that is scored.

    Raises:
        ParamsError: there is no such order.
    """
    if ":" in name:
        return Choice(load_plugin(name, "03_select: choose", takes=("success", "state")), Cost())
    if name not in NAMES:
        raise ParamsError(
            f"03_select: choose {name!r}; choose one of {', '.join(NAMES)} or one of your own, my_module:function"
        )
    if name == "repeated":
        return Choice(orders.repeated(simulations), Cost())
    if name != "likeliest":
        return Choice(orders.shortest if name == "shortest" else orders.fewest_expert, Cost())
    if not rivals or model is None:
        return Choice(orders.likeliest({}), Cost())
    import torch  # seconds to load, like transformers

    from eefcore.training.models import load_model

    loaded = load_model(model, merge=True)
    asked = loaded.model.to("cuda" if torch.cuda.is_available() else "cpu")
    logps, read = scored(asked, make_renderer(loaded.tokenizer, format), rivals, context=context)
    return Choice(orders.likeliest(logps), Cost(tokens_read=read))


class Scored(NamedTuple):
    """log π_θ of each token of each action of successes, by their last states; and the tokens read to know it."""

    logps: dict[State, list[tuple[float, ...]]]
    tokens: int


def scored(model: Any, renderer: Renderer, successes: Iterable[Trajectory], *, context: int) -> Scored:
    """What π_θ thinks of each success, equal ones once; one of more than `context` tokens is left out."""
    from eefcore.training.logprobs import token_logps

    whole = {t.history.state: t for t in successes}
    rows = {state: masking.rows(Example(t), renderer) for state, t in whole.items()}
    rows = {state: own for state, own in rows.items() if all(len(r.tokens) <= context for r in own)}
    every = [row for own in rows.values() for row in own]
    told = iter(token_logps(model, every, pad_id=0, batch_tokens=_BATCH_TOKENS))
    logps = {
        state: _by_action(
            tuple(p for _ in own for p in next(told)),
            [len(renderer.action_ids(step)) for step in whole[state].history.steps],
        )
        for state, own in rows.items()
    }
    return Scored(logps, sum(len(row.tokens) for row in every))


def _by_action(logps: tuple[float, ...], lengths: Sequence[int]) -> list[tuple[float, ...]]:
    """The log-likelihoods of a trajectory, cut into those of its actions, of so many tokens each."""
    ends = list(accumulate(lengths))
    return [logps[start:stop] for start, stop in zip((0, *ends), ends, strict=False)]
