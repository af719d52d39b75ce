"""What is exported trains from the same action on, and comes back."""

import json

import pytest
from helpers.byte_tokenizer import byte_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from eefcore.errors import FormatError
from eefcore.experts.foreign.exporting import chat_messages, export_foreign, to_dataset
from eefcore.experts.foreign.importing import read_foreign
from eefcore.rendering.formats import COMPACT
from eefcore.rendering.renderer import Renderer
from eefcore.training.rows import IGNORE, make_row
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


def test_a_dataset_holds_the_tokens_and_labels_of_the_trainer():
    given = [example("a", "b", first=1, task="x"), example("c", task="y")]
    table = to_dataset(given, RENDERER)
    assert table.column_names == [
        "task_id", "source", "reward", "n_expert", "first", "messages", "input_ids", "labels",
    ]  # fmt: skip
    for e, line in zip(given, table, strict=True):
        assert line["task_id"] == e.trajectory.task_id and line["first"] == e.first
        assert (line["input_ids"], line["labels"]) == tuple(make_row(e, RENDERER))
    trained = [t for t in table[0]["labels"] if t != IGNORE]
    assert RENDERER.tokenizer.decode(trained) == "b\n"
    assert table[1]["messages"] == [{"role": "user", "content": "o0"}, {"role": "assistant", "content": "c"}]


def test_dataset_round_trip(tmp_path):
    """Through a file of its own format, and back to the same rows."""
    from datasets import Dataset

    given = [example("a", "bb", first=1), example("ccc")]
    to_dataset(given, RENDERER).save_to_disk(tmp_path / "d")
    back = Dataset.load_from_disk(tmp_path / "d")
    assert [(r["input_ids"], r["labels"]) for r in back] == [tuple(make_row(e, RENDERER)) for e in given]


def test_a_dataset_refuses_an_example_that_the_mask_refuses():
    with pytest.raises(FormatError, match="use format: chat"):
        to_dataset([example("two\nlines")], RENDERER)
