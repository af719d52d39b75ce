"""ReAct's interface shows what ReAct showed, and the real GPT-3 episodes say what that was."""

import json
import re

import pytest
from helpers.paths import WEBSHOP_DATA
from helpers.webshop_stand_in import TOWEL, StandIn, webshop

from eefcore.envs.webshop.interfaces.options import InterfaceOptions, recorded_options
from eefcore.envs.webshop.interfaces.react import INVALID, THOUGHT, ReAct
from eefcore.envs.webshop.nouns import LetterTagger
from eefcore.envs.webshop.shop import Shop

LOG = WEBSHOP_DATA / "react_gpt3_250.jsonl"


@pytest.fixture
def env():
    env = webshop(ReAct(Shop(StandIn(), LetterTagger())))
    env.reset(TOWEL.id)
    return env


def test_pages_are_unwrapped_and_begin_with_the_start_page(env):
    assert env.reset(TOWEL.id) == f"Webshop \nInstruction:  \n{TOWEL.instruction} \n[Search] "
    results = env.step("search[bath towel]").observation
    assert results.startswith("[Back to Search] \nPage 1 (Total results: ") and "WEB PAGE" not in results
    assert len(re.findall(r"\n\[[A-Z0-9]{10}\] ", results)) == 3
    item = env.step(f"click[{TOWEL.asin}]").observation
    assert item.startswith("[Back to Search] \n[< Prev] \n") and item.endswith("\n[Buy Now] ")
    assert env.step("click[large]").observation == "You have clicked large."
    end = env.step("click[Buy Now]")
    assert end.done and end.observation == f"Your score (min 0.0, max 1.0): {end.reward}"


@pytest.mark.parametrize(
    "before, action",
    [
        ([], "click[Buy Now]"),
        ([], "click[Back to Search]"),
        ([], "think"),
        ([], "buy the towel"),
        ([], "reset"),
        (["search[towel]"], "search[towel]"),
        (["search[towel]"], "click[Next >]"),
        (["search[towel]"], "click[< Prev]"),
        (["search[towel]"], "click[Buy Now]"),
        (["search[towel]"], "click[a towel]"),
        (["search[bath towel]", f"click[{TOWEL.asin}]"], "click[no such option]"),
    ],
)
def test_what_is_not_there_is_invalid_and_changes_nothing(env, before, action):
    for a in before:
        env.step(a)
    assert env.step(action) == (INVALID, 0.0, False)
    assert env.step("think[hm]").observation == THOUGHT
    if before:
        assert env.step("click[Back to Search]").observation == env.reset(TOWEL.id)


@pytest.mark.skipif(not LOG.is_file(), reason="the real GPT-3 log is not at hand")
def test_real_episodes_have_these_answers():
    """Every short answer of the log is one of ours, and its pages are recognised."""
    records = [json.loads(line) for line in LOG.read_text().splitlines()]
    steps = [s for r in records for s in r["steps"]]
    assert recorded_options(s["obs"] for s in steps) == InterfaceOptions("react")
    for s in steps:
        if s["action"].startswith("think["):
            assert s["obs"] == THOUGHT
        if s["action"] == "reset":
            assert re.fullmatch(r"Webshop \nInstruction:  \n.+ \n\[Search\] ", s["obs"])
        if s["action"] == "click[Next >]":
            assert s["obs"] == INVALID
        if s["obs"].startswith("[Back to Search] \nPage"):
            assert re.match(r"\[Back to Search\] \nPage 1 \(Total results: \d+\) \n\[Next >\] ", s["obs"])
            assert len(re.findall(r"\n\[[A-Z0-9]{10}\] ", s["obs"])) <= 3
        if "[Buy Now]" in s["obs"]:
            assert re.search(r"\n\[Description\] \n\[Features\] \n\[Reviews\] \n\[Buy Now\] $", s["obs"])
