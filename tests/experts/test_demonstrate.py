"""A budget between experts: worked by hand with prices of one and ten dollars, and on a real shop."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from eefcore.errors import ParamsError
from eefcore.experts import collect
from eefcore.experts.demonstrate import ALLOCATIONS, Demonstrator, demonstrate_within
from eefcore.types import History, Step, Trajectory

TASKS = "pqrs"


def expert(name, price, wins=TASKS, highest_cost=None, plays_many=False):
    """An expert that costs `price`, of at most `highest_cost`, and wins `wins`."""

    def demonstrate(tasks):
        return [
            Trajectory(
                history=History(task, "end", (Step("o", f"{name} acts"),)),
                reward=float(task in wins),
                n_expert=1,
                source=name,
                money=price,
            )
            for task in tasks
        ]

    return Demonstrator(name, price if highest_cost is None else highest_cost, demonstrate, plays_many)


CHEAP, DEAR = expert("cheap", 1.0, wins="q"), expert("dear", 10.0)


def text_of(demonstrations):
    return " ".join(f"{t.source[0]}{t.task_id}" for t in demonstrations)


@pytest.mark.parametrize(
    "allocation, budget, demonstrations",
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
@pytest.mark.parametrize("plays_many", [False, True])
def test_demonstrations_that_a_budget_pays_for(allocation, budget, demonstrations, plays_many):
    experts = [d._replace(plays_many=plays_many) for d in (DEAR, CHEAP)]
    assert text_of(demonstrate_within(experts, TASKS, budget=budget, allocation=allocation)) == demonstrations


def test_experts_are_allocated_by_price_and_not_by_the_order_of_names():
    for allocation in ("cheap_first", "dear_first"):
        assert text_of(
            demonstrate_within([CHEAP, DEAR], TASKS, budget=24.0, allocation=allocation)
        ) == text_of(demonstrate_within([DEAR, CHEAP], TASKS, budget=24.0, allocation=allocation))


def test_cheap_first_goes_on_to_the_next_dearer_expert_where_all_lost():
    middle = expert("middle", 3.0, wins="qr")
    assert (
        text_of(demonstrate_within([DEAR, middle, CHEAP], TASKS, allocation="cheap_first"))
        == "cp cq cr cs mp mr ms dp ds"
    )


def test_one_expert_demonstrates_as_long_as_the_budget_lasts():
    assert text_of(demonstrate_within([DEAR], TASKS, budget=25.0)) == "dp dq"


def test_a_demonstration_that_may_exceed_the_budget_is_not_started():
    """It costs four and might cost ten: with nine left nobody knows that it would have done."""
    assert (
        text_of(demonstrate_within([expert("dear", 4.0, highest_cost=10.0)], TASKS, budget=17.0)) == "dp dq"
    )


def test_an_expert_that_plays_many_tasks_at_once_is_asked_for_all_that_the_budget_surely_pays():
    calls = []

    def demonstrate(tasks):
        calls.append("".join(tasks))
        return expert("dear", 2.0).demonstrate(tasks)

    dear = Demonstrator("dear", 10.0, demonstrate, plays_many=True)
    assert text_of(demonstrate_within([dear], TASKS, budget=None)) == "dp dq dr ds"
    demonstrate_within([dear], TASKS, budget=25.0)  # 25 pay for two, the 21 that are left for two more
    demonstrate_within([dear], TASKS, budget=15.0)  # one by one, until less than ten is left
    assert calls == ["pqrs", "pq", "rs", "p", "q", "r"]


@given(
    st.sampled_from(ALLOCATIONS),
    st.booleans(),
    st.floats(1.0, 60.0),
    st.lists(
        st.tuples(st.floats(0.1, 9.0), st.floats(0.1, 1.0), st.sets(st.sampled_from(TASKS))),
        min_size=2,
        max_size=3,
    ),
)
def test_no_budget_is_overdrawn_and_no_demonstration_repeats(allocation, plays_many, budget, drawn):
    experts = [
        expert(f"{i}", most * part, wins, most, plays_many) for i, (most, part, wins) in enumerate(drawn)
    ]
    cheapest = min(o.highest_cost for o in experts)
    assume(cheapest <= budget)
    demonstrations = demonstrate_within(experts, TASKS, budget=budget, allocation=allocation)
    assert 0 < sum(t.money for t in demonstrations) <= budget + 1e-9
    assert len({(t.source, t.task_id) for t in demonstrations}) == len(demonstrations)
    if allocation != "each" and cheapest * len(TASKS) <= budget:
        assert {t.task_id for t in demonstrations} == set(TASKS)  # each has someone


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
def test_an_unknown_allocation_and_a_budget_for_nothing_are_refused(rest, message):
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
        demonstrations = collect.demonstrations(
            mini, ["weak", "strong"], "train", seed=0, budget=budget, allocation=allocation
        )
        assert set(demonstrations) <= set(everything) and {t.source for t in demonstrations} == {
            "weak",
            "strong",
        }
        left = budget - sum(t.money for t in demonstrations)
        longest = (
            0.03 + 0.001 * len(mini.tasks("train"))
        ) * mini.max_turns  # of the strong, and one of the weak a task
        assert 0.0 <= left < longest


def test_cheap_first_asks_the_dear_expert_where_the_cheap_one_lost(mini):
    demonstrations = collect.demonstrations(
        mini, ["weak", "strong"], "train", seed=0, allocation="cheap_first"
    )
    lost = {t.task_id for t in collect.by_expert(demonstrations, "weak") if not t.win}
    assert {t.task_id for t in collect.by_expert(demonstrations, "strong")} == lost


def test_a_budget_beside_a_file_is_refused(mini, tmp_path):
    with pytest.raises(ParamsError, match="trajectories of `file` are there already; leave budget 3 out"):
        collect.expert_data(
            mini, ["strong"], str(tmp_path / "any.jsonl"), seed=0, budget=3.0, allocation="each"
        )


def test_a_number_of_tasks_beside_a_file_is_refused(mini, tmp_path):
    file = str(tmp_path / "any.jsonl")
    with pytest.raises(ParamsError, match="trajectories of `file` are there already; leave tasks 3 out"):
        collect.expert_data(mini, ["strong"], file, seed=0, budget=None, allocation="each", tasks=3)


def test_the_first_tasks_are_demonstrated_as_among_all(mini):
    everything = collect.demonstrations(mini, ["weak"], "train", seed=0)
    few, _ = collect.expert_data(mini, ["weak"], None, seed=0, budget=None, allocation="each", tasks=3)
    assert few == everything[:3] and [t.task_id for t in few] == [*collect.first_tasks(mini, "train", 3)]
    assert collect.first_tasks(mini, "train", None) == mini.tasks("train")


def test_more_tasks_than_there_are_are_refused(mini):
    most = len(mini.tasks("train"))
    assert len(collect.first_tasks(mini, "train", most)) == most
    with pytest.raises(ParamsError, match=f"tasks {most + 1}: expected 1 to {most} of the train tasks"):
        collect.first_tasks(mini, "train", most + 1)


def test_without_a_file_scripted_experts_demonstrate(mini):
    given, refused = collect.expert_data(mini, ["weak"], None, seed=0, budget=None, allocation="each")
    assert refused == []
    assert given == collect.demonstrations(mini, ["weak"], "train", seed=0)


def test_only_training_tasks_of_the_benchmark_count_as_attempted(mini):
    first, second, *_ = mini.tasks("train")
    demonstrations = CHEAP.demonstrate([second, "a foreign one", mini.tasks("test")[0], first, second])
    assert collect.attempted_tasks(demonstrations, mini) == [second, first]
    assert [(s.task_id, s.observation) for s in collect.task_starts(mini, [first])] == [
        (first, mini.make().reset(first))
    ]
