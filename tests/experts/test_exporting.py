"""What is exported trains from the same action on, and comes back."""

import json

from helpers.byte_tokenizer import byte_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from eefcore.experts.foreign.exporting import chat_messages, export_foreign
from eefcore.experts.foreign.importing import read_foreign
from eefcore.rendering.formats import COMPACT
from eefcore.rendering.renderer import Renderer
from eefcore.types import Example, History, Step, Trajectory

RENDERER = Renderer(byte_tokenizer(), COMPACT)


def example(*actions: str, first: int = 0, task: str = "t") -> Example:
    steps = tuple(Step(f"o{i}", action) for i, action in enumerate(actions))
    return Example(Trajectory(history=History(task, "bye", steps), reward=1.0, source="gpt-4"), first)


def test_openai_messages_are_weighted_from_the_important_state_on():
    assert chat_messages(example("a0", "a1", first=1), prompt="Shop: ") == [
        {"role": "user", "content": "Shop: o0"},
        {"role": "assistant", "content": "a0", "weight": 0},
        {"role": "user", "content": "o1"},
        {"role": "assistant", "content": "a1", "weight": 1},
    ]


def test_messages_end_with_the_last_trained_action():
    whole = example("a0", "a1", "a2", first=1)
    part = Example(whole.trajectory, 1, 2, "Good:")
    assert chat_messages(part, prompt="Shop: ") == [
        {"role": "user", "content": "Shop: o0\nGood:"},
        *chat_messages(whole)[1:4],
    ]


def test_an_openai_line_has_messages_and_nothing_else(tmp_path):
    export_foreign([example("a"), example("b", "c")], tmp_path / "out.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [set(line) for line in lines] == [{"messages"}, {"messages"}]
    assert all(line["messages"][-1]["role"] == "assistant" for line in lines)


def test_openai_round_trip(tmp_path):
    """Unicode, quotes and line ends included; what a weight says comes back as `first`."""
    given = [example("think[Ä “mug”\u2028\n]", "buy"), example("a", "b", "c", first=2)]
    path = tmp_path / "out.jsonl"
    export_foreign(given, path)
    back = read_foreign(path, rewards=lambda _: 1.0)
    assert [t.actions for t in back] == [e.trajectory.actions for e in given]
    assert [[s.observation for s in t.history.steps] for t in back] == [
        [s.observation for s in e.trajectory.history.steps] for e in given
    ]
    assert [[s.trained for s in t.history.steps] for t in back] == [[True, True], [False, False, True]]


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=4), st.data())
def test_weights_count_the_trained_actions(actions, data):
    first = data.draw(st.integers(0, len(actions) - 1))
    weights = [m["weight"] for m in chat_messages(example(*actions, first=first)) if m["role"] == "assistant"]
    assert weights == [0] * first + [1] * (len(actions) - first)
