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
def examples(world):
    return registry.base_skill_examples(world, world.tasks("train"), n=N, seed=0)


def of(examples, name):
    found = [s.example for s in examples if s.name == name]
    assert found
    return found


def trained(example):
    return [simulator_command(a) for a in example.trajectory.actions[example.first :]]


def test_skills_come_in_their_shares(examples):
    assert len(examples) == N and sum(SHARES.values()) == pytest.approx(1)
    counts = Counter(s.name for s in examples)
    for name, share in SHARES.items():
        assert counts[name] / N == pytest.approx(share, abs=0.12)


def test_equal_seeds_show_equal_skills(world):
    tasks = world.tasks("train")
    one, same, other = (list(base_skill_examples(world, tasks, n=20, seed=seed)) for seed in (0, 0, 1))
    assert one == same != other


def test_every_skill_is_really_played_and_trains_something(world, examples):
    assert {s.example.trajectory.task_id for s in examples} == set(world.tasks("train"))
    for s in examples[::NAMINGS]:
        trajectory = s.example.trajectory
        assert replay(world.make(), trajectory) is trajectory
        assert trained(s.example) and trajectory.n_expert == s.example.first


def test_each_episode_is_shown_with_other_names_too(examples):
    for i in range(0, N, NAMINGS):
        played, *renamed = examples[i : i + NAMINGS]
        for s in renamed:
            assert (s.name, s.example.first) == (played.name, played.example.first)
            verbs = [
                [simulator_command(a).split()[0] for a in x.example.trajectory.actions] for x in (played, s)
            ]
            assert verbs[0] == verbs[1]
    assert len({s.example.trajectory.history for s in examples}) > N / 2


def test_no_trained_action_teaches_strategy(world, examples):
    """No navigation skill is used in what is trained, but where `stated` does what was announced.

    One that must be: after a focus that was nonsense, or asked for a number, the one that takes.
    """
    for s in examples:
        if s.name != "stated":
            used = navigation.skills_by_action(s.example.trajectory.history, world.skills)[s.example.first :]
            allowed = {"refused": {"Refocus"}, "asked": {"Refocus"}}.get(s.name, set())
            assert set().union(*used) <= allowed, (s.name, trained(s.example), used)
            assert not [t for t in trained(s.example) if t.startswith("open ") and not destination(t)]


def test_an_errand_follows_the_plan(world, examples):
    naive, walked = lab.make_scientist(world, "naive"), 0
    for s in examples[::NAMINGS]:
        commands = trained(s.example)
        if s.name == "errand" and destination(commands[0]):
            plan = naive.plan(s.example.trajectory.task_id).actions
            first = s.example.first
            assert tuple(commands) == plan[first : first + len(commands)]
            assert all(destination(t) for t in commands[:-1])
            walked += 1
    assert walked > 5


def test_a_door_skill_never_goes_back(examples):
    for example in of(examples, "door"):
        history = example.trajectory.history
        rooms = [read_scene(history.at(i)).room for i in range(len(history) + 1)]
        for before, command in zip(rooms[example.first :], trained(example), strict=False):
            if destination(command):
                assert (
                    destination(command) in HOUSE[before]
                    and destination(command) not in rooms[: rooms.index(before)]
                )


def test_a_way_skill_takes_the_shortest_route_to_the_named_room(examples):
    walked = 0
    for example in of(examples, "way"):
        history, first = example.trajectory.history, example.first
        thought = history.actions[first - 1] if first else ""
        if simulator_command(thought) != "look around":
            continue  # no room of this task could be come to by a way forward: shown as `room`
        goal = re.search(r", (?:in the )?([a-z ]+)\. I should", thought)[1]
        rooms = [read_scene(history.at(i)).room for i in range(first, len(history) + 1)]
        entered = [b for a, b in itertools.pairwise(rooms) if a != b]
        assert tuple(entered) == route(rooms[0], goal) and trained(example)[-1] == "look around"
        walked += 1
    assert walked > 5


def test_a_find_skill_says_what_the_room_lists(examples):
    counts = Counter()
    for example in of(examples, "find"):
        history = example.trajectory.history
        for i in range(example.first, len(history)):
            for verdict, thing in re.findall(r"There is (a|no) (.+?)\.", history.actions[i]):
                assert (thing in read_scene(history.at(i)).things) == (verdict == "a")
                counts[verdict] += 1
    assert counts["a"] == counts["no"] > 0


def test_a_stated_skill_does_what_was_announced(examples):
    for example in of(examples, "stated"):
        announced = re.search(r"I will (.+) next\.", example.trajectory.actions[example.first - 1])
        assert trained(example) == [announced[1]]


def test_a_question_is_answered_with_a_number(examples):
    questions = [e for e in of(examples, "asked") if read_scene(e.trajectory.history.at(e.first)).ambiguous]
    assert questions and all(trained(example) == ["0"] for example in questions)


def test_a_refused_skill_goes_on_after_nonsense(examples):
    for example in of(examples, "refused"):
        assert read_scene(example.trajectory.history.at(example.first)).refused


def test_phrases_make_dialogues_short(examples):
    texts = [*tiny.dialogue_texts(s.example.trajectory.history for s in examples)]
    short, long = (tiny.make_tokenizer(texts, vocabulary=2048, phrases=p) for p in (lab.PHRASES, ()))
    count = [sum(len(t.encode(text)) for text in texts) for t in (short, long)]
    assert count[0] < 0.5 * count[1]
    assert [short.decode(short.encode(text)) for text in texts] == texts
