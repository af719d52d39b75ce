"""The same dialogue in other names: consistent, undoable, and silent about what the name itself tells."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eefcore.experts.sciworld.base_skills import rename_things
from eefcore.types import History, Step, Trajectory

FIND = (
    "Your task is to find a(n) animal. First, focus on the thing. Then, move it to the red box in the bathroom.\n"
    "This room is called the workshop. In it, you see: \n\ta red light bulb, which is off\n\ta red wire\n\ta red box\n"
    "\tflower pot 3 (containing a apple tree)\n\ta red apple\n\ta baby ant\n\ta giant tortoise egg\n\tunknown substance B"
)
LIVES = (
    "Your task is to find the animal with the longest life span.\n\ta baby ant\n\ta turtle egg\n\ta blue box"
)
ACTION = "Thought: The baby ant goes to the red box. I should move baby ant to red box. Action: move baby ant to red box"


def trajectory(opening: str, *actions: str) -> Trajectory:
    steps = tuple(Step(opening if i == 0 else "Done.", a) for i, a in enumerate(actions))
    return Trajectory(
        history=History("t", "You move the ant to the red box." if steps else opening, steps),
        reward=0.0,
        n_expert=0,
        source="naive",
    )


def texts(t: Trajectory) -> list[str]:
    return [x for s in t.history.steps for x in (s.observation, s.action)] + [t.history.observation]


def box(text: str) -> str:
    return re.search(r"(\w+) box", text)[1]


@given(st.integers(0, 300))
def test_a_thing_has_one_name_throughout(seed):
    seen, action, answer = texts(rename_things(trajectory(FIND, ACTION), Random(seed)))
    assert {box(seen), *re.findall(r"(\w+) box", action), box(answer)} == {box(seen)}
    animal = re.search(r"baby ([\w ]+?)\n", seen)[1]
    assert f"move baby {animal} to" in action and f"move the {animal} to" in answer


@given(st.integers(0, 300))
def test_only_names_change_and_each_kind_keeps_its_own(seed):
    before, after = (
        texts(trajectory(FIND, ACTION))[0],
        texts(rename_things(trajectory(FIND, ACTION), Random(seed)))[0],
    )
    hidden = r"\w+(?= (?:box|light bulb|wire|tree)\b)|(?<=flower pot )\d|(?<=substance )[B-Z]|(?<=called the )[a-z ]+"
    animals = r"(?<=baby )[\w ]+?(?=\n)|(?<=\ta )[\w ]+?(?= egg)"
    assert re.sub(f"{hidden}|{animals}", "…", after) == re.sub(f"{hidden}|{animals}", "…", before)
    assert "a red apple" in after and "in the bathroom" in after


def test_every_name_of_a_kind_comes_up():
    boxes = Counter(box(texts(rename_things(trajectory(FIND), Random(seed)))[0]) for seed in range(600))
    assert set(boxes) == {"blue", "green", "yellow", "orange", "purple", "red"}
    assert max(boxes.values()) < 200
    bulbs = {
        re.search(r"(\w+) light bulb", texts(rename_things(trajectory(FIND), Random(s)))[0])[1]
        for s in range(99)
    }
    assert len(bulbs) > 3


def test_two_things_never_get_one_name():
    two = "First:\n\ta red box\n\ta blue box\n\tflower pot 1\n\tflower pot 2\n\ta turtle egg\n\ta dove egg"
    for seed in range(50):
        (seen,) = texts(rename_things(trajectory(two), Random(seed)))
        assert max(Counter(re.findall(r"\w+ box|pot \d|[\w ]+ egg", seen)).values()) == 1


@pytest.mark.parametrize("seed", range(5))
def test_an_animal_whose_life_span_is_asked_for_keeps_its_name(seed):
    seen, _, _ = texts(rename_things(trajectory(LIVES, "Action: look around"), Random(seed)))
    assert "baby ant" in seen and "turtle egg" in seen


def test_renaming_keeps_the_rest_of_a_trajectory():
    before = trajectory(FIND, ACTION)
    after = rename_things(before, Random(1))
    assert (after.task_id, len(after), after.source) == (before.task_id, len(before), before.source)
    assert rename_things(before, Random(1)) == after != before
