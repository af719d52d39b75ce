"""Base skills of ScienceWorld teach a tiny base the words of the house, and no strategy."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import pytest

from eefcore import envs
from eefcore.envs.sciworld.env import simulator_command
from eefcore.evaluation import navigation
from eefcore.experts import registry
from eefcore.experts.sciworld import experts as lab
from eefcore.experts.sciworld.base_skills import NAMINGS, SHARES, base_skill_examples
from eefcore.experts.sciworld.scene import HOUSE, read_scene, route
from eefcore.experts.sciworld.thoughts import destination
from eefcore.policies import tiny
from eefcore.rollout.rollout import replay

pytestmark = [
    pytest.mark.java,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.xdist_group("jvm"),
    pytest.mark.usefixtures("simulators"),
]

N = 200 * NAMINGS


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EEF_CACHE", str(tmp_path_factory.mktemp("golds")))
        yield envs.load("sciworld_mini", sizes="6/1/1")


@pytest.fixture(scope="module")
def shown(world):
    return registry.base_skill_examples(world, world.tasks("train"), n=N, seed=0)


def of(shown, name):
    found = [s.example for s in shown if s.name == name]
    assert found
    return found


def trained(example):
    return [simulator_command(a) for a in example.trajectory.actions[example.first :]]


def test_skills_come_in_their_shares(shown):
    assert len(shown) == N and sum(SHARES.values()) == pytest.approx(1)
    told = Counter(s.name for s in shown)
    for name, share in SHARES.items():
        assert told[name] / N == pytest.approx(share, abs=0.12)


def test_equal_seeds_show_equal_skills(world):
    naive = lab.make_scientist(world, "naive")
    tasks = world.tasks("train")
    one, same, other = (list(base_skill_examples(world, naive, tasks, n=20, seed=seed)) for seed in (0, 0, 1))
    assert one == same != other


def test_every_skill_is_really_played_and_trains_something(world, shown):
    assert {s.example.trajectory.task_id for s in shown} == set(world.tasks("train"))
    for s in shown[::NAMINGS]:
        told = s.example.trajectory
        assert replay(world.make(), told) is told
        assert trained(s.example) and told.n_expert == s.example.first


def test_each_episode_is_shown_with_other_names_too(shown):
    for i in range(0, N, NAMINGS):
        played, *rename_things = shown[i : i + NAMINGS]
        for s in rename_things:
            assert (s.name, s.example.first) == (played.name, played.example.first)
            verbs = [
                [simulator_command(a).split()[0] for a in x.example.trajectory.actions] for x in (played, s)
            ]
            assert verbs[0] == verbs[1]
    assert len({s.example.trajectory.history for s in shown}) > N / 2


def test_no_trained_action_teaches_strategy(world, shown):
    """No navigation skill is used in what is trained, but where `stated` does what was announced.

    One that must be: after a focus that was nonsense, or asked for a number, the one that takes.
    """
    for s in shown:
        if s.name != "stated":
            used = navigation.skills_by_action(s.example.trajectory.history, world.skills)[s.example.first :]
            allowed = {"refused": {"Refocus"}, "asked": {"Refocus"}}.get(s.name, set())
            assert set().union(*used) <= allowed, (s.name, trained(s.example), used)
            assert not [t for t in trained(s.example) if t.startswith("open ") and not destination(t)]


def test_an_errand_walks_the_plan_s_way(world, shown):
    naive, walked = lab.make_scientist(world, "naive"), 0
    for s in shown[::NAMINGS]:
        told = trained(s.example)
        if s.name == "errand" and destination(told[0]):
            plan = naive.plan(s.example.trajectory.task_id).actions
            first = s.example.first
            assert tuple(told) == plan[first : first + len(told)]
            assert all(destination(t) for t in told[:-1])
            walked += 1
    assert walked > 5


def test_a_door_skill_never_goes_back(shown):
    for example in of(shown, "door"):
        history = example.trajectory.history
        rooms = [read_scene(history.at(i)).room for i in range(len(history) + 1)]
        for before, told in zip(rooms[example.first :], trained(example), strict=False):
            if destination(told):
                assert (
                    destination(told) in HOUSE[before]
                    and destination(told) not in rooms[: rooms.index(before)]
                )


def test_a_way_skill_takes_the_shortest_route_to_the_named_room(shown):
    walked = 0
    for example in of(shown, "way"):
        history, first = example.trajectory.history, example.first
        said = history.actions[first - 1] if first else ""
        if simulator_command(said) != "look around":
            continue  # no room of this task could be come to by a way forward: shown as `room`
        there = re.search(r", (?:in the )?([a-z ]+)\. I should", said)[1]
        rooms = [read_scene(history.at(i)).room for i in range(first, len(history) + 1)]
        entered = [b for a, b in itertools.pairwise(rooms) if a != b]
        assert tuple(entered) == route(rooms[0], there) and trained(example)[-1] == "look around"
        walked += 1
    assert walked > 5


def test_a_find_skill_says_what_the_room_lists(shown):
    said = Counter()
    for example in of(shown, "find"):
        history = example.trajectory.history
        for i in range(example.first, len(history)):
            for verdict, thing in re.findall(r"There is (a|no) (.+?)\.", history.actions[i]):
                assert (thing in read_scene(history.at(i)).things) == (verdict == "a")
                said[verdict] += 1
    assert said["a"] == said["no"] > 0


def test_a_stated_skill_does_what_was_announced(shown):
    for example in of(shown, "stated"):
        announced = re.search(r"I will (.+) next\.", example.trajectory.actions[example.first - 1])
        assert trained(example) == [announced[1]]


def test_a_question_is_answered_with_a_number(shown):
    asked = [e for e in of(shown, "asked") if read_scene(e.trajectory.history.at(e.first)).ambiguous]
    assert asked and all(trained(example) == ["0"] for example in asked)


def test_a_refused_skill_goes_on_after_nonsense(shown):
    for example in of(shown, "refused"):
        assert read_scene(example.trajectory.history.at(example.first)).refused


def test_phrases_make_dialogues_short(shown):
    texts = [*tiny.dialogue_texts(s.example.trajectory.history for s in shown)]
    short, long = (tiny.make_tokenizer(texts, vocabulary=2048, phrases=p) for p in (lab.PHRASES, ()))
    count = [sum(len(t.encode(text)) for text in texts) for t in (short, long)]
    assert count[0] < 0.5 * count[1]
    assert [short.decode(short.encode(text)) for text in texts] == texts
