"""Goals and splits are fixed by content; the official order and draws are kept."""

import json
import random
from itertools import islice

import msgspec
import pytest
from helpers.instructions import instructions, tellings
from helpers.official_draws import cumulated, generate_mturk_code, random_idx, resets
from helpers.webshop_stand_in import TOWEL, StandIn
from hypothesis import given
from hypothesis import strategies as st

from eefcore.envs.panels import PanelSizes
from eefcore.envs.webshop.goals import NO_CAP, Goal, human_goals, price_cap, shuffled, synthetic_goals
from eefcore.envs.webshop.splits import (
    check_splits,
    default_sizes,
    read_splits,
    split_by_content,
    splits_digest,
)
from eefcore.errors import DataError, LeakageError

HUMAN = {
    "B000000001": [
        {"instruction": "a soft towel.", "instruction_attributes": ["soft"], "instruction_options": ["red"]},
        {"instruction": "left out", "instruction_attributes": [], "instruction_options": []},
        {
            "instruction": "any towel",
            "instruction_attributes": ["cheap"],
            "instruction_options": [],
            "worker_id": "W",
        },
    ],
    "B000000006": [{"instruction": "a rack", "instruction_attributes": ["steel"], "instruction_options": []}],
    "NOTHERE": [{"instruction": "gone", "instruction_attributes": ["x"], "instruction_options": []}],
}
SYNTHETIC = {
    "B000000001": {
        "attributes": ["soft"],
        "instruction": "Find me towels",
        "instruction_attributes": ["soft", "cheap"],
    },
    "B00000000B": {"attributes": [], "instruction": "Find me tea", "instruction_attributes": ["soft"]},
    "B000000009": {"attributes": ["bright"]},
    "B000000003": {"attributes": [], "instruction": None, "instruction_attributes": None},
}


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "goals.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def by_text(goals):
    return {g.instruction.split(", and price")[0]: g for g in goals}


def test_human_goals_are_read_from_the_official_file(file):
    goals = by_text(human_goals(StandIn(), file(HUMAN)))
    assert set(goals) == {"a soft towel", "any towel", "a rack"}
    towel = goals["a soft towel"]
    assert (towel.asin, towel.name, towel.query) == ("B000000001", "Soft Bath Towel", "bath towels")
    assert (towel.attributes, towel.options, towel.option_names) == (("soft",), ("red",), ())
    assert towel.instruction == f"a soft towel, and price lower than {towel.price_upper:.2f} dollars"
    assert towel.compared_options == ("red",)


def test_a_price_near_the_end_of_the_range_has_no_cap(file):
    rack = by_text(human_goals(StandIn(), file(HUMAN)))["a rack"]
    assert (rack.instruction, rack.price_upper) == ("a rack", NO_CAP)


def test_synthetic_goals_are_one_per_combination_in_the_order_of_option_names(file):
    goals = synthetic_goals(StandIn(), file(SYNTHETIC))
    assert len(goals) == 2 * 3 + 1
    towels = [g for g in goals if g.asin == "B000000001"]
    assert {g.options for g in towels} == {
        (c, s) for c in ("red", "dark blue") for s in ("small", "large", "x-large")
    }
    assert {g.option_names for g in towels} == {("color", "size")}
    assert len({g.price_upper for g in towels}) == 1
    red = next(g for g in towels if g.options == ("red", "small"))
    assert red.instruction.startswith(
        "Find me towels with color: red, and size: small, and price lower than "
    )
    assert red.compared_options == (("color", "red"), ("size", "small"))
    (tea,) = [g for g in goals if g.asin == "B00000000B"]
    assert tea.instruction.startswith("Find me tea, and price lower than ")
    # 7 goals ask for soft, 6 for cheap
    assert red.weight == pytest.approx((1 / 7 + 1 / 6) / 2) and tea.weight == pytest.approx(1 / 7)


def test_goals_do_not_depend_on_which_others_there_are_nor_on_global_chance(file):
    random.seed(1)
    all_of_them = {g.id for g in human_goals(StandIn(), file(HUMAN))}
    random.seed(2)
    some = {g.id for g in human_goals(StandIn(), file({"B000000001": HUMAN["B000000001"][2:]}))}
    assert len(some) == 1 and some < all_of_them


def test_the_seed_moves_caps_and_ids(file):
    path = file(HUMAN)
    caps = {by_text(human_goals(StandIn(), path, seed=s))["any towel"].price_upper for s in range(20)}
    assert caps == {30.0, 40.0, 50.0}


@given(st.floats(0, 2000), st.text(max_size=10))
def test_a_cap_is_above_the_price_and_never_the_nearest(price, key):
    cap, clause = price_cap(price, key)
    assert (cap, clause) == price_cap(price, key)
    if cap == NO_CAP:
        assert price >= 980 and clause == ""
    else:
        assert price < cap - 10 <= price + 40 and clause == f", and price lower than {cap:.2f} dollars"


def test_an_id_is_the_content_and_not_the_weight():
    assert TOWEL.id == msgspec.structs.replace(TOWEL, weight=0.5).id
    assert (
        len({TOWEL.id, *(msgspec.structs.replace(TOWEL, **{f: v}).id for f, v in CHANGES.items())})
        == len(CHANGES) + 1
    )


CHANGES = {"asin": "X", "instruction": "x", "attributes": ("x",), "options": ("x",), "price_upper": 30.0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"B000000001": [{"instruction": "x"', "truncated"),
        ("[]", "Expected `object`"),
        ({"B000000001": [{"instruction": "x"}]}, "missing required field `instruction_attributes`"),
        ({"B000000001": [{"instruction": 1}]}, "Expected `str`"),
    ],
)
def test_a_file_that_is_not_what_it_should_be(file, content, message):
    with pytest.raises(DataError, match=f"(?s)goals.json.*{message}"):
        human_goals(StandIn(), file(content))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="no goals file"):
        synthetic_goals(StandIn(), tmp_path / "nothing.json")


def test_an_instruction_without_attributes_is_an_error(file):
    torn = {"B000000001": {"instruction": "Find me towels", "instruction_attributes": []}}
    with pytest.raises(DataError, match=r"B000000001.*without attributes"):
        synthetic_goals(StandIn(), file(torn))


# The official order and draws


def test_the_official_order_is_pythons_shuffle_with_seed_233():
    goals = [some_goal(i) for i in range(20)]
    rng = random.Random(233)
    expected = list(range(20))
    rng.shuffle(expected)
    assert [int(g.asin) for g in shuffled(goals)] == expected
    assert [int(g.asin) for g in goals] == list(range(20))


def test_index_0_is_never_drawn():
    rng = random.Random(0)
    weights = cumulated([1.0, 1.0, 1.0])
    assert weights == [0, 1, 2, 3]
    assert {random_idx(weights, rng) for _ in range(200)} == {1, 2}


def test_resets_go_on_and_are_the_same_every_time():
    goals = [some_goal(i) for i in range(20)]
    first = list(islice(resets(goals), 5))
    assert first == list(islice(resets(goals), 5))
    assert all(len(r.session) == 10 and 0 < r.goal_index < 20 for r in first)


def test_the_mturk_code_is_the_official_one():
    assert generate_mturk_code("abc") == "A9993E3647"


# Splits


def some_goal(i: int, text: str | None = None, asin: str | None = None) -> Goal:
    return msgspec.structs.replace(TOWEL, asin=asin or str(i), instruction=text or f"goal {i}")


def by_id(goals):
    return {g.id: g for g in goals}


GOALS = by_id(some_goal(i) for i in range(50))


def test_splits_have_their_sizes_and_hold_every_goal_once():
    splits = split_by_content(GOALS, PanelSizes(test=10, dev=5), seed=1)
    assert {name: len(ids) for name, ids in splits.items()} == {"test": 10, "dev": 5, "train": 35}
    assert sorted(i for ids in splits.values() for i in ids) == sorted(GOALS)
    check_splits(splits, GOALS)


def test_splits_depend_on_the_seed_and_not_on_the_order():
    backwards = dict(reversed(GOALS.items()))
    assert split_by_content(GOALS, PanelSizes(test=10, dev=5), seed=1) == split_by_content(
        backwards, PanelSizes(test=10, dev=5), seed=1
    )
    assert split_by_content(GOALS, PanelSizes(test=10, dev=5), seed=1) != split_by_content(
        GOALS, PanelSizes(test=10, dev=5), seed=2
    )


def test_goals_that_differ_in_their_price_alone_stay_together():
    texts = [f"towel {i // 2}, and price lower than {10 * (i % 2) + 20}.00 dollars" for i in range(40)]
    goals = by_id(some_goal(i, text) for i, text in enumerate(texts))
    splits = split_by_content(goals, PanelSizes(test=10, dev=6), seed=0)
    where = {goals[i].instruction.split(",")[0]: set() for i in goals}
    for name, ids in splits.items():
        for i in ids:
            where[goals[i].instruction.split(",")[0]].add(name)
    assert all(len(names) == 1 for names in where.values())
    assert len(splits["test"]) == 10


@given(st.lists(instructions(), min_size=2, max_size=8), st.data())
def test_one_thing_asked_for_in_two_ways_is_in_one_split(wishes, data):
    goals = by_id(some_goal(i, data.draw(tellings(wishes[i // 2]))) for i in range(2 * len(wishes)))
    splits = split_by_content(goals, PanelSizes(test=len(wishes) // 2, dev=len(wishes) // 3), seed=0)
    check_splits(splits, goals)
    split_of = {goals[i].asin: name for name, ids in splits.items() for i in ids}
    assert all(split_of[str(i)] == split_of[str(i + 1)] for i in range(0, 2 * len(wishes), 2))


def test_products_can_be_held_out():
    goals = by_id(some_goal(i, asin=str(i % 10)) for i in range(50))

    def products(splits, name):
        return {goals[i].asin for i in splits[name]}

    mixed = split_by_content(goals, PanelSizes(test=10, dev=5), seed=0)
    assert products(mixed, "test") & products(mixed, "train")
    apart = split_by_content(goals, PanelSizes(test=10, dev=4), seed=0, hold_out_products=True)
    assert not products(apart, "test") & (products(apart, "train") | products(apart, "dev"))
    assert {name: len(products(apart, name)) for name in apart} == {"test": 5, "dev": 2, "train": 3}
    assert {name: len(ids) for name, ids in apart.items()} == {"test": 10, "dev": 4, "train": 15}


def test_groups_chained_by_text_and_product_stay_together():
    goals = by_id(
        [some_goal(0, "a", "P"), some_goal(1, "b", "P"), some_goal(2, "b", "Q"), some_goal(3, "c", "R")]
    )
    splits = split_by_content(goals, PanelSizes(test=2, dev=0), seed=0, hold_out_products=True)
    tested = {goals[i].asin for i in splits["test"]}
    assert tested <= {"P", "Q"} and {goals[i].asin for i in splits["train"]} == {"R"}


def test_too_many_goals_asked_for():
    with pytest.raises(DataError, match="40 test and 20 dev goals out of 50"):
        split_by_content(GOALS, PanelSizes(test=40, dev=20), seed=0)


@pytest.mark.parametrize(
    ("n", "sizes"), [(12087, (0, 100, 250)), (13, (0, 1, 3)), (400, (0, 50, 100)), (0, (0, 0, 0))]
)
def test_default_sizes(n, sizes):
    assert default_sizes(n) == sizes


def test_splits_from_a_file(file):
    ids = list(GOALS)
    path = file({"train": ids[:3], "dev": ids[3:4], "test": ids[4:6]})
    splits = read_splits(path, GOALS)
    assert splits == {"train": (*ids[:3],), "dev": (ids[3],), "test": (*ids[4:6],)}
    assert splits_digest(splits) != splits_digest({**splits, "dev": ()})


IDS = list(GOALS)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ({"train": IDS[:2], "dev": [], "test": IDS[1:3]}, LeakageError, f"{IDS[1]} is in train and in test"),
        ({"train": [IDS[0], IDS[0]], "dev": [], "test": []}, LeakageError, "list it once"),
        (
            {"train": ["nobody"], "dev": [], "test": []},
            DataError,
            "1 of 1 train ids belong to no goal here, 'nobody'",
        ),
        ({"train": [], "test": []}, DataError, "has train, test, expected train, dev, test"),
        ("{", DataError, "truncated"),
    ],
)
def test_a_splits_file_that_can_not_be_used(file, content, error, message):
    with pytest.raises(error, match=message):
        read_splits(file(content), GOALS)


def test_the_same_text_in_two_splits_leaks():
    goals = by_id([some_goal(0, "same"), some_goal(1, "same")])
    one, other = goals
    with pytest.raises(LeakageError, match="'same' is in train and in test"):
        check_splits({"train": (one,), "dev": (), "test": (other,)}, goals)
    check_splits({"train": (one, other), "dev": (), "test": ()}, goals)
