"""Which of several solutions comes first, by each rule, and by a model."""

from __future__ import annotations

import math

import pytest
from helpers.byte_tokenizer import byte_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from eefcore.errors import ParamsError
from eefcore.rendering.renderer import make_renderer
from eefcore.selection import orders
from eefcore.selection.algorithm import (
    Repository,
    competing_solutions,
    important_states,
    solution,
    training_set,
)
from eefcore.storage.cost import Cost
from eefcore.types import History, State, Step, StopReason, Trajectory

START = State("t")


def episode(actions, n_expert=0, reward=1.0, task="t", **rest):
    steps = tuple(Step(f"o{i}", a) for i, a in enumerate(actions))
    return Trajectory(history=History(task, "end", steps), reward=reward, n_expert=n_expert, **rest)


OWN = episode("pqrstu")  # from s_0 alone, long
SEGMENT = episode("abXY", 2)  # two expert actions, short
EXPERT = episode("abc", 3)  # the expert's own, shortest
FOUND = [EXPERT, SEGMENT, OWN]


def best(order, found=FOUND, state=START):
    return solution(state, Repository(found), order)


def test_the_papers_rule_is_fewest_expert_actions():
    assert best(orders.fewest_expert) is OWN is solution(START, Repository(FOUND))


def test_the_shortest_order_takes_the_solution_with_fewest_actions():
    assert best(orders.shortest) is EXPERT
    assert best(orders.shortest, [SEGMENT, episode("wxyz")]).actions == (
        "w",
        "x",
        "y",
        "z",
    )  # then fewest expert


def lost(actions, n_expert=0, **rest):
    return episode(actions, n_expert, 0.0, **rest)


@pytest.mark.parametrize(
    "simulations, chosen",
    [
        ([OWN, lost("p"), SEGMENT], SEGMENT),  # 1 of 2 from s_0, 1 of 1 from s_2
        ([OWN, SEGMENT], OWN),  # equal: the paper's rule
        ([OWN, lost("p"), SEGMENT, lost("abQ", 2), lost("abR", 2)], OWN),  # 1 of 2, 1 of 3
        ([OWN, lost("p", stop=StopReason.MODEL_FAILURE), SEGMENT], OWN),  # a spoilt one counts for nothing
        ([OWN, lost("p"), lost("q", task="u"), SEGMENT], SEGMENT),  # another task's start is another state
        ([], OWN),  # nothing is known
    ],
)
def test_the_repeated_order_prefers_states_from_which_the_policy_won_often(simulations, chosen):
    assert best(orders.repeated(simulations)) is chosen


def test_what_was_reached_by_luck_comes_after_what_is_reached_often():
    """Ten tries from s_0 that won once, against nine of ten after two expert actions."""
    tries = [OWN, *(lost("p") for _ in range(9)), *(SEGMENT for _ in range(9)), lost("abQ", 2)]
    assert best(orders.repeated(tries)) is SEGMENT


def by(logps):
    return orders.likeliest({t.history.state: each for t, each in logps})


def test_the_likeliest_order_compares_mean_log_likelihoods_of_tokens():
    even = (OWN, [(-1.0, -1.0)] * 6)
    assert best(by([even, (SEGMENT, [(-3.0,), (-3.0,), (0.0,), (0.0,)])])) is OWN  # -1 against -1.5
    assert best(by([even, (SEGMENT, [(-2.0,), (-1.0,), (-0.5,), (0.0,)])])) is SEGMENT  # -0.875


def test_only_what_would_be_trained_counts():
    """From s_2 on the unlikely expert actions before it are read, not trained."""
    other = episode("abZZ", 2)
    logps = [(SEGMENT, [(-9.0,), (-9.0,), (-0.1,), (-0.1,)]), (other, [(0.0,), (0.0,), (-0.2,), (-0.2,)])]
    assert best(by(logps), [SEGMENT, other]) is other
    assert best(by(logps), [SEGMENT, other], State("t", ("a", "b"))) is SEGMENT


def test_a_token_weighs_as_much_as_another_whichever_action_it_is_of():
    logps = [(SEGMENT, [(-1.0,)] * 4), (EXPERT, [(-2.0,), (-0.1,) * 8, (-2.0,)])]
    assert best(by(logps)) is EXPERT  # -0.48 a token, though -1.4 an action


def test_what_could_not_be_scored_comes_last():
    assert best(by([(EXPERT, [(-50.0,)] * 3)])) is EXPERT
    assert best(by([])) is OWN


LETTERS = st.text("ab", min_size=1, max_size=5)


@given(st.lists(st.tuples(LETTERS, st.integers(0, 5)), min_size=1, max_size=6), st.randoms())
def test_every_order_takes_a_solution_and_the_same_one_in_every_order_of_finding(drawn, random):
    found = [episode(actions, min(n, len(actions))) for actions, n in drawn]
    logps = {t.history.state: [(-len(t) / 7.0,)] * len(t) for t in found}
    for order in (orders.fewest_expert, orders.shortest, orders.repeated(found), orders.likeliest(logps)):
        chosen = best(order, found)
        mixed = random.sample(found, len(found))
        assert order(best(order, mixed), START) == order(chosen, START) == min(order(t, START) for t in found)


# By name ------------------------------------------------------------------------------------------------


def chosen(name, simulations=(), **rest):
    return orders.load_order(
        name, FOUND, simulations, **{"model": None, "format": "compact", "context": 99} | rest
    )


@pytest.mark.parametrize("name, first", [("fewest_expert", OWN), ("shortest", EXPERT), ("repeated", SEGMENT)])
def test_orders_have_names(name, first):
    picked = chosen(name, [OWN, lost("p"), SEGMENT])
    assert best(picked.order) is first and picked.cost == Cost()


def test_without_a_model_none_is_likelier():
    assert best(chosen("likeliest").order) is OWN


def test_an_order_of_your_own_is_named_by_its_module():
    picked = chosen("helpers.extensions:longest")
    assert len(best(picked.order)) == max(map(len, FOUND)) and picked.cost == Cost()


def test_an_unknown_order_is_refused():
    with pytest.raises(
        ParamsError, match="choose 'best'; choose one of fewest_expert, shortest, repeated, like"
    ):
        chosen("best")


def test_the_order_reaches_every_important_state():
    expert = episode("abcdefgh", 8, 0.0)
    sims = [episode("X"), lost("abQ", 2), episode("abcdY", 4), episode("abcdefZ", 6)]
    long = episode("abWWWWWWW")  # an own one that passes through s_2
    found = Repository([*sims, long])
    told = [
        [(e.trajectory, e.first) for e in training_set(["t"], [expert], sims, found, order).recovery]
        for order in (orders.fewest_expert, orders.shortest)
    ]
    assert told == [[(long, 2)], [(sims[2], 2)]]


def test_competing_solutions_are_those_among_which_an_order_chooses():
    expert = episode("abcd", 4, 0.0)
    sims = [
        episode("X"),
        episode("Y"),
        lost("aQ", 1),
        episode("abZ", 2),
        episode("pq", task="u"),
        lost("v", task="v"),
    ]
    important = important_states("tuv", [expert], sims)
    assert important.recovery == [State("t", ("a",))]
    assert competing_solutions(important, Repository(sims)) == [
        sims[0],
        sims[1],
        sims[3],
    ]  # u has one solution, v none
    assert competing_solutions(important_states("u", [], sims), Repository(sims)) == []


# By a model ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny():
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    return LlamaForCausalLM(config).eval(), make_renderer(tokenizer, "compact")


def test_each_action_is_scored_as_if_it_alone_were_trained(tiny):
    """The model's likelihood of a_i given h_i, its end mark included, for sampled and for other actions alike."""
    import torch

    model, renderer = tiny
    sampled = Step("o0", "go", tokens=renderer.ids("go\n"), logps=(-1.0,) * 3)
    t = Trajectory(history=History("t", "end", (sampled, Step("o1", "stop"))), reward=1.0, n_expert=2)
    logps, read = orders.score_successes(model, renderer, [t, t], context=99)
    (each,) = logps.values()
    tokens, spans = renderer.encode(t.history)
    with torch.no_grad():
        table = model(torch.tensor([tokens])).logits[0].log_softmax(-1)
    for scores, (start, stop) in zip(each, spans, strict=True):
        expected = [table[i - 1, tokens[i]].item() for i in range(start, stop)]
        assert scores == pytest.approx(expected, abs=1e-5)
    assert read == spans[-1][1] and set(logps) == {t.history.state}


def test_what_is_longer_than_the_context_is_not_scored(tiny):
    model, renderer = tiny
    short, long = episode("a"), episode("abcdefgh")
    logps, read = orders.score_successes(model, renderer, [short, long], context=10)
    assert set(logps) == {short.history.state} and read <= 10
    assert best(orders.likeliest(logps), [long, short]) is short


def test_the_model_of_a_folder_is_asked(tiny, tmp_path):
    model, renderer = tiny
    model.save_pretrained(tmp_path)
    renderer.tokenizer.save_pretrained(tmp_path)
    picked = chosen("likeliest", model=tmp_path)
    scores = orders.score_successes(model, renderer, FOUND, context=99)
    assert picked.cost == Cost(tokens_read=scores.tokens)
    means = {
        t: sum(map(sum, s)) / sum(map(len, s)) for t, s in zip(FOUND, scores.logps.values(), strict=True)
    }
    assert best(picked.order) is max(means, key=means.__getitem__)
    assert not any(math.isnan(x) for x in means.values())
