"""What no stage could work with is refused when a params file is planned, with what to change."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from helpers.official_files import GOALS, write_official_files
from helpers.paths import ROOT

from eefcore.errors import ParamsError
from eefcore.experts.collect import recorded_pages
from eefcore.runs.paths import portable
from eefcore.runs.planning import plan_run


@pytest.fixture(scope="module")
def parsed_once(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cache of the code that plans read: parsing the whole package takes a second."""
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def workspace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, parsed_once: str) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("EEF_CACHE", parsed_once)
    monkeypatch.setenv("EEF_TEST_PLACE", str(tmp_path))
    write_official_files(tmp_path / "shop")
    (tmp_path / "empty").mkdir()
    (tmp_path / "experts.jsonl").write_text("{}")


def plan(tmp_path: Path, stages: dict, shared: dict | None = None, method: dict | None = None):
    content = {
        "run": "checked",
        "shared": {"sizes": "12/6/6"} | (shared or {}),
        "stages": stages,
        "methods": {"EEF": {"iterations": 2} | (method or {})},
    }
    path = tmp_path / "checked.yaml"
    path.write_text(json.dumps(content))  # which is YAML
    return plan_run(path)


SHOP = {"benchmark": "webshop", "data": "${EEF_TEST_PLACE}/shop"}


@pytest.mark.parametrize(
    ("stages", "shared", "says"),
    [
        ({"train": {"learning_rate": 1e6}}, {}, r"train.learning_rate: must be > 0, ≤ 1, got 1000000"),
        ({"train": {"epochs": -1}}, {}, "train.epochs: must be 1 to 1000, got -1"),
        ({"train": {"epochs": 0}}, {}, "train.epochs: must be 1 to 1000, got 0"),
        ({"train": {"context": 0}}, {}, "train.context: must be ≥ 1, got 0"),
        ({"train": {"context": 20}}, {}, "train.1: context 20: must have room for one turn .* takes about 26 tokens"),
        ({"evaluate": {"context": 90}}, {}, "evaluate.1: context 90: .* beside an answer of max_new_tokens 96"),
        ({"train": {"base": "tinny"}}, {}, "train.1: base 'tinny': no such model; did you mean 'tiny'"),
        ({"train": {"base": "models/not/there"}}, {}, "base 'models/not/there': no such model"),
        ({"train": {"base": "params/model"}}, {}, "base 'params/model': no such model"),
        ({"explore": {"explore_from": "storng"}}, {}, "explore.1: explore_from 'storng': .* did you mean 'strong'"),
        ({"select": {"clone_from": "weak"}}, {}, "clone_from 'weak': no expert of that name plays.* 02_expert says strong"),
        ({"expert": {"expert": "smollm2", "prompt": "agntlite"}}, {}, "no format 'agntlite'; did you mean 'agentlite'"),
        ({"train": {"base": "${EEF_TEST_PLACE}/empty"}}, {}, "empty holds no model; expected a folder with config.json"),
        ({"explore": {"samples": 0, "M": 0}}, {}, "explore.1: samples and M are both 0"),
        ({"explore": {"finder": "binary", "repeats": 2}}, {}, "repeats 2 is for the fixed finder"),
        ({"explore": {"finder": "no_such:finder"}}, {}, "explore.1: .*finder 'no_such:finder': there is no module no_such"),
        ({"select": {"choose": "json:order"}}, {}, "select.2: .*choose 'json:order': json has no function 'order'"),
        ({}, {"format": "compat"}, "no format 'compat'; did you mean 'compact'"),
        ({}, {"benchmark": "webshop_mimi"}, "expert: no benchmark 'webshop_mimi'; did you mean 'webshop_mini'"),
        ({}, {"benchmark": "json:load"}, r"benchmark 'json:load': .*it is called with data, sizes, seed"),
        ({}, {"sizes": "0/6/6"}, "expert: sizes 0/6/6: must have a train task at least"),
        ({}, {"sizes": "12/0/6"}, "evaluate.1: sizes 12/0/6: must have a dev task"),
        ({}, {"sizes": "12/6/0"}, "evaluate.test: sizes 12/6/0: must have a test task"),
        ({}, {"sizes": "40-10-20"}, "sizes '40-10-20': expected three numbers"),
        ({}, {"sizes": "1" * 200 + "/1/1"}, "expected three numbers"),
        ({}, {"sizes": "99999999/6/6"}, "a generated shop has at most"),
        ({}, {"sizes": "1200/6/6"}, "train.1: sizes 1200/6/6: 1212 tasks .* base tiny can copy the product ids of 1210"),
        ({}, {"data": "x"}, "webshop_mini is generated and reads no data"),
        ({}, {"benchmark": "sciworld_mini", "sizes": "99999/6/6"}, "99999 train tasks are asked for; the simulator's"),
        ({}, {**SHOP, "data": "nowhere"}, "expected exactly one items_shuffle.*no such folder"),
        ({}, {**SHOP, "sizes": f"{GOALS}/1/1"}, f"{GOALS + 2} tasks are asked for; .* holds {GOALS}"),
        ({"expert": {"tasks": 13}}, {}, "expert: tasks 13: there are 12 training tasks in sizes 12/6/6"),
        ({"expert": {"tasks": 5, "file": "params/smoke.yaml"}}, {}, "tasks 5: the trajectories of `file` say which"),
        ({"expert": {"file": "nowhere.jsonl"}}, {}, "expert: file nowhere.jsonl: expected a file .*, got nothing"),
        ({"expert": {"file": "${EEF_TEST_PLACE}/experts.jsonl + params"}}, {}, "file params: expected a file .* got a folder"),
    ],
)  # fmt: skip
def test_what_no_stage_could_work_with_is_refused_before_anything_starts(tmp_path, stages, shared, says):
    with pytest.raises(ParamsError, match=says) as error:
        plan(tmp_path, stages, shared)
    assert str(error.value).startswith(f"{tmp_path / 'checked.yaml'}: ")


@pytest.mark.parametrize(
    ("stages", "shared"),
    [
        ({}, {}),
        ({"train": {"context": 64, "batch_tokens": 4}}, {}),
        ({}, {**SHOP, "sizes": "0/6/6"}),
        ({}, {"benchmark": "sciworld_mini", "sizes": "0/0/0", "format": "agentgym"}),
        ({"expert": {"file": "${EEF_TEST_PLACE}/experts.jsonl"}}, {}),
        ({"train": {"base": "HuggingFaceTB/SmolLM2-135M-Instruct"}}, {}),
        ({"explore": {"samples": 0}}, {}),
        ({}, {"sizes": "1200/5/5"}),
        ({"train": {"base": "HuggingFaceTB/SmolLM2-135M-Instruct"}}, {"sizes": "1200/6/6"}),
        ({"expert": {"tasks": 12}}, {}),
    ],
)
def test_what_stages_can_work_with_is_planned(tmp_path, stages, shared):
    assert plan(tmp_path, stages, shared)[-1].label == "report"


@pytest.mark.parametrize(
    ("stages", "shared", "says"),
    [
        ({"train": {"format": "agentlite"}}, {}, "explore.1|evaluate.1"),
        ({"explore": {"format": "agentlite"}}, {}, "explore.1: format 'agentlite': expected 'compact' as in train.1"),
        ({"select": {"format": "agentlite"}}, {}, "select.2: format 'agentlite': expected 'compact'"),
        ({"evaluate": {"format": "agentlite"}}, {}, "evaluate.1: format 'agentlite': .* once, under `shared:`"),
        (
            {"evaluate": {"template_args": {"enable_thinking": True}}},
            {"format": "chat", "template_args": {"enable_thinking": False}},
            "evaluate.1: template_args .*true.*: expected .*false.* as in train.1",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("of_method", [False, True])
def test_a_model_is_refused_to_play_in_another_text_form_than_it_was_trained_in(
    tmp_path, stages, shared, says, of_method
):
    with pytest.raises(ParamsError, match=says):
        plan(tmp_path, *(({}, shared, stages) if of_method else (stages, shared)))


def test_a_preference_method_is_refused_a_second_text_form_in_each_of_its_stages(tmp_path):
    for stage, label in (("dpo", "dpo.2"), ("preferences", "preferences.2")):
        with pytest.raises(ParamsError, match=f"{label}: format 'agentlite'"):
            plan(tmp_path, {}, {}, {"learn": "dpo", stage: {"format": "agentlite"}})


def test_one_text_form_is_planned_however_it_is_written(tmp_path):
    args = {"enable_thinking": False}
    plan(
        tmp_path,
        {"train": {"template_args": "enable_thinking: false"}},
        {"format": "chat", "template_args": args},
    )
    plan(tmp_path, {s: {"format": "agentlite"} for s in ("select", "train", "explore", "evaluate")})


def test_a_module_beside_the_notebooks_is_found_as_a_stage_finds_it(tmp_path, monkeypatch):
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    monkeypatch.setattr("eefcore.runs.checks.stages.workspace", lambda: tmp_path / "work")
    (tmp_path / "work" / "notebooks").mkdir(parents=True)
    (tmp_path / "work" / "notebooks" / "own_order_of_tests.py").write_text("def order(success, state): ...")
    from eefcore.runs.checks import check_values

    check_values("select", {"choose": "own_order_of_tests:order"})
    with pytest.raises(ParamsError, match="has no function 'other'"):
        check_values("select", {"choose": "own_order_of_tests:other"})


# ---------------------------------------------------------------------------------- paths


def test_an_absolute_path_is_planned_and_no_record_names_this_machine(tmp_path, monkeypatch):
    monkeypatch.delenv("EEF_CACHE")
    nodes = plan(tmp_path, {"expert": {"file": str(tmp_path / "experts.jsonl")}})
    assert nodes[0].params["file"] == "${EEF_TEST_PLACE}/experts.jsonl"
    base = ROOT / "eefcore" / "policies" / "base"
    nodes = plan(tmp_path, {"train": {"base": str(base)}})
    train = next(node for node in nodes if node.label == "train.1")
    assert train.params["base"] == "eefcore/policies/base"


def test_files_and_data_are_seen_from_the_workspace_wherever_a_notebook_runs(tmp_path, monkeypatch):
    step = {"action": "search[mug]", "obs": "[Back to Search]"}
    record = {"idx": 0, "instruction": "a mug", "reward": 1.0, "bought": True}
    steps = [{"action": "reset", "obs": "Instruction:  \na mug \n[Search] "}, step]
    (tmp_path / "mine.jsonl").write_text(json.dumps({**record, "steps": steps}))
    monkeypatch.chdir(ROOT / "notebooks")
    file = os.path.relpath(tmp_path / "mine.jsonl", ROOT)
    assert plan(tmp_path, {"expert": {"file": file}})[0].params["file"] == file
    assert recorded_pages(file) == [steps[0]["obs"], step["obs"]]
    node, *_ = plan(tmp_path, {}, {**SHOP, "data": str(tmp_path / "shop"), "sizes": "0/6/6"})
    assert node.params["data"] == "${EEF_TEST_PLACE}/shop"


def test_a_path_is_written_from_the_workspace_or_the_nearest_variable(monkeypatch):
    for name in ("EEF_CACHE", "EEF_TEST_PLACE"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("MODELS", "/home/somebody/models")
    monkeypatch.setenv("PWD", "/home/somebody/models/llama")
    assert portable(str(ROOT / "params" / "x.jsonl")) == "params/x.jsonl"
    assert portable("/home/somebody/models/llama") == "${MODELS}/llama"
    assert portable("hf:/home/somebody/models") == "hf:${MODELS}"
    assert (
        portable("~/data/x.jsonl + results/y.jsonl + ~/z")
        == "${HOME}/data/x.jsonl + results/y.jsonl + ${HOME}/z"
    )
    outside = portable("/no/variable/has/this")
    assert outside.startswith("../") and (ROOT / outside).resolve() == Path("/no/variable/has/this")
    for text in (
        "",
        "tiny",
        "org/model",
        "${HOME}/x",
        "results/a/b",
        "openai:http://h:1/v1#/m",
        "a + b",
        "self",
    ):
        assert portable(text) == text
