"""What stages left out or could not read is said while the run is seen, and at its end."""

from __future__ import annotations

import re

from helpers.paths import ROOT
from helpers.workspaces import FINISH, KNOBS, OPEN, PLAY, WORK, write_notebook, write_params

from eefcore.runs import runner
from eefcore.runs.losses import LOSSES
from eefcore.runs.planning import plan_run


def test_every_loss_is_a_logged_number_with_a_row_in_the_glossary():
    glossary = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    logged = set(re.findall(r"^\| (\S+) \|", glossary, re.MULTILINE))
    assert LOSSES.keys() <= logged
    counts = {row for row in LOSSES if re.search(rf"^\| {row} \| number of", glossary, re.MULTILINE)}
    assert LOSSES.keys() - counts == {"search/unparseable"}  # a share


def test_what_stages_lost_is_on_the_board_and_in_the_last_lines(demo, capsys):
    for name, metrics in {
        "02_expert": {"search/unparseable": 0.985, "explore/unjudged": 0},
        "04_train": {"train/refused": 3, "train/rows": 0},
    }.items():
        log, parameters = f"stage.log({metrics})", f"{KNOBS[name]}{PLAY}"
        write_notebook(
            demo.parents[1], name, OPEN.format(name=name), WORK, log, FINISH, parameters=parameters
        )
    nodes = plan_run(write_params(demo.parents[1], "run: a\nmethods: {S: {iterations: 1}}"))
    runner.run(nodes, resume="it")
    lines = capsys.readouterr().out.splitlines()
    expert, train = (
        next(n.folder.name for n in nodes if n.notebook.stage == stage) for stage in ("expert", "train")
    )
    unread, left_out = "98 % of the critic's answers name no action", "3 examples left out"
    for stage, lost in ((expert, unread), (train, left_out)):
        (done,) = [line for line in lines if line.startswith(f"    done  {stage}")]
        assert done.endswith(f" · {lost}")
    train_line, critic_line = lines[-2:]
    assert train_line.startswith(f"train/refused: {left_out} (a/{train}); they are longer than `context`")
    assert critic_line.startswith(f"search/unparseable: {unread} (a/{expert}); ")
    runner.run(nodes, resume="it")  # nothing is new, and nothing is said again
    assert "left out" not in capsys.readouterr().out
