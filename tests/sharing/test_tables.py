"""Tables hold the prompts and the training rows of every format, their files are read by `datasets`, and TRL learns from them."""

from __future__ import annotations

import builtins
import math
import sys
from pathlib import Path

import msgspec
import pytest
from helpers.byte_tokenizer import byte_tokenizer
from helpers.forests import CARD
from helpers.search_toys import grown, roots
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from eefcore.cli import main
from eefcore.errors import DataError
from eefcore.policies.loading import BASES
from eefcore.rendering.formats import MESSAGES
from eefcore.search.settings import Signal
from eefcore.search.tree import Tree
from eefcore.sharing import tables
from eefcore.sharing.tables import Message, TextForm, table_rows, to_dataset, write_dataset
from eefcore.storage.records import write_records
from eefcore.training.models import load_model, load_tokenizer
from eefcore.training.rows import make_rows
from eefcore.types import Example, History, Preference, Step, Trajectory

FORMATS = ("agentlite", "chat", "agentgym", "compact", "composite", "composite_chat", "composite_compact")
TEXTS = (*FORMATS, "agentlite_chat")
ENDED = byte_tokenizer()


def trajectory(*actions: str, reward: float = 1.0, task: str = "t", flags: str = "") -> Trajectory:
    trained = [flag == "+" for flag in flags or "+" * len(actions)]
    steps = tuple(
        Step(f"o{i}", a, (1, i), (-0.5, -1.0), trained=f)
        for i, (a, f) in enumerate(zip(actions, trained, strict=True))
    )
    # Their ids are of another tokenizer, so that every format writes the text.
    steps = tuple(msgspec.structs.replace(s, tokenizer="another") for s in steps)
    return Trajectory(history=History(task, "bye", steps), reward=reward, source="gpt-4", n_expert=1)


EXAMPLES = [
    Example(trajectory("a0", "a1", "a2", flags="++-")),
    Example(trajectory("a0", "a1", task="u"), 1, phrase="Do it right."),
]
SINGLE = Preference(
    chosen=Example(trajectory("a0", "good", "x"), 1, 2),
    rejected=Example(trajectory("a0", "bad", reward=0.25), 1, 2),
    margin=0.75,
    reason="Q",
    chosen_logps=(-0.5, -0.25),
    rejected_logps=(-2.0,),
)
WHOLE = Preference(
    chosen=Example(trajectory("a0", "a1")), rejected=Example(trajectory("a0", "b1", reward=0.0)), margin=1.0
)


def trees() -> list[Tree]:
    return grown(roots(), 6)


def files(folder: Path) -> dict[str, tuple[Path, type]]:
    """Return a file of each kind, as a stage writes it."""
    kept = {"examples": EXAMPLES, "preferences": [SINGLE, SINGLE], "trajectories": [EXAMPLES[0].trajectory]}
    out = {}
    for kind, records in {**kept, "trees": trees()}.items():
        write_records(folder / f"{kind}.jsonl", records, kind=kind, card=CARD)
        out[kind] = folder / f"{kind}.jsonl", type(records[0])
    return out


# ------------------------------------------------------------------------------ examples


@pytest.mark.parametrize("name", FORMATS)
def test_rows_of_examples_are_those_that_are_trained_here_in_every_format(name):
    form = TextForm(name, ENDED)
    rows = table_rows(EXAMPLES, form, card=CARD)
    trained = [row for e in EXAMPLES for row in make_rows(e, form.renderer)]
    assert len(trained) == (2 if form.format.grows else 3)
    assert [(r.input_ids, r.labels) for r in rows] == [(tokens, labels) for tokens, labels in trained]
    assert {r.environment for r in rows} == {f"toys {CARD.key}"}
    table = to_dataset(rows, form)
    assert [(r["input_ids"], r["labels"]) for r in table] == [(r.tokens, r.labels) for r in trained]


@pytest.mark.parametrize("name", TEXTS)
def test_a_trained_action_follows_what_a_served_model_is_asked(name):
    """One row an action, so that a loss on completions alone is the mask of ours; the third action is not trained."""
    form = TextForm(name)
    rows = table_rows(EXAMPLES, form, card=None)
    assert [(r.task_id, r.first, r.step) for r in rows] == [("t", 0, 0), ("t", 0, 1), ("u", 1, 1)]
    for row, action in zip(rows, ("a0", "a1", "a1"), strict=True):
        if name in MESSAGES:
            assert row.completion == [Message("assistant", action)] and row.prompt[-1].role == "user"
        else:
            assert row.completion == action + form.format.end
    asked = rows[2].prompt if isinstance(rows[2].prompt, str) else "".join(m.content for m in rows[2].prompt)
    assert "Do it right." in asked and "o0" in asked and "o1" in asked
    if name in MESSAGES:
        history = EXAMPLES[0].trajectory.history.at(1)
        assert [msgspec.to_builtins(m) for m in rows[1].prompt] == MESSAGES[name].messages(history)
    else:
        sampled = TextForm(name, byte_tokenizer(""))
        ids = make_rows(Example(EXAMPLES[0].trajectory, 1, 2), sampled.renderer)[0].tokens
        assert ENDED.decode(ids) == rows[1].prompt + rows[1].completion


# ------------------------------------------------------------------------------ pairs


@pytest.mark.parametrize("name", FORMATS)
def test_pairs_are_training_rows_of_both_sides_in_every_format(name):
    form = TextForm(name, ENDED)
    for pair in (SINGLE, WHOLE):
        (row,) = table_rows([pair], form, card=CARD)
        for side in ("chosen", "rejected"):
            rows = make_rows(getattr(pair, side), form.renderer)
            assert getattr(row, f"{side}_input_ids") == [r.tokens for r in rows]
            assert getattr(row, f"{side}_labels") == [r.labels for r in rows]
            assert getattr(row, f"{side}_logps") == [*getattr(pair, f"{side}_logps")]


@pytest.mark.parametrize("name", TEXTS)
def test_a_pair_of_actions_is_a_prompt_and_two_answers(name):
    (row,) = table_rows([SINGLE], TextForm(name), card=CARD)
    form = TextForm(name)
    assert (row.chosen, row.rejected) == (form.answer("good"), form.answer("bad"))
    assert row.prompt == form.question(SINGLE.chosen.trajectory.history.at(1))
    assert not row.pages and (row.margin, row.chosen_reward, row.rejected_reward) == (0.75, 1.0, 0.25)


@pytest.mark.parametrize("name", TEXTS)
def test_a_pair_of_trajectories_is_one_completion_or_refused(name):
    form = TextForm(name)
    if name not in ("agentlite", "chat", "agentgym", "compact"):
        with pytest.raises(
            DataError, match=r"t: expected one completion, got 2 actions .* --model for training"
        ):
            table_rows([WHOLE], form, card=CARD)
        return
    (row,) = table_rows([WHOLE], form, card=CARD)
    assert row.pages
    history = WHOLE.chosen.trajectory.history
    assert row.prompt + row.chosen == form.question(history.at(1)) + form.answer("a1")


@given(st.lists(st.text("ab o\n", min_size=1, max_size=4), min_size=1, max_size=4), st.data())
def test_prompt_and_completion_are_the_dialogue(actions, data):
    first = data.draw(st.integers(0, len(actions) - 1))
    form, example = TextForm("agentlite"), Example(trajectory(*actions), first)
    history, last = example.trajectory.history, len(actions) - 1
    whole = form.question(history.at(first)) + form.completion(example)
    assert whole == form.question(history.at(last)) + actions[-1] + "\n"


# ------------------------------------------------------------------------------ trajectories and trees


def test_trajectories_keep_their_flags_ids_and_outcomes():
    (row,) = table_rows([EXAMPLES[0].trajectory], TextForm("chat"), card=None)
    assert [(m.role, m.content, m.weight) for m in row.messages] == [
        ("user", "o0", 0), ("assistant", "a0", 1), ("user", "o1", 0), ("assistant", "a1", 1),
        ("user", "o2", 0), ("assistant", "a2", 0), ("user", "bye", 0),
    ]  # fmt: skip
    assert row.tokens == [[1, 0], [1, 1], [1, 2]] and row.logps == [[-0.5, -1.0]] * 3
    assert (row.outcome, row.environment) == ("win", "")


@pytest.mark.parametrize("signal", [Signal.REWARD, Signal.CRITIC])
def test_every_proposed_action_of_a_tree_is_a_row_and_the_visits_add_up(signal):
    forest = grown(roots(signal=signal), 6)
    rows = table_rows(forest, TextForm("chat"), card=CARD)
    assert len(rows) == sum(len(node.edges) for tree in forest for node in tree.nodes)
    for number, tree in enumerate(forest):
        mine = [r for r in rows if r.tree == number]
        assert sum(r.N for r in mine if r.node == 0) == sum(bool(tree.path(s.node)) for s in tree.simulations)
        for row in mine:
            history = tree.history(row.child)
            assert (row.action, row.observation) == (history.actions[-1], history.observation)
            assert [m.content for m in row.messages][::2] == [*history.observations[:-1]]
            assert (row.Q is None) == (row.N == 0)
    assert [r.Q for r in rows if r.N] == [
        e.total / e.N for t in forest for n in t.nodes for e in n.edges if e.N
    ]


# ------------------------------------------------------------------------------ files


@pytest.mark.parametrize("ending", tables.ENDINGS)
@pytest.mark.parametrize("kind", ["examples", "preferences", "trajectories", "trees"])
def test_a_file_is_read_by_datasets(tmp_path, kind, ending):
    from datasets import Dataset

    file, type = files(tmp_path)[kind]
    written = write_dataset(file, out := tmp_path / f"out{ending}", text=None)
    read = Dataset.from_json if ending == ".jsonl" else Dataset.from_parquet
    table = read(str(out), cache_dir=str(tmp_path / "cache"))
    assert (written.kind, written.rows) == (kind, len(table)) and len(table) > 0
    assert (
        table.column_names
        == to_dataset(table_rows(records(type), TextForm("chat"), card=CARD), TextForm("chat")).column_names
    )
    expected = [msgspec.to_builtins(r) for r in table_rows(records(type), TextForm("chat"), card=CARD)]
    assert [*table] == expected


def records(type):
    return {
        Example: EXAMPLES,
        Preference: [SINGLE, SINGLE],
        Trajectory: [EXAMPLES[0].trajectory],
        Tree: trees(),
    }[type]


def test_columns_have_the_same_types_whatever_they_hold():
    """A column without a number would otherwise be of no type, and two files could not be put together."""
    form = TextForm("chat")
    bare = msgspec.structs.replace(SINGLE, chosen_logps=(), rejected_logps=())
    one, other = (to_dataset(table_rows([p], form, card=None), form) for p in (SINGLE, bare))
    assert one.features == other.features


def eef(*arguments: object):
    return CliRunner().invoke(main.app, ["data", "export", *map(str, arguments), "--format", "datasets"])


def test_the_command_writes_training_rows_of_a_model(tmp_path):
    from datasets import Dataset

    file, _ = files(tmp_path)["examples"]
    said = eef(file, out := tmp_path / "out.parquet", "--model", "tiny", "--text", "compact")
    assert said.exit_code == 0 and "2 rows of 2 examples" in said.output
    form = TextForm("compact", load_tokenizer(BASES["tiny"]))
    rows = [row for e in EXAMPLES for row in make_rows(e, form.renderer)]
    table = Dataset.from_parquet(str(out), cache_dir=str(tmp_path / "cache"))
    assert [(r["input_ids"], r["labels"]) for r in table] == [(r.tokens, r.labels) for r in rows]


@pytest.mark.parametrize(
    ("kind", "arguments", "expected"),
    [
        ("examples", ["o.csv"], "expected a name that ends in .jsonl or .parquet"),
        ("trees", ["o.jsonl", "--text", "chat"], "trees become messages and have no format of prompts"),
        ("trajectories", ["o.jsonl", "--model", "tiny"], "choose examples.jsonl or preferences.jsonl"),
        ("examples", ["o.jsonl", "--text", "agentlit"], "did you mean 'agentlite'"),
    ],
)
def test_what_can_not_be_written_is_refused(tmp_path, kind, arguments, expected):
    out, *options = arguments
    said = eef(files(tmp_path)[kind][0], tmp_path / out, *options)
    assert said.exit_code == 1 and expected in str(said.exception)
    assert not (tmp_path / out).exists()


def test_records_that_make_no_table_are_refused(tmp_path):
    write_records(tmp_path / "tasks.jsonl", [History("t", "o")], kind="tasks", card=CARD)
    with pytest.raises(DataError, match=r"expected records of Example, .*, got History \('tasks'\)"):
        write_dataset(tmp_path / "tasks.jsonl", tmp_path / "o.jsonl", text=None)


def test_options_of_datasets_are_refused_with_another_format(tmp_path):
    file, _ = files(tmp_path)["examples"]
    said = CliRunner().invoke(main.app, ["data", "export", str(file), str(tmp_path / "o"), "--text", "chat"])
    assert said.exit_code == 1 and "which belong to --format datasets" in str(said.exception)


def test_without_the_package_datasets_parquet_is_refused_and_lines_are_written(tmp_path, monkeypatch):
    file, _ = files(tmp_path)["examples"]
    importing = builtins.__import__

    def without(name, *args):
        if name == "datasets":
            raise ImportError("No module named 'datasets'")
        return importing(name, *args)

    monkeypatch.delitem(sys.modules, "datasets", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    assert write_dataset(file, tmp_path / "o.jsonl", text=None).rows == 3
    with pytest.raises(DataError, match=r"pip install -e '\.\[data\]', or choose a name that ends in .jsonl"):
        write_dataset(file, tmp_path / "o.parquet", text=None)


# ------------------------------------------------------------------------------ TRL


def learned(trainer: str, file: Path, tmp_path: Path, processing_class, **how) -> tuple[dict, float]:
    """Return the batch of a table that TRL's trainer learns from, all its rows, and the loss of one step."""
    trl = pytest.importorskip("trl", reason="TRL is not installed; nothing of the library needs it")
    from datasets import Dataset

    write_dataset(file, out := tmp_path / "out.parquet", **how)
    table = Dataset.from_parquet(str(out), cache_dir=str(tmp_path / "cache"))
    config = getattr(trl, f"{trainer}Config")(
        output_dir=str(tmp_path / "run"), per_device_train_batch_size=8, max_steps=1, max_length=None, report_to=[],
        use_cpu=True, bf16=False,
    )  # fmt: skip
    model, _ = load_model(BASES["tiny"])
    learner = getattr(trl, f"{trainer}Trainer")(
        model=model, args=config, train_dataset=table, processing_class=processing_class
    )
    return next(iter(learner.get_train_dataloader())), learner.train().training_loss


def chat_tokenizer():
    tokenizer = byte_tokenizer(special=("<|im_start|>", "<|im_end|>"))
    tokenizer.eos_token = "<|im_end|>"
    return tokenizer


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_trl_trains_on_our_rows_and_on_nothing_else(tmp_path):
    file, _ = files(tmp_path)["examples"]
    tokenizer = load_tokenizer(BASES["tiny"])
    batch, loss = learned("SFT", file, tmp_path, tokenizer, text="compact", tokenizer=tokenizer)
    rows = [r for e in EXAMPLES for r in make_rows(e, TextForm("compact", tokenizer).renderer)]
    assert sorted(trained(batch["labels"])) == sorted([x for x in r.labels if x != -100] for r in rows)
    assert math.isfinite(loss)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_trl_trains_on_each_trained_action_of_messages(tmp_path):
    file, _ = files(tmp_path)["examples"]
    tokenizer = chat_tokenizer()
    batch, loss = learned("SFT", file, tmp_path, tokenizer, text="chat")
    said = sorted(map(tokenizer.decode, trained(batch["labels"])))
    assert said == ["a0<|im_end|>\n", "a1<|im_end|>\n", "a1<|im_end|>\n"] and math.isfinite(loss)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_trl_learns_preferences_from_messages(tmp_path):
    file, _ = files(tmp_path)["preferences"]
    tokenizer = chat_tokenizer()
    batch, loss = learned("DPO", file, tmp_path, tokenizer, text="composite_chat")
    masked = [
        ids[mask.bool()] for ids, mask in zip(batch["input_ids"], batch["completion_mask"], strict=True)
    ]
    said = [tokenizer.decode(ids) for ids in masked]
    assert said == ["good<|im_end|>\n"] * 2 + ["bad<|im_end|>\n"] * 2
    assert loss == pytest.approx(math.log(2), abs=1e-3), "the policy is the reference before the first step"


def trained(labels) -> list[list[int]]:
    return [[x for x in row if x != -100] for row in labels.tolist()]
