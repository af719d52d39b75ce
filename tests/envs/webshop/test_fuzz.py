"""Thousands of random and near-valid actions at every interface: always a specified answer, never a crash."""

import json
import re

import pytest
from helpers.webshop_stand_in import PRODUCTS, TOWEL, StandIn, interface, product, webshop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eefcore.errors import EpisodeOver
from eefcore.types import Transition

INTERFACES = ("agentlite", "text", "text_rich")
FUZZ = settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

BUTTONS = [
    *("Search", "Back to Search", "Next >", "< Prev", "Next", "Prev", "Buy Now"),
    *("Description", "Features", "Reviews", "Attributes"),
    *(p.asin for p in PRODUCTS),
    *(value for p in PRODUCTS for values in p.options.values() for value in values),
]
buttons = st.sampled_from(BUTTONS).flatmap(
    lambda b: st.sampled_from([b, b.lower(), b.upper(), f"[{b}]", f" {b}"])
)
words = st.one_of(
    st.sampled_from(
        ["towel", "bath towel", "tea/coffee", "<r>", "<a> quick drying", "<c>", "<c> lights", "<q> tea"]
    ),
    st.sampled_from(
        ["search_results", "item_page", '"large"', "[", "[]", "['tea','x']", ".", "..", "%00", "'", "\\"]
    ),
    st.text(max_size=30),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def call(name, parameter, value):
    return f"{name}[{json.dumps({parameter: value})}]"


near_valid = st.one_of(
    st.builds(call, st.just("click"), st.just("button"), buttons),
    st.builds(call, st.just("search"), st.just("product"), words),
    st.builds(
        call,
        st.sampled_from(["click", "search", "Think", "Finish", "reset", "Plan", "buy"]),
        st.sampled_from(["button", "product", "response", ""]),
        json_values,
    ),
    st.builds("click[{}]".format, buttons),
    st.builds("search[{}]".format, words),
    st.builds("Thought: {}\nAction: click[{}]".format, words, buttons),
)
broken = st.one_of(
    st.binary(max_size=60).map(lambda b: b.decode("utf-8", errors="replace")),
    st.binary(max_size=60).map(lambda b: b.decode("latin-1")),
    st.text(st.characters(), max_size=60),  # half surrogate pairs included
    st.text("click[search]{}\":' \n.0aZ\\", max_size=60),
    st.builds(lambda a, i, j: a[:i] + a[j:], near_valid, st.integers(0, 40), st.integers(0, 40)),
    st.builds(lambda a, b: a + b, near_valid, near_valid),
)
actions = st.lists(st.one_of(near_valid, near_valid, broken), min_size=1, max_size=25)


@pytest.mark.parametrize("shown", INTERFACES)
@FUZZ
@given(actions=actions)
def test_every_action_is_answered(shown, actions):
    env, other = webshop(interface(shown)), webshop(interface(shown))
    assert env.reset(TOWEL.id) == other.reset(TOWEL.id)
    for action in actions:
        answer = env.step(action)
        assert type(answer) is Transition and type(answer.observation) is str
        answer.observation.encode("utf-8")  # can be written to a file
        assert 0 <= answer.reward <= 1 and (answer.done or answer.reward == 0)
        assert other.step(action) == answer
        assert other.restore(env.snapshot()) == answer.observation
        if shown == "agentlite":
            assert is_specified(answer, action)
        if answer.done:
            with pytest.raises(EpisodeOver):
                env.step(action)
            assert webshop(interface(shown)).restore(env.snapshot()) == answer.observation
            break
    else:
        assert env.snapshot().actions == tuple(actions)


def is_specified(answer, action):
    """Whether an AgentLite observation is one of the kinds there are."""
    seen = answer.observation
    if answer.done:
        return seen == "shopping is finished." or action.strip(" ").startswith("Finish[")
    wrong = '"This is the wrong action to call. Please check your available action list.'
    return seen in ("OK", wrong) or re.fullmatch(r"WEB PAGE: \{.*\}", seen, re.DOTALL) is not None


@pytest.mark.parametrize("shown", INTERFACES)
@FUZZ
@given(actions=st.lists(st.binary(max_size=60), min_size=1, max_size=25))
def test_bytes_are_actions_too(shown, actions):
    env = webshop(interface(shown))
    env.reset(TOWEL.id)
    answers = [env.step(action) for action in actions]
    assert all(type(answer) is Transition for answer in answers)
    assert all(type(action) is str for action in env.snapshot().actions)


@pytest.mark.parametrize("shown", INTERFACES)
@pytest.mark.parametrize("size", [10_000, 200_000])
@pytest.mark.parametrize("letter", ["x", " ", "[", "{", '"', "\\", "日", "🛒", "\x00"])
def test_long_queries(shown, size, letter):
    env = webshop(interface(shown))
    env.reset(TOWEL.id)
    query = letter * size
    action = f"search[{json.dumps({'product': query})}]" if shown == "agentlite" else f"search[{query}]"
    assert isinstance(env.step(action).observation, str)


@pytest.mark.parametrize("shown", INTERFACES)
@FUZZ
@given(
    titles=st.lists(st.text(max_size=30), min_size=1, max_size=4),
    values=st.lists(st.text(max_size=8), max_size=4),
)
def test_any_product_can_be_shown_and_bought(shown, titles, values):
    """Products of any text: what is on sale can be opened, looked at from every side, and bought."""
    shelf = tuple(
        product(
            f"B{i:09}", title, description=title, bullets=(title,), options={title.lower(): tuple(values)}
        )
        for i, title in enumerate(titles)
    )
    agentlite = shown == "agentlite"
    env = webshop(interface(shown, catalogue=StandIn(shelf)))
    env.reset(TOWEL.id)
    env.step('search[{"product": "x"}]' if agentlite else "search[x]")
    walk = ["B000000000", *values[:2], "Description", "< Prev", "Features", "< Prev", "Attributes", "< Prev"]
    for button in walk:
        answer = env.step(f"click[{json.dumps({'button': button})}]" if agentlite else f"click[{button}]")
        assert isinstance(answer.observation, str)
        if answer.done:
            return
