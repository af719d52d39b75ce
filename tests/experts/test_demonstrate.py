"""Who is paid to show what: by hand with prices of one and ten dollars, and on a real shop."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from eefcore.errors import ParamsError
from eefcore.experts import collect
from eefcore.experts.demonstrate import ALLOCATIONS, Demonstrator, demonstrate_within
from eefcore.types import History, Step, Trajectory

TASKS = "pqrs"


def offer(name, price, wins=TASKS, dearest=None):
    """An expert that costs `price`, of at most `dearest`, and wins `wins`."""

    def show(task):
        history = History(task, "end", (Step("o", f"{name} acts"),))
        return Trajectory(history=history, reward=float(task in wins), n_expert=1, source=name, money=price)

    return Demonstrator(name, price if dearest is None else dearest, show)


CHEAP, DEAR = offer("cheap", 1.0, wins="q"), offer("dear", 10.0)


def told(shown):
    return " ".join(f"{t.source[0]}{t.task_id}" for t in shown)


@pytest.mark.parametrize(
    "allocation, budget, shown",
    [
        ("each", None, "dp dq dr ds cp cq cr cs"),  # no limit, experts as named
        ("each", 34.0, "dp dq dr cp cq cr cs"),  # four dollars are left, no dear one
        ("each", 32.0, "dp dq dr cp cq"),
        ("cheap_first", None, "cp cq cr cs dp dr ds"),  # the dear one where the cheap one lost
        ("cheap_first", 24.0, "cp cq cr cs dp dr"),
        ("cheap_first", 13.0, "cp cq cr cs"),
        ("cheap_first", 3.0, "cp cq cr"),
        ("dear_first", None, "dp dq dr ds"),
        ("dear_first", 24.0, "dp dq cr cs"),  # two dollars are kept for the tasks after
        ("dear_first", 22.0, "dp dq cr cs"),
        ("dear_first", 21.0, "dp cq cr cs"),
        ("dear_first", 2.0, "cp cq"),
    ],
)
def test_what_is_bought(allocation, budget, shown):
    assert told(demonstrate_within([DEAR, CHEAP], TASKS, budget=budget, allocation=allocation)) == shown


def test_by_price_and_not_by_the_order_they_are_named():
    for allocation in ("cheap_first", "dear_first"):
        assert told(demonstrate_within([CHEAP, DEAR], TASKS, budget=24.0, allocation=allocation)) == told(
            demonstrate_within([DEAR, CHEAP], TASKS, budget=24.0, allocation=allocation)
        )


def test_three_experts_are_asked_until_one_wins():
    middle = offer("middle", 3.0, wins="qr")
    assert (
        told(demonstrate_within([DEAR, middle, CHEAP], TASKS, allocation="cheap_first"))
        == "cp cq cr cs mp mr ms dp ds"
    )


def test_a_lone_expert_is_paid_as_long_as_the_money_lasts():
    assert told(demonstrate_within([DEAR], TASKS, budget=25.0)) == "dp dq"


def test_what_may_become_too_dear_is_not_begun():
    """It costs four and might cost ten: with nine left nobody knows that it would have done."""
    assert told(demonstrate_within([offer("dear", 4.0, dearest=10.0)], TASKS, budget=17.0)) == "dp dq"


@given(
    st.sampled_from(ALLOCATIONS),
    st.floats(1.0, 60.0),
    st.lists(
        st.tuples(st.floats(0.1, 9.0), st.floats(0.1, 1.0), st.sets(st.sampled_from(TASKS))),
        min_size=2,
        max_size=3,
    ),
)
def test_no_budget_is_overdrawn_and_nothing_is_bought_twice(allocation, budget, drawn):
    offers = [offer(f"{i}", most * part, wins, most) for i, (most, part, wins) in enumerate(drawn)]
    cheapest = min(o.highest_cost for o in offers)
    assume(cheapest <= budget)
    shown = demonstrate_within(offers, TASKS, budget=budget, allocation=allocation)
    assert 0 < sum(t.money for t in shown) <= budget + 1e-9
    assert len({(t.source, t.task_id) for t in shown}) == len(shown)
    if allocation != "each" and cheapest * len(TASKS) <= budget:
        assert {t.task_id for t in shown} == set(TASKS)  # each has someone


@pytest.mark.parametrize(
    "rest, message",
    [
        ({"allocation": "dearest"}, "allocation 'dearest'; choose one of each, cheap_first, dear_first"),
        (
            {"budget": 0.5},
            r"a budget of \$0.5 pays for no demonstration, which may cost \$10 \(dear\) or \$1 \(cheap\)",
        ),
        ({"budget": -1.0}, "pays for no demonstration"),
    ],
)
def test_what_does_not_do_is_refused(rest, message):
    with pytest.raises(ParamsError, match=message):
        demonstrate_within([DEAR, CHEAP], TASKS, **rest)


@pytest.mark.parametrize("budget", [None, 5.0])
def test_no_task_is_refused_with_and_without_a_budget(budget):
    with pytest.raises(ParamsError, match="there is no task to demonstrate"):
        demonstrate_within([DEAR, CHEAP], (), budget=budget)


@pytest.mark.parametrize("allocation", ["cheap_first", "dear_first"])
def test_an_allocation_between_experts_needs_two(allocation):
    with pytest.raises(ParamsError, match=f"allocation {allocation} is between experts; name two"):
        demonstrate_within([DEAR], TASKS, allocation=allocation)


# In a shop ----------------------------------------------------------------------------------------------


def test_a_shops_experts_are_paid_by_the_action(mini):
    everything = collect.demonstrations(mini, ["weak", "strong"], "train", seed=0)
    budget = sum(t.money for t in everything) / 2
    for allocation in ALLOCATIONS:
        shown = collect.demonstrations(
            mini, ["weak", "strong"], "train", seed=0, budget=budget, allocation=allocation
        )
        assert set(shown) <= set(everything) and {t.source for t in shown} == {"weak", "strong"}
        left = budget - sum(t.money for t in shown)
        longest = (
            0.03 + 0.001 * len(mini.tasks("train"))
        ) * mini.max_turns  # of the strong, and one of the weak a task
        assert 0.0 <= left < longest


def test_the_dear_one_is_asked_where_the_cheap_one_lost(mini):
    shown = collect.demonstrations(mini, ["weak", "strong"], "train", seed=0, allocation="cheap_first")
    lost = {t.task_id for t in collect.by_expert(shown, "weak") if not t.win}
    assert {t.task_id for t in collect.by_expert(shown, "strong")} == lost


def test_money_can_only_be_spent_on_what_is_not_there_yet(mini, tmp_path):
    with pytest.raises(
        ParamsError, match="trajectories of `file` are there already; leave the budget of 3 out"
    ):
        collect.expert_data(
            mini, ["strong"], str(tmp_path / "any.jsonl"), seed=0, budget=3.0, allocation="each"
        )


def test_without_a_file_the_experts_are_asked(mini):
    given = collect.expert_data(mini, ["weak"], "", seed=0, budget=None, allocation="each")
    assert given == collect.demonstrations(mini, ["weak"], "train", seed=0)


def test_of_trajectories_from_elsewhere_only_known_training_tasks_are_explored(mini):
    first, second, *_ = mini.tasks("train")
    shown = [
        CHEAP.demonstrate(task) for task in (second, "a foreign one", mini.tasks("test")[0], first, second)
    ]
    assert collect.attempted_tasks(shown, mini) == [second, first]
    assert [(s.task_id, s.observation) for s in collect.task_starts(mini, [first])] == [
        (first, mini.make().reset(first))
    ]
