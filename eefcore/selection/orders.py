"""Order the solutions of a state, so that the first is trained (EEF §3.2; §6, "select the best solution").

    fewest_expert   the paper's order: fewer expert actions ask for smaller changes of π_θ
    shortest        fewer actions in all
    repeated        the solution from the state where π_θ won most often, over all simulations so far
    likeliest       the solution that π_θ would most likely have produced itself
    load_order      one of these by its name in a params file, or the user's own

An order takes a success and the state it is to solve, and returns a sort key; the least key comes first. Ties are
broken by the paper's order, then by length, then by what was found first, so that a run repeats.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from eefcore.errors import ParamsError
from eefcore.plugins import load_plugin
from eefcore.rendering.renderer import Renderer, make_renderer
from eefcore.storage.cost import Cost
from eefcore.training import rows
from eefcore.types import Example, State, Trajectory

Order = Callable[[Trajectory, State], tuple[float, ...]]

_BATCH_TOKENS = 16384  # of one forward pass; bounds the memory


def fewest_expert(success: Trajectory, state: State) -> tuple[float, ...]:
    """Return the key of the paper's order, by fewest expert actions: (n_expert, |τ|). The paper leaves ties open; the shorter comes first."""
    del state
    return (success.n_expert, len(success))


def shortest(success: Trajectory, state: State) -> tuple[float, ...]:
    """Return the key of the order by length: (|τ|, n_expert)."""
    del state
    return (len(success), success.n_expert)


def repeated(simulations: Iterable[Trajectory]) -> Order:
    """Return the order by the share of simulations won from s_{n_expert}, the state in which π_θ took over.

    It prefers what π_θ reaches often to what it reached by luck. A success from a state that was never explored, such
    as an expert's own, comes after all others. The share is the observed one: one win in one try ranks with nine in nine.
    """
    wins: dict[State, list[bool]] = defaultdict(list)
    for t in simulations:
        if not t.stop.infrastructure:
            wins[t.state(t.n_expert)].append(t.win)

    def order(success: Trajectory, state: State) -> tuple[float, ...]:
        tries = wins.get(success.state(success.n_expert), [False])
        return (-sum(tries) / len(tries), *fewest_expert(success, state))

    return order


def likeliest(logps: Mapping[State, Sequence[Sequence[float]]]) -> Order:
    """Return the order by the mean log π_θ of a token of a_i, a_{i+1}, …: the actions that would be trained for s_i.

    `logps` has log π_θ of each token of each action of a success, by its last state. A success that is missing (longer
    than the context) comes last.
    """

    def order(success: Trajectory, state: State) -> tuple[float, ...]:
        trained = [x for action in logps.get(success.history.state, ())[len(state.actions) :] for x in action]
        mean = sum(trained) / len(trained) if trained else -math.inf
        return (-mean, *fewest_expert(success, state))

    return order


class LoadedOrder(NamedTuple):
    """An order, and the cost of computing it."""

    order: Order
    cost: Cost


def load_order(
    name: str,
    competing: Sequence[Trajectory],
    simulations: Iterable[Trajectory],
    *,
    model: Path | None,
    format: str,
    template_args: str | None = None,
    context: int,
) -> LoadedOrder:
    """Return the order called `name`, or the user's own `my_module:function`, which is an `Order`.

    `repeated` counts `simulations`, all so far. `likeliest` scores the `competing` solutions
    (`algorithm.competing_solutions`) of at most `context` tokens by the π_θ that explored last, whose folder is `model`:
    also those that an earlier π_θ or an expert found, so that one measure compares them.

    Raises:
        ParamsError: there is no order of that name.
    """
    if ":" in name:
        return LoadedOrder(check_order(name), Cost())
    if name == "likeliest" and competing and model is not None:
        return _load_likeliest(competing, model, format, template_args, context)
    orders = {"fewest_expert": fewest_expert, "shortest": shortest, "repeated": repeated(simulations)}
    orders["likeliest"] = likeliest({})
    if name not in orders:
        raise ParamsError(
            f"03_select: choose {name!r}; choose one of {', '.join(orders)} or one of your own, my_module:function"
        )
    return LoadedOrder(orders[name], Cost())


def check_order(name: str) -> Order:
    """Return the order of the user's own that is called `my_module:function`.

    Raises:
        ParamsError: there is no such function, or it takes other arguments.
    """
    return load_plugin(name, "03_select: choose", takes=("success", "state"))


def _load_likeliest(
    competing: Sequence[Trajectory], model: Path, format: str, template_args: str | None, context: int
) -> LoadedOrder:
    import torch  # takes seconds to load, like transformers

    from eefcore.training.models import load_model

    loaded = load_model(model, merge=True)
    policy = loaded.model.to("cuda" if torch.cuda.is_available() else "cpu")
    renderer = make_renderer(loaded.tokenizer, format, template_args)
    logps, tokens = score_successes(policy, renderer, competing, context=context)
    return LoadedOrder(likeliest(logps), Cost(tokens_read=tokens))


class SuccessScores(NamedTuple):
    """The scores of successes: log π_θ of each token of each action, by last state, and the tokens read to compute them."""

    logps: dict[State, list[tuple[float, ...]]]
    tokens: int


def score_successes(
    model: Any, renderer: Renderer, successes: Iterable[Trajectory], *, context: int
) -> SuccessScores:
    """Compute log π_θ of each success. Equal ones are scored once; one that does not fit in `context` is left out."""
    from eefcore.training.logprobs import token_logps  # loads torch

    by_state = {t.history.state: t for t in successes}
    fitting = {state: rows.rows_within(Example(t), renderer, context) for state, t in by_state.items()}
    rows_of = {state: some for state, some in fitting.items() if some is not None}
    every = [row for some in rows_of.values() for row in some]
    row_logps = iter(token_logps(model, every, batch_tokens=_BATCH_TOKENS))
    logps = {}
    for state, some in rows_of.items():
        of_tokens = iter([p for _ in some for p in next(row_logps)])
        lengths = [len(renderer.action_ids(step)) for step in by_state[state].history.steps]
        logps[state] = [tuple(islice(of_tokens, length)) for length in lengths]
    return SuccessScores(logps, sum(len(row.tokens) for row in every))
