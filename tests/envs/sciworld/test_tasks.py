"""ScienceWorld's tasks, their AgentGym numbers, and their splits. No simulator is started."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from helpers.paths import SCIWORLD_DATA

from eefcore import envs
from eefcore.envs.panels import ALL_TASKS, SPLITS, PanelSizes
from eefcore.envs.sciworld import jvm, tasks
from eefcore.envs.sciworld.benchmark import KINDS, SciWorldBenchmark
from eefcore.envs.sciworld.tasks import AGENTGYM, MINI, SCIWORLD, VARIATIONS, Task
from eefcore.errors import DataError, ParamsError, SimulatorError, UnknownTask

SHARED = SCIWORLD_DATA
NUMBERED = Path(os.environ.get("EEF_SCIWORLD_DATA", SHARED)) / "agentgym_data_idx.json"


def splits_of(kinds, sizes=ALL_TASKS, seed=0):
    return tasks.split_tasks(kinds, sizes, version="1", seed=seed)


def test_there_are_thirty_kinds_with_7207_variations_split_as_the_simulator_splits():
    assert len(VARIATIONS) == 30 and sum(VARIATIONS.values()) == 7207
    assert Counter(t.split for t in tasks.all_variations(VARIATIONS)) == {
        "train": 3592,
        "dev": 1796,
        "test": 1819,
    }


@pytest.mark.parametrize(
    "kind, counts",
    {
        "boil": (14, 7, 9),
        "use-thermometer": (270, 135, 135),
        "power-component": (10, 5, 5),
        "lifespan-longest-lived": (62, 31, 32),
        "identify-life-stages-1": (6, 3, 5),
        "identify-life-stages-2": (4, 2, 4),
        "inclined-plane-friction-named-surfaces": (692, 346, 348),
    }.items(),
)
def test_a_kind_is_split_in_the_order_of_its_variations(kind, counts):
    assert [Task(kind, v).split for v in range(VARIATIONS[kind])] == [
        split for split, n in zip(SPLITS, counts, strict=True) for _ in range(n)
    ]


def test_agentgym_numbers_its_tasks_in_the_order_of_the_simulator():
    assert len(AGENTGYM) == 23 and len(SCIWORLD) == 22
    assert tasks.agentgym_task(0) == Task("boil", 0)
    assert tasks.agentgym_task(606) == Task("use-thermometer", 486)
    assert tasks.agentgym_task(606).split == "test"
    assert tasks.agentgym_task(4638) == Task("identify-life-stages-2", 9)
    for number in (-1, 4639):
        with pytest.raises(UnknownTask, match=f"0 to 4638; got {number}"):
            tasks.agentgym_task(number)


def test_agentgym_numbers_are_those_of_its_code():
    if not NUMBERED.exists():
        pytest.skip("EEF_SCIWORLD_DATA names no folder with agentgym_data_idx.json")
    numbered = json.loads(NUMBERED.read_text())
    ours = [tasks.agentgym_task(number) for number in range(len(numbered))]
    assert [[t.kind, t.variation, t.split] for t in ours] == numbered


@pytest.mark.parametrize("kinds", [MINI, SCIWORLD])
def test_splits_are_never_mixed(kinds):
    by_id = {tasks.task_id(t, "1"): t for t in tasks.all_variations(kinds)}
    assert len(by_id) == sum(VARIATIONS[kind] for kind in kinds)
    for seed in range(3):
        every = splits_of(kinds, seed=seed)
        assert set().union(*map(set, every.values())) == set(by_id)
        for split in SPLITS:
            assert {by_id[i].split for i in every[split]} == {split}
            few = splits_of(kinds, PanelSizes(40, 30, 20), seed)[split]
            assert few == every[split][: len(few)] and len(set(few)) == len(few)


def test_a_small_panel_has_all_kinds_in_turn():
    by_id = {tasks.task_id(t, "1"): t for t in tasks.all_variations(MINI)}
    panel = [by_id[i].kind for i in splits_of(MINI, PanelSizes(test=36))["test"]]
    assert panel == [*MINI] * 3
    assert len(MINI) >= 8


def test_another_seed_draws_other_tasks_and_the_same_seed_the_same():
    one, again, other = (splits_of(MINI, PanelSizes(100, 50, 50), seed) for seed in (0, 0, 1))
    assert one == again
    assert all(set(one[split]) != set(other[split]) for split in SPLITS)


def test_asking_for_more_tasks_than_a_split_has_is_refused():
    with pytest.raises(
        DataError, match="11 train tasks are asked for; the simulator's train split holds 10 of these"
    ):
        splits_of(["power-component"], PanelSizes(train=11))


def test_a_task_id_depends_on_kind_variation_and_version():
    ids = {tasks.task_id(Task(k, v), s) for k in ("boil", "melt") for v in (0, 1) for s in ("1", "2")}
    assert len(ids) == 8 and {len(i) for i in ids} == {12}


@pytest.fixture
def installed(monkeypatch):
    """As if Java were there: nothing here starts it."""
    monkeypatch.setattr(jvm, "missing_dependency", lambda: "")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", KINDS)
def test_a_benchmark_is_loaded_by_name(name):
    world = envs.load(name, sizes="60/20/40")
    assert [len(world.tasks(split)) for split in SPLITS] == [60, 20, 40]
    assert world.max_turns == envs.ENTRIES[name].max_turns
    assert {world.goal(i).kind for i in world.tasks("train")} == set(KINDS[name])
    assert world.card == envs.load(name, sizes="60/20/40").card
    assert world.card.key != envs.load(name, sizes="60/20/40", seed=1).card.key


@pytest.mark.usefixtures("installed")
def test_a_size_of_zero_means_all_tasks_of_the_split():
    assert [len(envs.load("sciworld").tasks(s)) for s in SPLITS] == [2162, 1081, 1096]
    assert [len(envs.load("sciworld", sizes="0/5/0").tasks(s)) for s in SPLITS] == [2162, 5, 1096]


@pytest.mark.usefixtures("installed")
def test_a_task_is_found_by_what_it_is_and_by_its_id():
    world = envs.load("sciworld_mini", sizes="12/12/12")
    task = Task("find-plant", 7)
    assert world.goal(world.task_id_of(task)) == task
    with pytest.raises(UnknownTask, match="boil, variation 0, is none of this benchmark's"):
        world.task_id_of(Task("boil", 0))
    with pytest.raises(UnknownTask, match="no task 'nothing' among"):
        world.goal("nothing")
    with pytest.raises(ParamsError, match="split 'all'; choose one of train, dev, test"):
        world.tasks("all")


@pytest.mark.usefixtures("installed")
def test_kinds_and_caps_are_on_the_card():
    cards = [
        SciWorldBenchmark(kinds, max_turns=turns).card
        for kinds, turns in [(MINI, 40), (MINI, 30), (SCIWORLD, 40), (MINI[:8], 40)]
    ]
    assert len({card.key for card in cards}) == 4
    assert cards[0].facts["simplifications"] == "none" and "-XX:hashCode=2" in cards[0].facts["java"]


@pytest.mark.usefixtures("installed")
def test_a_benchmark_that_can_not_be_loaded_is_refused():
    with pytest.raises(ParamsError, match="sciworld is simulated and reads no data folder; got data 'there'"):
        envs.load("sciworld", data="there")
    with pytest.raises(ParamsError, match="sizes '4/2': expected three numbers"):
        envs.load("sciworld_mini", sizes="4/2")
    with pytest.raises(ParamsError, match="no kind of task 'bake'; choose of boil, melt"):
        SciWorldBenchmark(["bake"], max_turns=9)
    with pytest.raises(DataError, match="99 dev tasks are asked for; the simulator's dev split holds 5"):
        SciWorldBenchmark(["power-component"], sizes=PanelSizes(dev=99), max_turns=9)


def test_without_java_the_error_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(SimulatorError, match="no Java here; `apt-get install default-jre-headless`"):
        envs.load("sciworld_mini", sizes="4/2/2")


def test_without_the_package_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setattr(jvm, "PACKAGE", "scienceworld_of_tomorrow")
    with pytest.raises(SimulatorError, match="no scienceworld_of_tomorrow package here; `make setup`"):
        envs.load("sciworld_mini", sizes="4/2/2")
