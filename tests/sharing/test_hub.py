"""A model's card says what its run recorded, and a hub gets the model with the card, and nothing of this machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from helpers.episodes import CARD
from helpers.stage_folders import NOW
from helpers.stand_in_hub import hub
from typer.testing import CliRunner

from eefcore.cli import main
from eefcore.errors import HubError, PolicyError, StoreError
from eefcore.policies.loading import BASES
from eefcore.sharing.hub import push_model
from eefcore.sharing.model_card import model_card, write_model_card
from eefcore.storage import stages
from eefcore.storage.cost import Cost
from eefcore.tracking.identity import identity
from eefcore.training.models import add_adapter, load_model, save_model


def stage(label: str, notebook: str, inputs=None, *, params=None, metrics=None, cost=None) -> Path:
    """Write a finished stage of the run `lab`, as a stage writes it."""
    key = label.ljust(64, "0")
    folder = stages.stage_folder("lab", label, key)
    folder.mkdir(parents=True)
    record = stages.StageRecord(
        label=label, notebook=notebook, params=params or {}, inputs={k: v.ljust(64, "0") for k, v in (inputs or {}).items()},
        identity=key, card=CARD, cost=cost or Cost(), metrics=metrics or {}, packages={"eefcore": "0.1"}, seconds=1.0,
        attempts=1, started=NOW, finished=NOW,
    )  # fmt: skip
    stages.write_record(folder, record)
    return folder


def evaluation(rate: float, n: int, **more) -> dict:
    return {
        "eval/win_rate": rate, "eval/win_rate_low": rate - 0.1, "eval/win_rate_high": rate + 0.1, "eval/reward": 0.75,
        "eval/n": n, "eval/n_unjudged": 0, "nav/next_success": 0.25, "nav/next_attempt": 0.5, **more,
    }  # fmt: skip


@pytest.fixture
def lab(tmp_path, monkeypatch) -> dict[str, Path]:
    """Two models of the run `lab`, of which the second is chosen, in a workspace with its params file."""
    for folder in ("notebooks", "params/suites"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "params" / "mine.yaml").write_text("run: lab\nmethods: {EEF: {iterations: 2}}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EEF_RESULTS", raising=False)
    stage("expert", "02_expert", params={"expert": "strong", "file": None}, cost=Cost(money=1.5))
    stage("select.1", "03_select", {"experts": "expert"})
    first = stage(
        "train.1",
        "04_train",
        {"examples": "select.1"},
        params={"base": "tiny"},
        cost=Cost(tokens_trained=900),
    )
    second = stage(
        "train.2", "04_train", {"examples": "select.1", "model": "train.1"}, params={"base": "tiny", "learning_rate": 4e-4},
        cost=Cost(tokens_trained=1100, seconds=61),
    )  # fmt: skip
    for model in (first, second):
        shutil.copytree(BASES["tiny"], model / "model")
    for i, rate in ((1, 0.25), (2, 0.5)):
        stage(
            f"dev.{i}",
            "06_evaluate",
            {"model": f"train.{i}"},
            params={"split": "dev"},
            metrics=evaluation(rate, 20),
        )
    chosen = {"model1": "train.1", "dev1": "dev.1", "model2": "train.2", "dev2": "dev.2"}
    stage(
        "test",
        "06_evaluate",
        chosen,
        params={"split": "test"},
        metrics=evaluation(0.4, 40, **{"eval/n_unjudged": 2}),
    )
    searched = {"split": "test", "how": "mcts", "signal": "critic", "simulations": 3}
    stage("decide", "13_decide", chosen, params=searched, metrics=evaluation(0.6, 40))
    stage(
        "report", "07_report", {f"EEF/{name}": label for name, label in (*chosen.items(), ("test", "test"))}
    )
    return {"first": first / "model", "second": second / "model"}


def test_the_card_of_the_chosen_model_has_its_numbers_cost_and_command(lab):
    card = model_card(lab["second"])
    _, heading, text = card.split("---\n", 2)
    assert yaml.safe_load(heading) == {
        "library_name": "transformers", "pipeline_tag": "text-generation", "tags": ["eefcore", "agent"],
    }  # fmt: skip
    assert "trained from `tiny` by eefcore, method EEF." in text
    rows = [line for line in text.splitlines() if line.startswith(("| dev", "| test"))]
    assert rows == [
        f"| dev | plain | 20 | 50.0 % (40.0 – 60.0) | 0.75 | next 25.0 % / 50.0 % | {CARD.key} |",
        "| test | mcts, 3 simulations; the search saw the critic | 40 | 60.0 % (50.0 – 70.0) | 0.75 | next 25.0 % / 50.0 % | "
        f"{CARD.key} |",
        f"| test | plain | 40 (2 not judged) | 40.0 % (30.0 – 50.0) | 0.75 | next 25.0 % / 50.0 % | {CARD.key} |",
    ]
    assert "Expert: `strong`." in text
    assert "| of this training | 0 | 0 | 0 | 0 | 1.1 k | 1 min 1 s | 0.00 |" in text
    assert "| of it and the 3 stages before | 0 | 0 | 0 | 0 | 2 k | 1 min 1 s | 1.50 |" in text
    assert "eef run params/mine.yaml" in text and "learning_rate: 0.0004" in text
    assert all(f"| {name} | {value} |" in text for name, value in CARD.facts.items())
    assert str(Path.cwd()) not in card


def test_a_model_that_was_not_chosen_has_no_test_result(lab):
    rows = [line for line in model_card(lab["first"]).splitlines() if line.startswith(("| dev", "| test"))]
    assert [row.split(" | ")[0] for row in rows] == ["| dev"]


def test_a_folder_of_no_stage_has_no_card(lab, tmp_path):
    with pytest.raises(StoreError, match=r"expected the model of a finished stage, .*eef show RUN"):
        model_card(BASES["tiny"])


def test_a_card_is_written_beside_the_model_and_changes_nothing_that_starts_from_it(lab):
    params = {"base": lab["second"].relative_to(Path.cwd()).as_posix()}
    before = identity("04_train", params, {})
    said = CliRunner().invoke(main.app, ["model", "card", str(lab["second"])])
    assert said.exit_code == 0 and (lab["second"] / "README.md").read_text("utf-8") == model_card(
        lab["second"]
    )
    assert identity("04_train", params, {}) == before
    (lab["second"] / "config.json").write_text("{}")
    assert identity("04_train", params, {}) != before


def test_a_hub_gets_the_model_with_its_card(lab, monkeypatch, tmp_path):
    (lab["second"] / "notes.bin").write_bytes(b"mine")
    with hub(monkeypatch) as server:
        said = CliRunner().invoke(main.app, ["push", str(lab["second"]), "me/shopper"])
        assert said.exit_code == 0, said.exception
        assert said.output.startswith(f"{server.url}/me/shopper/commit/")
        files = server.repositories["me/shopper"]
        assert server.private == {"me/shopper": True}
        push_model(lab["second"], "me/shopper", private=False)  # once more: it is there already
    assert sorted(files) == sorted([*(p.name for p in BASES["tiny"].iterdir()), "README.md"])
    assert files["README.md"].decode() == model_card(lab["second"])
    assert not [name for name, content in files.items() if str(tmp_path).encode() in content]
    for name, content in files.items():
        (tmp_path / "back" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "back" / name).write_bytes(content)
    assert same_answers(load_model(tmp_path / "back").model, load_model(BASES["tiny"]).model)


def test_a_card_that_was_written_by_hand_is_kept(lab, monkeypatch):
    write_model_card(lab["second"]).write_text("# Mine\n")
    with hub(monkeypatch) as server:
        push_model(lab["second"], "shopper")
        assert server.repositories["me/shopper"]["README.md"] == b"# Mine\n"


def same_answers(one, other) -> bool:
    ids = torch.arange(20)[None]
    with torch.no_grad():
        return torch.allclose(one(ids).logits, other(ids).logits, atol=1e-5)


def test_an_adapter_on_a_model_of_this_machine_is_pushed_merged_alone(lab, monkeypatch, tmp_path):
    folder = lab["first"]
    model, tokenizer = load_model(BASES["tiny"], trainable=True)
    model = add_adapter(model, r=4, alpha=8, seed=0)
    with torch.no_grad():
        [p.add_(0.01) for name, p in model.named_parameters() if "lora_" in name]
    shutil.rmtree(folder)
    save_model(model, tokenizer, folder)
    with hub(monkeypatch) as server:
        with pytest.raises(PolicyError, match=r"an adapter on a model of the hub, .* push it with --merge"):
            push_model(folder, "me/adapter")
        assert server.repositories == {}
        push_model(folder, "me/whole", merge=True)
        files = server.repositories["me/whole"]
    assert "adapter_config.json" not in files and b"library_name: transformers" in files["README.md"]
    for name, content in files.items():
        (tmp_path / "back").mkdir(exist_ok=True)
        (tmp_path / "back" / name).write_bytes(content)
    merged, given = load_model(tmp_path / "back").model, load_model(folder).model
    assert same_answers(merged, given) and not same_answers(merged, load_model(BASES["tiny"]).model)


def test_an_adapter_on_a_model_of_the_hub_names_it(lab, monkeypatch):
    folder = lab["first"]
    shutil.rmtree(folder)
    save_model(
        add_adapter(load_model(BASES["tiny"]).model, r=4, alpha=8, seed=0),
        load_model(BASES["tiny"]).tokenizer,
        folder,
    )
    settings = json.loads((folder / "adapter_config.json").read_text()) | {
        "base_model_name_or_path": "them/base"
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    with hub(monkeypatch) as server:
        push_model(folder, "me/adapter")
        files = server.repositories["me/adapter"]
    assert {"adapter_config.json", "adapter_model.safetensors"} <= files.keys()
    heading = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert heading["base_model"] == "them/base" and heading["library_name"] == "peft"


def test_without_a_token_or_a_network_nothing_is_sent(lab, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with hub(monkeypatch) as server:
        monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
        with pytest.raises(
            HubError, match=r"expected a token .* found none; set HF_TOKEN, or run `hf auth login`"
        ):
            push_model(lab["second"], "me/shopper")
        monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_reads")
        with pytest.raises(
            HubError, match=rf"{server.url} can't take it: .*401.* the token may write there"
        ) as told:
            push_model(lab["second"], "me/shopper")
        assert "hf_reads" not in str(told.value)
        assert server.repositories == {}
        gone = server.url
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", gone)
    with pytest.raises(HubError, match=rf"{gone} can't take it: .* and the network"):
        push_model(lab["second"], "me/shopper")
