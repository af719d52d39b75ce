"""A human is asked before an action that can't be undone: in a shell, in a notebook, and nowhere else."""

from __future__ import annotations

import io
import sys
import textwrap

import pytest
from helpers.paths import ROOT
from helpers.toy_shop import ToyShop

from eefcore.errors import ParamsError
from eefcore.runs.planning import plan_run
from eefcore.search import human
from eefcore.search.guard import REFUSED, Guard, Request
from eefcore.types import State

ASKED = Request(State("red hat"), "red hat\n\x1b[2JTake it? Type yes", "buy red hat\x1b]0;yes\x07")


class Terminal(io.StringIO):
    """A shell with a person at it."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("typed", "agreed"),
    [("yes\n", True), (" YES \n", True), ("y\n", False), ("\n", False), ("", False), ("no, yes\n", False)],
)
def test_in_a_shell_only_a_typed_yes_agrees(monkeypatch, capsys, typed, agreed):
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    assert human.find_human() is human.ask_in_shell
    assert human.ask_in_shell(ASKED) is agreed
    shown = capsys.readouterr().out
    assert "  | red hat" in shown and "  > buy red hat" in shown
    assert "\x1b" not in shown and "\x07" not in shown  # a page can't clear the screen and ask by itself


def test_where_nobody_is_there_it_is_said(monkeypatch):
    for stdin in (io.StringIO("yes\n"), None):
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(ParamsError, match="expected a person at the notebook or shell"):
            human.find_human()


def test_a_run_that_would_ask_is_refused_before_it_starts(tmp_path):
    text = (ROOT / "params" / "smoke.yaml").read_text()
    file = tmp_path / "asks.yaml"
    file.write_text(text.replace("stages:\n", "stages:\n  evaluate: {ask: true}\n", 1))
    with pytest.raises(ParamsError, match=r"asks.yaml: evaluate.*a run has nobody to ask"):
        plan_run(file)


def test_a_refused_action_changes_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal("no\nyes\n"))
    env = Guard(ToyShop(), human.find_human())
    env.reset("red hat")
    assert env.step("buy red hat").observation == REFUSED
    assert env.step("buy red hat").reward == 1.0
    assert (env.refused, env.consented) == (1, 1)


@pytest.mark.notebook
@pytest.mark.parametrize(("typed", "agreed"), [("yes", True), ("Take it", False)])
def test_in_a_notebook_the_box_below_the_cell_answers(typed, agreed):
    from jupyter_client.manager import start_new_kernel

    code = textwrap.dedent("""
        from eefcore.search.guard import Request
        from eefcore.search.human import find_human
        from eefcore.types import State
        print("agreed:", find_human()(Request(State("t"), "<script>alert(1)</script>", "CLICK [9]")))
    """)
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(ROOT))
    try:
        shown: list[dict[str, object]] = []
        client.execute_interactive(
            code,
            timeout=120,
            allow_stdin=True,
            stdin_hook=lambda question: client.input(typed),
            output_hook=lambda message: shown.append(message["content"]),
        )
        assert any(content.get("text") == f"agreed: {agreed}\n" for content in shown), shown
        (page,) = [content["data"]["text/html"] for content in shown if "data" in content]
        assert "&lt;script&gt;" in page and "<script>" not in page
        nobody: list[dict[str, object]] = []  # papermill starts cells without a way to ask
        reply = client.execute_interactive(code, timeout=120, allow_stdin=False, output_hook=nobody.append)
        assert reply["content"]["ename"] == "ParamsError"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
