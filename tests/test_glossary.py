"""Every key that a stage logs has a row in results/README.md."""

import re
from itertools import groupby

import pytest
from helpers.glossary import GLOSSARY, rows, undocumented

from eefcore.storage import stages
from eefcore.storage.cost import Cost
from eefcore.tracking.stage import Stage


def test_every_row_is_well_formed():
    table = rows(GLOSSARY.read_text(encoding="utf-8"))
    assert len(table) > 30
    assert [r for r in table if not re.fullmatch(r"[a-z]+/[a-z][a-z0-9_]*", r.key)] == []
    assert [r for r in table if not r.what or not r.paper] == []


def test_every_key_is_there_once():
    keys = [row.key for row in rows(GLOSSARY.read_text(encoding="utf-8"))]
    assert sorted(keys) == sorted(set(keys))


def test_keys_of_a_kind_stand_together():
    kinds = [row.key.split("/")[0] for row in rows(GLOSSARY.read_text(encoding="utf-8"))]
    assert [kind for kind, _ in groupby(kinds)] == list(dict.fromkeys(kinds))


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", []),
        ("| key | what it is | where in the paper |\n|---|---|---|\n| a/b | c | d |\n", ["a/b"]),
        (
            "| key | what it is | where in the paper |\n|---|---|---|\n| a/b | \\|D\\| | d |\n\n| e/f | g | h |\n",
            ["a/b"],
        ),
    ],
)
def test_the_table_is_read_as_markdown_reads_it(text, keys):
    assert [row.key for row in rows(text)] == keys


def test_what_has_no_row_is_named():
    assert undocumented(["eval/win_rate", "eval/luck", "nav/next_success"]) == {"eval/luck"}


def test_what_every_stage_logs_has_a_row(tmp_path, monkeypatch):
    monkeypatch.setenv("EEF_RESULTS", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with Stage.open(run="r", label="expert", notebook="02_expert", params={}, inputs={}) as stage:
        stage.cost(Cost(episodes=1))
    logged = stages.read_record(stage.folder).metrics
    assert undocumented(logged) == set()
    assert {f"cost/{name}" for name in Cost.__struct_fields__} == set(logged)
