"""A WebShop benchmark of a folder of official files: tasks, splits, a card and environments."""

import itertools
import json
import re

import pytest

from eefcore import envs
from eefcore.envs.panels import PanelSizes
from eefcore.envs.registry import card_name, split_name
from eefcore.envs.webshop import WebShopBenchmark
from eefcore.envs.webshop.interfaces.options import InterfaceOptions, read_interface, recorded_options
from eefcore.errors import DataError, LeakageError, ParamsError, UnknownTask
from eefcore.rollout.rollout import replay
from eefcore.types import History, State, Trajectory

WORDS = ("soft", "warm", "thick", "light", "plain")


def item(i):
    return {
        "asin": f"B{i:09}",
        "name": f"{WORDS[i % 5]} towel number {WORDS[i // 5]}",
        "full_description": "a towel",
        "pricing": f"${5 + i}.50",
        "images": ["x"],
        "product_category": "Home › Bath › Towels",
        "average_rating": "",
        "small_description": ["made of cotton"],
        "customization_options": {"Color": [{"value": "Red"}, {"value": "Blue"}]},
        "category": "garden",
        "query": "towels",
        "page": 1,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("shop")
    items = [item(i) for i in range(20)]
    ins = {
        p["asin"]: {
            "attributes": ["cotton"],
            "instruction": f"Find me {p['name']}",
            "instruction_attributes": ["cotton"],
        }
        for p in items
    }
    human = {
        p["asin"]: [
            {
                "instruction": f"i want {p['name']}",
                "instruction_attributes": ["cotton"],
                "instruction_options": ["red"],
            }
        ]
        for p in items
    }
    for name, content in (("items_shuffle_20", items), ("items_ins_v2_20", ins), ("items_human_ins", human)):
        (path / f"{name}.json").write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def load(folder, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")

    def loaded(**options):
        return WebShopBenchmark.load(folder, cache=cache, **options)

    return loaded


def test_tasks_are_hashes_in_splits_of_the_usual_sizes(load):
    bench = load()
    assert [len(bench.tasks(split)) for split in ("train", "dev", "test")] == [13, 2, 5]
    assert all(re.fullmatch(r"[0-9a-f]{12}", i) for i in bench.tasks("train"))
    assert load().splits == bench.splits
    assert bench.max_turns == 20 and set(bench.skills) == {"Next", "Back"}


def test_instructions_and_goals(load):
    bench = load()
    for task_id in bench.tasks("test"):
        assert bench.instruction(task_id) == bench.goal(task_id).instruction == bench.make().reset(task_id)
        assert bench.instruction(task_id).startswith("i want ")


def test_synthetic_goals_and_the_other_interfaces(load):
    bench = load(goals="synthetic", interface=InterfaceOptions("text_rich"), sizes=PanelSizes(test=10, dev=4))
    assert [len(bench.tasks(split)) for split in ("train", "dev", "test")] == [26, 4, 10]
    assert bench.max_turns == 100
    assert bench.make().reset(bench.tasks("dev")[0]).startswith("WebShop\nInstruction: \nFind me ")
    apart = load(goals="synthetic", sizes=PanelSizes(test=10, dev=4), hold_out_products=True)
    bought = [{apart.goal(i).asin for i in apart.tasks(split)} for split in ("train", "dev", "test")]
    assert not any(a & b for a, b in itertools.combinations(bought, 2))


def test_every_goal_can_be_won_by_buying_its_product(load):
    bench = load()
    env, task_id = bench.make(), bench.tasks("train")[0]
    goal = bench.goal(task_id)
    env.reset(task_id)
    for action in (f'search[{{"product": "{goal.name}"}}]', f'click[{{"button": "{goal.asin}"}}]'):
        env.step(action)
    env.step('click[{"button": "red"}]')
    assert env.step('click[{"button": "Buy Now"}]') == ("shopping is finished.", 1.0, True)


def test_environments_of_a_benchmark_share_their_snapshots(load):
    bench = load()
    env, task_id = bench.make(), bench.tasks("train")[0]
    env.reset(task_id)
    seen = env.step('search[{"product": "towel"}]').observation
    state = env.snapshot()
    asked = []
    bench.interface.act, act = (lambda *a: asked.append(a)), bench.interface.act
    assert bench.make().restore(state) == seen and not asked
    bench.interface.act = act


def test_a_recorded_trajectory_is_replayed(load):
    bench = load()
    env, task_id = bench.make(), bench.tasks("test")[0]
    history = History(task_id, env.reset(task_id))
    for action in ('search[{"product": "warm"}]', 'Finish[{"response": "no"}]'):
        history = history.then(action, env.step(action).observation)
    trajectory = Trajectory(history=history, reward=0.0)
    assert replay(bench.make(), trajectory) is trajectory


def test_the_card_tells_everything_a_number_depends_on(load):
    base = load().card
    assert base.name == "webshop" and base.key == load().card.key
    facts = base.facts
    assert facts["products"] == 20 and facts["goals"] == "human" and facts["n_goals"] == 20
    assert facts["tagger"] == "letters" and facts["interface"] == "agentlite" and facts["price_seed"] == 233
    others = [
        load(goals="synthetic"),
        load(interface=InterfaceOptions("text")),
        load(interface=InterfaceOptions("react")),
        load(interface=InterfaceOptions(arrows=False)),
        load(interface=InterfaceOptions(item_lines=False)),
        load(interface=InterfaceOptions(per_page=10)),
        load(seed=1),
        load(sizes=PanelSizes(test=1, dev=1)),
    ]
    assert len({base.key, *(bench.card.key for bench in others)}) == 9


def test_splits_file_of_the_folder_is_used_and_checked(load, folder):
    bench = load()
    ids = sorted(bench.goals)
    file = folder / "splits.json"
    try:
        file.write_text(json.dumps({"train": ids[:2], "dev": ids[2:3], "test": ids[3:4]}))
        assert load().tasks("train") == tuple(ids[:2])
        assert len(load(sizes=PanelSizes(test=3, dev=3)).tasks("test")) == 3
        file.write_text(json.dumps({"train": ids[:2], "dev": [], "test": ids[:1]}))
        with pytest.raises(LeakageError, match=ids[0]):
            load()
    finally:
        file.unlink()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"goals": "mine"}, ParamsError, "goals 'mine'; choose one of human, synthetic"),
        ({"tagger": "no_such_model"}, DataError, "no_such_model"),
        ({"sizes": PanelSizes(test=15, dev=15)}, DataError, "15 test and 15 dev goals out of 20"),
    ],
)
def test_data_that_can_not_be_loaded_is_refused(load, options, error, message):
    with pytest.raises(error, match=message):
        load(**options)


def test_a_splits_file_that_is_not_there(load, tmp_path):
    with pytest.raises(DataError, match="no splits file"):
        load(splits_file=tmp_path / "mine.json")


def test_repeated_goals_are_one_task(load, folder):
    other = folder / "items_human_ins_2.json"
    other.write_text("{}")
    try:
        with pytest.raises(
            DataError, match=r"exactly one items_human_ins\*\.json, got items_human_ins.json, items"
        ):
            load()
    finally:
        other.unlink()


@pytest.mark.parametrize(
    ("content", "message"), [("{}", "not one human goal is about its 20 products"), (None, "got none")]
)
def test_missing_goals_are_an_error(load, folder, content, message):
    file = folder / "items_human_ins.json"
    kept = file.read_text()
    file.unlink()
    if content is not None:
        file.write_text(content)
    try:
        with pytest.raises(DataError, match=message):
            load()
    finally:
        file.write_text(kept)


def test_errors_name_unknown_tasks_and_splits(load):
    bench = load()
    with pytest.raises(ParamsError, match="'valid'; choose one of"):
        bench.tasks("valid")
    for ask in (bench.instruction, bench.goal, bench.make().reset, lambda i: bench.make().restore(State(i))):
        with pytest.raises(UnknownTask, match="'nobody' among 20"):
            ask("nobody")


# Price caps that others drew --------------------------------------------------------------------------


@pytest.mark.parametrize("own", [0, 1, -1])
def test_a_task_is_played_under_the_cap_of_a_record(load, own):
    bench = load(sizes=PanelSizes(test=2, dev=2))
    task = bench.tasks("train")[own]
    goal = bench.goal(task)
    wish = goal.instruction.partition(", and price")[0]
    assert bench.variant(task, goal.instruction) == bench.variant(task, wish) == task
    recorded = f"Instruction: {wish}, and price lower than 7.50 dollars"
    other = bench.variant(task, recorded)
    assert other == f"{task}@7.5" and bench.original(other) == bench.original(task) == task
    assert bench.make().reset(other) == bench.instruction(other) == recorded.removeprefix("Instruction: ")
    assert bench.goal(other).price_upper == 7.5 and bench.goal(other).attributes == goal.attributes
    assert bench.variant(task, bench.instruction(other)) == other
    assert task in bench.goals and bench.goal(task) == goal


@pytest.mark.parametrize("cap", ["", "x", "-1", "1e3", "nan"])
def test_a_cap_that_is_no_price_is_an_unknown_task(load, cap):
    bench = load()
    with pytest.raises(UnknownTask, match="price cap in dollars"):
        bench.make().reset(f"{bench.tasks('train')[0]}@{cap}")


# Options of a benchmark's name ------------------------------------------------------------------------


def test_options_follow_the_benchmarks_name(folder):
    def card(name):
        return envs.load(name, data=str(folder), sizes="0/2/2").card

    assert card("webshop").facts["arrows"] is True and "per_page" not in card("webshop").facts
    shown = card("webshop?arrows=false&item_lines=0&per_page=10").facts
    assert (shown["arrows"], shown["item_lines"], shown["per_page"]) == (False, False, 10)
    assert card("webshop+composite?arrows=false").name == "webshop+composite"
    assert card("webshop+composite?arrows=false").facts["arrows"] is False
    names = (
        "webshop",
        "webshop?interface=react",
        "webshop+composite?per_page=5",
        "webshop?interface=agentlite",
    )
    assert [card(name).name for name in names] == [card_name(name) for name in names]
    assert [card_name(name) for name in names] == ["webshop", "webshop_react", "webshop+composite", "webshop"]
    assert envs.max_turns("webshop?interface=react", data=str(folder), sizes="0/2/2", seed=0) == 15


@pytest.mark.parametrize(
    "options, message",
    [
        ("interface=html", r"Invalid enum value 'html' - at `\$.interface`; a shop takes interface, arrows"),
        ("arrow=false", "unknown field `arrow`"),
        ("per_page=0", "Expected `int` >= 1"),
        ("arrows=maybe", "Expected `bool`"),
        ("arrows", "bad query field"),
        ("interface=text&per_page=10", "are switches of agentlite, got interface text"),
    ],
)
def test_options_that_do_not_fit_are_refused(folder, options, message):
    with pytest.raises(ParamsError, match=message):
        envs.load(f"webshop?{options}", data=str(folder), sizes="0/2/2")


@pytest.mark.parametrize(
    "options",
    [
        InterfaceOptions(),
        InterfaceOptions(arrows=False),
        InterfaceOptions(item_lines=False, per_page=10),
        InterfaceOptions(arrows=False, item_lines=False, per_page=5),
        InterfaceOptions("react"),
        InterfaceOptions("text"),
        InterfaceOptions("text_rich"),
    ],
)
def test_the_interface_is_found_from_its_pages(load, options):
    """And the name with its options gives it back."""
    bench = load(interface=options)
    goal = bench.goal(bench.tasks("train")[0])
    agentlite = options.interface == "agentlite"
    search = 'search[{"product": "towel"}]' if agentlite else "search[towel]"
    open_ = f'click[{{"button": "{goal.asin}"}}]' if agentlite else f"click[{goal.asin}]"
    env = bench.make()
    seen = [env.reset(goal.id), *(env.step(a).observation for a in (search, open_))]
    assert recorded_options(seen) == options
    assert recorded_options(seen[:1]) is None
    assert read_interface(split_name(f"webshop?{options.query}").options if options.query else {}) == options
