"""Foreign files become trajectories, or an error that says which record and field is not as expected."""

import csv
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.paths import WEBSHOP_DATA
from typer.testing import CliRunner

from eefcore.cli import main
from eefcore.errors import DataError, EpisodeOver, UnknownTask
from eefcore.experts.foreign.importing import import_foreign, read_foreign, read_rewards
from eefcore.protocols import Environment
from eefcore.rollout.exploration import check_replays
from eefcore.storage.records import read_records
from eefcore.types import State, StopReason, Trajectory, Transition

DATA = WEBSHOP_DATA

RULES = {"from": "human", "value": "You are web shopping.\nYour response should use the following format: …"}
START = "WebShop [SEP] Instruction: [SEP] a red mug, and price lower than 10.00 dollars [SEP] Search"
PAGE = (
    "Instruction: [SEP] a red mug [SEP] Back to Search [SEP] Page 1 [SEP] B000000001 [SEP] Red Mug [SEP] $8.0"
)
SEARCH = "Thought:\nI should search for a red mug.\n\nAction:\nsearch[red mug]"
CLICK = "Thought:\nIt is red.\n\nAction:\nclick[B000000001]"


def written(folder: Path, name: str, content) -> Path:
    """Text as it is, a list as JSON lines or, for .json, as an array; a dict as an object."""
    path = folder / name
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    elif isinstance(content, list) and path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(record) + "\n" for record in content))
    else:
        path.write_text(json.dumps(content, indent=2))
    return path


def react(**changes):
    record = {
        "idx": 7,
        "instruction": "a red mug",
        "reward": 1.0,
        "bought": True,
        "steps": [
            {"action": "reset", "obs": "Webshop \nInstruction:  \na red mug \n[Search] "},
            {"action": "think[I should search.]", "obs": "OK."},
            {"action": "search[red mug]", "obs": "[Back to Search] \nPage 1"},
            {"action": "click[Buy Now]", "obs": "Your score (min 0.0, max 1.0): 1.0"},
        ],
    }
    return {**record, **changes}


def agentgym(*, losses=(True, True), reward=None):
    record = {
        "item_id": "webshop_5238",
        "conversations": [
            {**RULES, "loss": None},
            {"from": "gpt", "loss": False, "value": "Ok."},
            {"from": "human", "loss": None, "value": START},
            {"from": "gpt", "loss": losses[0], "value": SEARCH},
            {"from": "human", "loss": None, "value": PAGE},
            {"from": "gpt", "loss": losses[1], "value": CLICK},
        ],
    }
    return record if reward is None else {**record, "reward": reward, "success": int(reward == 1)}


def eto(**changes):
    turns = [{k: v for k, v in t.items() if k != "loss"} for t in agentgym()["conversations"]]
    return {"id": 12, "conversations": turns, "reward": 0.75, "source": "gpt-4", **changes}


def explored(reason="success", reward=1.0):
    example = [{"from": "human", "value": "an example"}, {"from": "gpt", "value": "Action: search[x]"}] * 4
    turns = [RULES, {"from": "gpt", "value": "OK"}, *example, *eto()["conversations"][2:]]
    meta = {
        "steps": 2,
        "reward": reward,
        "finished": True,
        "success": True,
        "terminate_reason": reason,
        "error": None,
    }
    return {"meta": meta, "conversations": turns}


AGENTLITE = """\
Task:a red mug, and price lower than 10.00 dollars
Action:Think[{"response": "I should search."}]
Observation: OK
Action:search[{"product": "red mug"}]
Observation: WEB PAGE: {
[Back to Search]\x20
Page 1 (Total results: 1)\x20
[B000000001]\x20
Action: Figure Mug\x20
$8.0 }
Action:click[{"button": "Buy Now"}]
Observation: shopping is finished.

Task:a blue cup
Action:search[{"product": "cup"}]
Observation: WEB PAGE: {There is no such page }
Action:
"""


def test_react_records_are_read(tmp_path):
    (t,) = read_foreign(written(tmp_path, "r.jsonl", [react()]), money=0.02)
    assert t.task_id == "7" and t.win and t.source == "react" and t.money == 0.02
    assert t.actions == ("think[I should search.]", "search[red mug]", "click[Buy Now]")
    assert t.history.steps[0].observation == "Webshop \nInstruction:  \na red mug \n[Search] "
    assert t.history.steps[1].observation == "OK."
    assert t.history.observation == "Your score (min 0.0, max 1.0): 1.0"
    assert t.n_expert == len(t) == 3


@pytest.mark.parametrize(
    ("bought", "last", "stop"),
    [
        (True, {"action": "click[Buy Now]", "obs": "Your score"}, StopReason.DONE),
        (False, {"action": "click[Buy Now]", "obs": ""}, StopReason.ENVIRONMENT_FAILURE),
        (False, {"action": "click[Buy Now]", "obs": "Invalid action!"}, StopReason.TURN_LIMIT),
        (False, {"action": "think[I give up.]", "obs": "OK."}, StopReason.TURN_LIMIT),
    ],
)
def test_how_a_react_episode_ended(tmp_path, bought, last, stop):
    record = react(bought=bought, reward=0.0, steps=[*react()["steps"][:-1], last])
    assert read_foreign(written(tmp_path, "r.jsonl", [record]))[0].stop is stop


@pytest.mark.skipif(not (DATA / "react_gpt3_250.jsonl").is_file(), reason="the real GPT-3 log is not at hand")
def test_the_real_react_log():
    ts = read_foreign(DATA / "react_gpt3_250.jsonl", source="gpt-3")
    assert len(ts) == 250
    assert Counter(t.outcome for t in ts) == {
        "win": 87,
        "loss": 145,
        "turn_limit": 15,
        "environment_failure": 3,
    }
    assert sum(map(len, ts)) / 250 == pytest.approx(6.8)
    assert sum(t.reward for t in ts) / 250 == pytest.approx(0.6462, abs=1e-4)
    assert sum(a.startswith("think[") for t in ts for a in t.actions) == 540


@pytest.mark.skipif(not (DATA / "react_gpt3_250.jsonl").is_file(), reason="the real GPT-3 log is not at hand")
def test_the_command_says_how_many_of_the_real_log_won(tmp_path):
    out = tmp_path / "ours.jsonl"
    command = ["data", "import", str(DATA / "react_gpt3_250.jsonl"), str(out), "--source", "gpt-3"]
    said = CliRunner().invoke(main.app, command)
    assert said.exit_code == 0 and "250 trajectories, 87 wins." in said.output
    assert "benchmark: webshop?interface=react" in said.output
    assert {t.source for t in read_records(out, Trajectory).list} == {"gpt-3"}


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_agentgym_records_are_read(tmp_path, name):
    path = written(tmp_path, name, [agentgym(), agentgym()])
    first, second = read_foreign(path, rewards=lambda record: {"webshop_5238": 1.0}[record])
    assert first.task_id == "webshop_5238" and first.win
    assert first.history.steps[0].observation == START
    assert first.actions == (SEARCH, CLICK)
    assert first.history.observation == ""
    assert (first.sample, second.sample) == (0, 1)


def test_an_evaluated_agentgym_file_says_its_rewards(tmp_path):
    assert read_foreign(written(tmp_path, "a.jsonl", [agentgym(reward=0.5)]))[0].reward == 0.5
    path = written(tmp_path, "s.jsonl", [agentgym(reward=83.0)])
    assert read_foreign(path, win=100)[0].reward == 0.83
    with pytest.raises(
        DataError, match=r"reward 83.0, expected one in \[0, 1\]; say what the file calls a win, as --win 100"
    ):
        read_foreign(path)


def test_a_reward_that_is_absent_is_not_0(tmp_path):
    path = written(tmp_path, "a.json", [agentgym()])
    with pytest.raises(
        DataError, match="'webshop_5238' does not say its reward, and an absent reward is not 0"
    ):
        read_foreign(path)
    known = read_rewards(written(tmp_path, "rewards.json", {"webshop_5238": 0.25}))
    assert read_foreign(path, rewards=known)[0].reward == 0.25
    other = read_rewards(written(tmp_path, "others.json", {"webshop_1": 0.25}))
    with pytest.raises(
        DataError, match=r"no reward of record 'webshop_5238'; it holds 1, such as \['webshop_1'\]"
    ):
        read_foreign(path, rewards=other)


@pytest.mark.parametrize("format", ["auto", "sharegpt", "agentgym", "eto"])
def test_conversations_alone_are_read_with_rewards_by_their_number_in_the_file(tmp_path, format):
    bare = {"conversations": agentgym()["conversations"]}
    path = written(tmp_path, "bare.json", [bare, bare])
    with pytest.raises(
        DataError, match=r"record '0' does not say its reward, .* `eef data import … --rewards FILE`"
    ):
        read_foreign(path, format)
    rewards = read_rewards(written(tmp_path, "rewards.json", {"0": 1.0, "1": 0.5}))
    read = read_foreign(path, format, rewards=rewards)
    assert [t.reward for t in read] == [1.0, 0.5]
    assert [s.action for s in read[0].history.steps] == [SEARCH, CLICK]
    assert {t.source for t in read} == {"sharegpt" if format == "auto" else format}


def test_a_given_reward_comes_before_the_one_in_the_file(tmp_path):
    path = written(tmp_path, "e.json", [eto()])
    assert read_foreign(path, rewards=lambda _: 0.0)[0].reward == 0.0


def flags(t):
    return [step.trained for step in t.history.steps]


@pytest.mark.parametrize("losses", [(True, True), (False, True), (True, False), (False, False)])
def test_loss_flags_survive(tmp_path, losses):
    (t,) = read_foreign(written(tmp_path, "a.json", [agentgym(losses=losses, reward=1.0)]))
    assert flags(t) == [*losses]


def test_eto_records_are_read(tmp_path):
    (t,) = read_foreign(written(tmp_path, "e.json", [eto()]))
    assert (t.task_id, t.reward, t.source, t.stop) == ("12", 0.75, "gpt-4", StopReason.DONE)
    assert t.actions == (SEARCH, CLICK)
    (t,) = read_foreign(
        written(tmp_path, "e.json", [eto(reward=None)]), rewards=lambda _: 1.0, source="human"
    )
    assert t.win and t.source == "human"


@pytest.mark.parametrize(
    ("reason", "reward", "outcome"),
    [
        ("success", 1.0, "win"),
        ("success", 0.5, "loss"),
        ("max_steps", 0.0, "turn_limit"),
        ("exceeding maximum input length", 0.0, "context_limit"),
    ],
)
def test_an_explored_eto_episode(tmp_path, reason, reward, outcome):
    (t,) = read_foreign(written(tmp_path, "330.json", explored(reason, reward)), preamble=10)
    assert (t.task_id, t.outcome) == ("330", outcome)
    assert t.history.steps[0].observation == START and t.actions == (SEARCH, CLICK)


def test_a_folder_of_explored_eto_episodes(tmp_path):
    for name in ("10.json", "9.json"):
        written(tmp_path, name, explored())
    written(tmp_path, "log.txt", "Task finished")
    assert [t.task_id for t in read_foreign(tmp_path, preamble=10)] == ["9", "10"]


def test_agentlite_logs_are_read(tmp_path):
    rewards = read_rewards(
        written(
            tmp_path,
            "r.csv",
            "0\ta red mug, and price lower than 10.00 dollars\t1.0\t1.0\n1\ta blue cup\t0.2\t0.1",
        )
    )
    bought, stopped = read_foreign(written(tmp_path, "t.txt", AGENTLITE), rewards=rewards)
    assert bought.win and len(bought) == 3
    assert bought.history.steps[0].observation == "a red mug, and price lower than 10.00 dollars"
    assert bought.actions[1] == 'search[{"product": "red mug"}]'
    assert "[B000000001] \nAction: Figure Mug \n$8.0 }" in bought.history.steps[2].observation
    assert bought.history.observation == "shopping is finished."
    assert (stopped.outcome, stopped.reward, len(stopped)) == ("turn_limit", 0.1, 1)
    assert stopped.history.observation == "WEB PAGE: {There is no such page }"


def test_the_example_in_an_agentlite_prompt_is_not_an_episode(tmp_path):
    prompt = "[Role]\nYou shop.\n[Example]\nTask:a towel\nAction:Finish[{}]\nObservation: OK\n[Execution]\n"
    (t, _) = read_foreign(written(tmp_path, "t.txt", prompt + AGENTLITE), rewards=lambda _: 1.0)
    assert t.task_id.startswith("a red mug")


def test_plain_conversations_without_a_preamble(tmp_path):
    record = eto(conversations=eto()["conversations"][2:])
    assert read_foreign(written(tmp_path, "e.json", [record]))[0].actions == (SEARCH, CLICK)


def test_openai_messages_are_read(tmp_path):
    messages = [
        {"role": "system", "content": "You are web shopping."},
        {"role": "user", "content": START},
        {"role": "assistant", "content": SEARCH, "weight": 0},
        {"role": "user", "content": PAGE},
        {"role": "assistant", "content": CLICK, "weight": 1},
    ]
    path = written(tmp_path, "o.jsonl", [{"messages": messages}] * 2)
    assert [t.task_id for t in read_foreign(path, rewards=lambda _: 1.0)] == ["0", "1"]
    assert [flags(t) for t in read_foreign(path, rewards=lambda _: 1.0)] == [[False, True]] * 2


# What other programs write into the same formats -------------------------------------------------------

WISH = "i need a red mug, and price lower than 10.00 dollars"
FOUND = "WEB PAGE: {\n[Back to Search] \n[B000000001] \nRed Mug \n$8.0 }"


@pytest.mark.parametrize("key", ["messages", "conversations"])
@pytest.mark.parametrize(
    "first",
    [
        "Ok, I'll look for it.\nAction: search[red mug]",
        "OK. search[red mug]",
        "Okay",
        "ok",
        "Thought: OK\nAction: search[red mug]",
    ],
)
@pytest.mark.parametrize("answer", [FOUND, "This room is called the kitchen.", "Observation: a mug", "OK"])
def test_an_action_that_begins_with_ok_stays(tmp_path, key, first, answer):
    """A guess is checked against what follows: an answer of the environment is no task."""
    conversation = [
        said("user", WISH),
        said("assistant", first),
        said("user", answer),
        said("assistant", CLICK),
    ]
    path = written(tmp_path, "o.json", [{key: conversation}])
    (t,) = read_foreign(path, rewards=lambda _: 1.0)
    assert t.actions == (first, CLICK) and t.history.at(0).observation == WISH


@pytest.mark.parametrize("agreed", ["OK", "Ok.", "OK. I'll follow your instructions and try my best."])
@pytest.mark.parametrize(
    "task", [WISH, START, "Your task is to boil water.\nThis room is called the kitchen."]
)
def test_rules_that_are_agreed_to_are_left_out(tmp_path, agreed, task):
    turns = [
        said("user", "You shop."),
        said("assistant", agreed),
        said("user", task),
        said("assistant", CLICK),
    ]
    (t,) = read_foreign(written(tmp_path, "o.json", [{"messages": turns}]), rewards=lambda _: 1.0)
    assert t.actions == (CLICK,) and t.history.at(0).observation == task


def test_content_in_parts_tool_calls_and_nulls(tmp_path):
    parts = [
        {"type": "text", "text": "i need a red mug, "},
        {"type": "text", "text": "and price lower than 10.00 dollars"},
    ]
    messages = [
        said("system", None),
        said("user", parts),
        called("search"),
        {"role": "tool", "tool_call_id": "1", "content": FOUND},
        {**called("click", arguments='{"button": "Buy Now"}'), "content": "It is red."},
        {"role": "tool", "content": None},
        said("assistant", None),
    ]
    (t,) = read_foreign(written(tmp_path, "o.jsonl", [{"messages": messages}]), rewards=lambda _: 1.0)
    assert t.history.at(0).observation == WISH and t.history.steps[1].observation == FOUND
    assert t.actions == (
        'search[{"product": "red mug"}]',
        'It is red.\nclick[{"button": "Buy Now"}]',
        "",
    )
    assert flags(t) == [True, True, False], "a turn that says nothing has nothing to train"


def test_roles_of_the_chat_interface_in_a_conversation(tmp_path):
    turns = [said("user", WISH), said("assistant", CLICK), said("user", FOUND), said("assistant", CLICK)]
    records = [{"id": 3, "reward": 1.0, "conversations": turns}, {"reward": 0.5, "conversations": turns}]
    first, second = read_foreign(written(tmp_path, "e.json", records))
    assert (first.task_id, second.task_id) == ("3", "1"), "a record without an id is called by its number"
    assert first.actions == second.actions == (CLICK, CLICK) and first.win


def test_react_records_without_ids_and_observations(tmp_path):
    steps = [*react()["steps"][:-1], {"action": "click[Buy Now]", "obs": None}]
    t, other = read_foreign(written(tmp_path, "r.jsonl", [without(react(steps=steps), "idx"), react()]))
    assert (t.task_id, other.task_id) == ("0", "7") and t.history.observation == ""


@pytest.mark.parametrize(("score", "win"), [(-100, 100.0), (-1.0, None), (-0.001, None)])
def test_a_negative_score_is_a_loss_and_is_counted(tmp_path, score, win):
    records = [agentgym(reward=reward) for reward in ((win or 1.0), score, 0.0)]
    found = import_foreign(written(tmp_path, "a.json", records), win=win)
    assert [t.reward for t in found.trajectories] == [1.0, 0.0, 0.0]
    assert [t.outcome for t in found.trajectories] == ["win", "loss", "loss"] and found.negative == 1


def test_the_environment_gives_the_preamble_and_the_reward_of_a_win(tmp_path):
    (t,) = read_foreign(written(tmp_path, "330.json", explored()), environment="webshop")
    assert t.actions == (SEARCH, CLICK)
    path = written(tmp_path, "a.json", [agentgym(reward=83.0)])
    assert read_foreign(path, environment="sciworld")[0].reward == 0.83
    with pytest.raises(DataError, match="no environment 'shop'; choose one of webshop, sciworld, alfworld"):
        read_foreign(path, environment="shop")


def test_our_task_for_a_foreign_record(tmp_path):
    path = written(tmp_path, "r.jsonl", [react()])
    (t,) = read_foreign(path, task_id=lambda e: f"task:{e.id}:{e.observations[0].split(chr(10))[2].strip()}")
    assert t.task_id == "task:7:a red mug"


def without(record, field):
    return {k: v for k, v in record.items() if k != field}


def said(role, content):
    return {"role": role, "content": content}


def called(*names, arguments='{"product": "red mug"}'):
    calls = [{"id": "1", "type": "function", "function": {"name": n, "arguments": arguments}} for n in names]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def turns(*speakers):
    return eto(conversations=[{"from": s, "value": "x"} for s in speakers])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("r.jsonl", [without(react(), "bought")] * 2, r"none of its 2 records can be read; the first, r.jsonl:1: .*missing required field `bought`"),
        ("r.jsonl", [react(reward="high")], r"r.jsonl.*Expected `float | null`, got `str` - at `\$.reward`"),
        ("r.jsonl", [react(reward=None)], "record '7' does not say its reward, and an absent reward is not 0"),
        ("r.jsonl", [react(reward=1.5)], r"reward 1.5, expected one in \[0, 1\]"),
        ("r.jsonl", [react(steps=react()["steps"][:1])], "expected `reset` and at least one action, got 1 steps"),
        ("r.jsonl", "{}\n" + json.dumps(react())[:90], r"the first record has the fields none"),
        ("r.jsonl", json.dumps(react())[:90], r"r.jsonl:1: .*is the file whole"),
        ("a.json", [{"item_id": "webshop_1", "conversations": None}], "task ids alone .AgentEval. holds no traj"),
        ("a.json", json.dumps([agentgym()])[:-200], "a.json: Input data was truncated"),
        ("e.json", [turns("human", "human")], "message 1: expected one from 'gpt', got 'human'"),
        ("e.json", [turns("gpt", "human")], "message 0: expected one from 'human', got 'gpt'"),
        ("e.json", [eto(conversations=[{"value": "x"}])], "message 0: expected one from 'human', got 'nobody'"),
        ("o.jsonl", [{"messages": [said("user", "a"), {**said("assistant", "b"), "weight": 0.5}]}], "message 1: weight 0.5; a turn is trained .1. or not .0."),
        ("o.jsonl", [{"messages": [said("user", [{"type": "image_url"}])]}], "message 0: a part of type 'image_url', expected text"),
        ("o.jsonl", [{"messages": [said("user", "a"), called("search", "click")]}], "message 1: 2 tool calls in a turn, expected one"),
        ("e.json", [turns("human")], "no action after 0 messages of the prompt"),
        ("9.json", explored(), "with --environment, or with --preamble the number of messages before the task .ETO's own: webshop 10"),
        ("t.txt", "Task:a cup\n", "no action follows Task:a cup"),
        ("t.txt", 'Task:a cup\nAction:search[{}]\nno prefix\n', "t.txt:1: line 3 of the task: expected `Observation:` after an action"),
        ("t.txt", "Task:a\nAction:x[{}]\nObservation: a b[TLDR]", "cut by AgentLite's logger; raise its OBS_OFFSET"),
        ("x.json", [{"prompt": "a", "answer": "b"}], "has the fields prompt, answer, which no format known here has"),
        ("x.json", [], "no record in it"),
        ("x.txt", "", "no record in it"),
        ("x.txt", "a book about mugs", "x.txt:1: JSON is malformed"),
        ("x.json", "[1, 2]", "x.json, record 0: Expected `object`, got `int`"),
    ],
)  # fmt: skip
def test_a_refused_file_is_named_with_its_place_and_reason(tmp_path, name, content, says):
    with pytest.raises(DataError, match=says):
        read_foreign(written(tmp_path, name, content), rewards=None if name != "t.txt" else lambda _: 1.0)


def lines(*records):
    return "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records)


BAD_AGENTLITE = "Task:a lamp\nAction:search[{}]\nno prefix\n\n"


@pytest.mark.parametrize(
    ("name", "content", "read", "refused"),
    [
        ("r.jsonl", lines(without(react(), "bought"), react()), ["7"], {"r.jsonl:1": "missing required field `bought`"}),
        ("r.jsonl", lines(react(), json.dumps(react())[:90]), ["7"], {"r.jsonl:2": "is the file whole"}),
        ("r.jsonl", lines("no JSON", "", react(idx=8), "[1]"), ["8"], {"r.jsonl:1": "malformed", "r.jsonl:4": "got `array`"}),
        ("r.jsonl", lines(react(), react(reward=None)), ["7"], {"r.jsonl:2": "record '7' does not say its reward"}),
        ("a.json", [agentgym(reward=1), without(agentgym(), "conversations")], ["webshop_5238"], {"a.json, record 1": "`conversations`"}),
        ("a.json", [3, without(agentgym(reward=1), "item_id")], ["1"], {"a.json, record 0": "Expected `object`, got `int`"}),
        ("e.json", [turns("human", "human"), eto()], ["12"], {"e.json, record 0": "message 1: expected one from 'gpt'"}),
        ("e.json", [eto(), explored()], ["12"], {"e.json, record 1": "an explored episode opens with worked examples"}),
        ("t.txt", BAD_AGENTLITE + AGENTLITE, ["a red mug, and price lower than 10.00 dollars", "a blue cup"], {"t.txt:1": "line 3 of the task: expected `Obs"}),
        ("t.txt", AGENTLITE + "\nTask:a lamp\n", ["a red mug, and price lower than 10.00 dollars", "a blue cup"], {"t.txt:19": "no action follows Task:a lamp"}),
    ],
)  # fmt: skip
def test_a_record_that_can_not_be_read_costs_itself_alone(tmp_path, name, content, read, refused):
    rewards = (lambda _: 1.0) if name == "t.txt" else None
    found = import_foreign(written(tmp_path, name, content), rewards=rewards)
    assert [t.task_id for t in found.trajectories] == read
    assert [place for place, _ in found.refused] == [*refused]
    for (_, reason), says in zip(found.refused, refused.values(), strict=True):
        assert says in reason and str(tmp_path) not in reason


def test_a_reward_of_another_scale_refuses_the_whole_file(tmp_path):
    """Beside 83 of 100, a reward of 1 is no win."""
    path = written(tmp_path, "a.json", [agentgym(reward=1.0), agentgym(reward=83.0)])
    with pytest.raises(DataError, match="say what the file calls a win, as --win 100"):
        import_foreign(path)


def test_the_command_writes_which_records_it_left_out_and_why(tmp_path):
    path, out = written(tmp_path, "r.jsonl", lines(react(), "no JSON")), tmp_path / "ours.jsonl"
    said = CliRunner().invoke(main.app, ["data", "import", str(path), str(out)])
    beside = tmp_path / "ours.refused.csv"
    assert said.exit_code == 0 and f"{beside}: 1 records are left out" in said.output
    with beside.open(newline="", encoding="utf-8") as text:
        (row,) = csv.DictReader(text)
    assert row["place"] == "r.jsonl:2" and "malformed" in row["reason"]
    written(tmp_path, "r.jsonl", lines(react()))
    assert CliRunner().invoke(main.app, ["data", "import", str(path), str(out)]).exit_code == 0
    assert not beside.exists()


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"none\.json: can't be read"):
        read_foreign(tmp_path / "none.json")
    with pytest.raises(DataError, match=r"no \*.json file in this folder"):
        read_foreign(tmp_path)
    (tmp_path / "b.json").write_bytes(b'[{"a": "\xff"}]')
    with pytest.raises(DataError, match="not UTF-8 text at byte 8"):
        read_foreign(tmp_path / "b.json")
    with pytest.raises(DataError, match="no format 'parquet'; choose auto or one of react, agentgym"):
        read_foreign(tmp_path / "b.json", "parquet")
    with pytest.raises(DataError, match=r"r.csv:1: expected index, task, …, reward between tabs"):
        read_rewards(written(tmp_path, "r.csv", "index\ttask\treward"))


class OneClick:
    """A shop with one page: `click[Buy Now]` ends it."""

    def reset(self, task_id: str) -> str:
        if task_id != "7":
            raise UnknownTask(f"no task {task_id}")
        self.over = False
        return "Webshop \nInstruction:  \na red mug \n[Search] "

    def step(self, action: str) -> Transition:
        if self.over:
            raise EpisodeOver("it is over")
        self.over = action == "click[Buy Now]"
        if self.over:
            return Transition("Your score (min 0.0, max 1.0): 1.0", 1.0, True)
        return Transition("OK." if action.startswith("think") else "[Back to Search] \nPage 1")

    def snapshot(self) -> State:
        return State("7")

    def restore(self, state: State) -> str:
        raise NotImplementedError


def test_trajectories_that_replay_can_be_explored_from(tmp_path):
    """Other pages, another score, an unknown task, a shop that closes early: accepted, and not explored."""
    steps = react()["steps"]
    records = [
        react(),
        react(steps=[*steps[:2], {"action": "search[red mug]", "obs": "Page 1 of another shop"}, steps[3]]),
        react(reward=0.5),
        react(idx=8),
        react(steps=[*steps, {"action": "click[Buy Now]", "obs": "again"}]),
    ]
    ts = read_foreign(written(tmp_path, "r.jsonl", records))
    make: type[Environment] = OneClick
    result = check_replays(SimpleNamespace(make=make), ts)
    assert result.replayable == ts[:1]
    assert [t for t, _ in result.refused] == ts[1:]
    for (_, reason), says in zip(
        result.refused,
        ["o_2 is now", "replayed to reward 1.0, recorded 0.5", "no task 8", "is over"],
        strict=True,
    ):
        assert says in reason
