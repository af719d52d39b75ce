"""Costs: their sums and means, and the cost of a rollout."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eefcore.storage.cost import Cost, mean_cost, rollout_cost, total_cost
from eefcore.types import History, Step, Trajectory

whole = st.integers(0, 1000)
dollars = st.integers(0, 1000).map(lambda n: n / 4)  # exact in binary, so that sums are as well
costs = st.builds(
    Cost,
    episodes=whole,
    env_steps=whole,
    tokens_written=whole,
    tokens_read=whole,
    tokens_trained=whole,
    seconds=dollars,
    money=dollars,
)


def test_costs_are_added_field_by_field():
    names = Cost.__struct_fields__
    one, other = Cost(*range(1, 8)), Cost(*range(10, 80, 10))
    assert one + other == Cost(*range(11, 88, 11))
    for name in names:
        assert [getattr(Cost(**{name: 3}) + Cost(), n) for n in names] == [3 * (n == name) for n in names]


@given(st.lists(costs, max_size=5))
def test_a_total_does_not_depend_on_the_order(some):
    assert total_cost(some) == total_cost(reversed(some))
    assert total_cost(some[:2]) + total_cost(some[2:]) == total_cost(iter(some))


def test_the_total_of_no_costs_is_zero():
    assert total_cost([]) == Cost() == rollout_cost([], len)


def simulation(n_expert, tokens):
    """Return a trajectory of an expert's actions without tokens, then the policy's with some."""
    steps = [Step("o", "a") for _ in range(n_expert)] + [
        Step("o", "a", (7,) * n, (-1.0,) * n) for n in tokens
    ]
    return Trajectory(history=History("t", "end", tuple(steps)), reward=0.0, n_expert=n_expert)


@pytest.mark.parametrize(
    "trajectories, length, expected",
    [
        #                        episodes, steps, written, read
        ([simulation(0, (3, 2))], 50, (1, 2, 5, 45)),
        ([simulation(4, (3, 2))], 50, (1, 2, 5, 45)),  # the expert's steps are not the policy's
        ([simulation(4, ())], 50, (1, 0, 0, 50)),  # stopped before it acted: what it read is paid
        ([simulation(2, (3,)), simulation(0, (1, 1))], 10, (2, 3, 5, 7 + 8)),
        ([simulation(0, (0, 0))], 0, (1, 2, 0, 0)),  # a policy without tokens
        ([simulation(0, (9,))], 5, (1, 1, 9, 0)),  # never less than nothing
    ],
)
def test_the_cost_of_rollouts_counts_actions_and_tokens(trajectories, length, expected):
    told = rollout_cost(iter(trajectories), lambda _: length)
    assert (told.episodes, told.env_steps, told.tokens_written, told.tokens_read) == expected
    assert (told.tokens_trained, told.seconds, told.money) == (0, 0.0, 0.0)


def test_an_experts_sampled_tokens_are_not_written_by_the_policy():
    steps = (Step("o", "a", (1, 2), (-1.0, -1.0)), Step("o", "b", (3,), (-1.0,)))
    t = Trajectory(history=History("t", "end", steps), reward=0.0, n_expert=1)
    told = rollout_cost([t], lambda _: 10)
    assert (told.tokens_written, told.tokens_read) == (1, 9)


def test_the_mean_of_costs_rounds_counts_to_integers():
    costs = [
        Cost(episodes=3, tokens_read=7, seconds=1.0, money=0.5),
        Cost(episodes=5, tokens_read=8, seconds=2.0),
    ]
    assert mean_cost(costs) == Cost(episodes=4, tokens_read=8, seconds=1.5, money=0.25)
    assert mean_cost(costs[:1]) == costs[0]


def test_what_an_endpoint_counted_is_read_from_the_episodes():
    t = Trajectory(
        history=History("t", "end", (Step("o", "a"),)),
        reward=1.0,
        money=0.25,
        tokens_read=70,
        tokens_written=6,
    )
    cost = rollout_cost([t, t], lambda _: 0)
    assert (cost.tokens_read, cost.tokens_written, cost.money) == (140, 12, 0.5)
