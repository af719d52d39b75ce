"""Generated shops: the official format, and tasks that need what their kind says, whatever the seed and the size."""

import hashlib
import json
from collections import Counter
from itertools import combinations, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eefcore.envs.panels import PanelSizes
from eefcore.envs.registry import ENTRIES
from eefcore.envs.webshop import WebShopBenchmark
from eefcore.envs.webshop.generate import FILES, SHARES, TWO_SKILLS, shares_of_kinds, write_catalogue
from eefcore.envs.webshop.words import (
    ATTRIBUTES,
    BACKGROUND_ATTRIBUTES,
    FILLERS,
    ID_WORDS,
    KINDS,
    OPTION_VALUES,
    asin,
)
from eefcore.errors import DataError
from eefcore.experts.demonstrate import demonstrate_tasks
from eefcore.experts.webshop import experts as shop
from eefcore.experts.webshop.shopper import Habits, fault_finder

PER_PAGE = 3
PAGE = {"direct": 1, "next": 2, "far": 3, "back": 1, "back_next": 2, "next_back": 2}
TRAP_PAGE = {"back": 1, "back_next": 1, "next_back": 2}
SEEDS = st.integers(0, 10**6)
few = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def made(tmp_path_factory):
    """A new shop, loaded; with as many products and tasks as it asks for."""

    def make(*, tasks=8, seed=0, products=None, shares=None):
        folder = tmp_path_factory.mktemp("made")
        write_catalogue(folder, products=products or 10 * tasks, tasks=tasks, seed=seed, shares=shares)
        return WebShopBenchmark.load(
            folder, cache=folder / "cache", sizes=PanelSizes(test=0, dev=0), seed=seed
        )

    return make


def found(benchmark, task):
    """What a buyer's search finds for the task: the attributes asked for, and the noun."""
    goal = benchmark.goal(task)
    return benchmark.shop.catalogue.search(" ".join((*goal.attributes, goal.query)))


def check_kinds(benchmark):
    """Each task by the page of its target, and by what looks right before it."""
    judge, kinds = fault_finder(benchmark), shop.task_kinds(benchmark)
    for task, goal in benchmark.goals.items():
        listed = found(benchmark, task)
        place, kind = listed.index(goal.asin), kinds[task]
        assert place // PER_PAGE + 1 == PAGE[kind], (task, kind, place)
        assert judge(task, goal.asin) is None
        fit = [a for a in listed[:place] if judge(task, a) is None]
        assert len(fit) == (kind in TRAP_PAGE), (task, kind)
        for trap in fit:
            options = {v for values in benchmark.shop.catalogue[trap].options.values() for v in values}
            assert not set(goal.options) <= options  # only its options say that it is wrong
            assert listed.index(trap) // PER_PAGE + 1 == TRAP_PAGE[kind]
    return Counter(kinds.values())


def wins(benchmark, strength):
    """Tasks won by the shopper of that strength."""
    expert = shop.make_shopper(benchmark, strength)
    return {t.task_id for t in demonstrate_tasks(benchmark, expert, benchmark.goals) if t.win}


# What the tasks need ------------------------------------------------------------------------------------


@few
@given(SEEDS)
def test_each_kind_of_task_needs_what_it_says(made, seed):
    equal = dict.fromkeys(SHARES, 1.0)
    assert set(check_kinds(made(tasks=15, seed=seed, shares=equal))) <= set(SHARES)


@few
@given(SEEDS)
def test_the_perfect_shopper_wins_every_task_and_the_naive_one_the_direct_ones(made, seed):
    benchmark = made(tasks=12, seed=seed)
    kinds = shop.task_kinds(benchmark)
    assert wins(benchmark, "perfect") == set(kinds)
    assert wins(benchmark, "naive") == {task for task, kind in kinds.items() if kind == "direct"}


@pytest.mark.parametrize("kind", SHARES)
def test_a_shop_may_have_one_kind_of_task_alone(made, kind):
    benchmark = made(tasks=6, shares={kind: 1.0})
    assert check_kinds(benchmark) == {kind: 6}
    assert len(wins(benchmark, "perfect")) == 6
    assert len(wins(benchmark, "naive")) == 6 * (kind == "direct")


@few
@given(SEEDS)
def test_tasks_of_two_skills_are_lost_by_shoppers_with_one_of_them(made, seed):
    """Who turns pages and buys the first that looks right loses them, as does who goes back and never turns a page."""
    benchmark = made(tasks=8, seed=seed, shares=shares_of_kinds(1.0))
    kinds = shop.task_kinds(benchmark)
    assert set(kinds.values()) <= set(TWO_SKILLS)
    for habits in (Habits(max_next=4, goes_back=False), Habits(max_next=0, goes_back=True)):
        one_skill = shop.make_shopper(benchmark, "perfect")
        one_skill.habits = habits
        assert not any(t.win for t in demonstrate_tasks(benchmark, one_skill, kinds))
    both = shop.make_shopper(benchmark, "perfect")
    for t in demonstrate_tasks(benchmark, both, kinds):
        assert t.win and all(skill(t.history) for skill in benchmark.skills.values()), kinds[t.task_id]
        used = [a for a in t.actions if "Back to Search" in a or "Next" in a]
        assert ("Next" in used[0]) == (kinds[t.task_id] == "next_back")  # the order that its name says


@pytest.mark.parametrize("share", [0.0, 0.15, 0.5, 1.0])
def test_the_share_of_tasks_of_two_skills_leaves_the_proportions_of_the_others(share):
    shares = shares_of_kinds(share)
    assert sum(shares.values()) == pytest.approx(1) and set(shares) == set(SHARES)
    assert sum(shares[kind] for kind in TWO_SKILLS) == pytest.approx(share)
    assert shares["direct"] * SHARES["next"] == pytest.approx(shares["next"] * SHARES["direct"])
    assert shares_of_kinds(None) == SHARES


def test_a_background_of_many_products_leaves_the_kinds_true(made):
    benchmark = made(tasks=10, products=3000, seed=4)
    assert len(benchmark.shop.catalogue) == 3000
    check_kinds(benchmark)
    assert wins(benchmark, "perfect") == set(benchmark.goals)


def test_no_other_product_wins_a_task(made):
    """Whoever buys the best of anything else listed, with any of its options, does not win."""
    benchmark = made(tasks=6, seed=2)
    for task, goal in benchmark.goals.items():
        for other in set(found(benchmark, task)) - {goal.asin}:
            options = tuple(v for values in benchmark.shop.catalogue[other].options.values() for v in values)
            assert benchmark.shop.reward(goal, other, options) < 1, (task, other)


def test_kinds_of_tasks_have_the_shares_asked_for(tmp_path):
    summary = write_catalogue(tmp_path, products=15_000, tasks=1500, seed=1)
    assert summary.tasks == sum(summary.kinds.values()) == 1500
    for kind, share in SHARES.items():
        assert summary.kinds[kind] / 1500 == pytest.approx(share, abs=0.05)
    assert sum(SHARES.values()) == pytest.approx(1)


# The files ----------------------------------------------------------------------------------------------


def test_the_summary_matches_the_files(tmp_path):
    summary = write_catalogue(tmp_path, products=321, tasks=20, seed=5)
    items, ins, human, kinds = (json.loads((tmp_path / name).read_text()) for name in FILES)
    ids = [row["asin"] for row in items]
    assert summary.products == len(ids) == len(set(ids)) == 321
    assert set(ins) == set(ids)
    assert set(human) == set(kinds) and len(human) == summary.tasks == 20
    assert set(human) <= set(ids)
    assert Counter(kinds.values()) == {k: n for k, n in summary.kinds.items() if n}
    assert all(len(asin) == 10 for asin in ids)


def test_the_ids_of_as_many_tasks_as_the_tiny_bases_play_are_of_few_words():
    most = ENTRIES["webshop_mini"].tiny_tasks
    few = {word for words in ID_WORDS for word in words}
    for tasks, known in ((most, True), (most + 1, False)):
        ids = [asin(i, 10 * tasks) for i in range(0, 10 * tasks, 7)]
        assert all({id[2:6], id[6:]} <= few for id in ids) == known


def test_the_order_of_the_file_does_not_reveal_targets(tmp_path):
    write_catalogue(tmp_path, products=400, tasks=40)
    items, _, human, _ = (json.loads((tmp_path / name).read_text()) for name in FILES)
    places = [i for i, row in enumerate(items) if row["asin"] in human]
    assert len(places) == 40
    assert len({b - a for a, b in pairwise(places)}) > 3


def test_the_official_loader_reads_it(made):
    benchmark = made(tasks=8)
    assert len(benchmark.goals) == len(benchmark.tasks("train")) == 8
    for goal in benchmark.goals.values():
        product = benchmark.shop.catalogue[goal.asin]
        assert set(goal.attributes) == set(product.attributes)
        assert set(goal.options) <= {v for values in product.options.values() for v in values}
        assert goal.price_upper > product.price
        assert all(word in goal.instruction for word in (*goal.attributes, *goal.options, product.query))
        assert benchmark.shop.reward(goal, goal.asin, goal.options) == 1


def files(folder):
    return [(folder / name).read_bytes() for name in FILES]


def test_a_shop_is_written_byte_for_byte_as_ever(tmp_path):
    """Results of generated shops are compared over commits, so a change of these bytes is a decision, not an accident."""
    write_catalogue(tmp_path, products=400, tasks=40, seed=3)
    hashes = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()[:16] for name in FILES}
    assert hashes == {
        "items_shuffle.json": "bb27387ddd821f55",
        "items_ins_v2.json": "11b3be7227f71204",
        "items_human_ins.json": "26f89acf7ea86798",
        "tasks.json": "ac1a565ab5341008",
    }


def test_equal_seeds_write_equal_files(tmp_path):
    for name, seed in (("one", 3), ("same", 3), ("other", 4)):
        write_catalogue(tmp_path / name, products=130, tasks=12, seed=seed)
    one, same, other = (files(tmp_path / name) for name in ("one", "same", "other"))
    assert one == same
    assert all(a != b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    "products, tasks, shares, message",
    [
        (100, 0, None, "0 tasks: there are words for 1 to"),
        (10**7, 10**6, None, "1000000 tasks: there are words for 1 to 19840"),
        (99, 10, None, "99 products for 10 tasks: each needs up to 10; ask for 100 or more"),
        (
            100,
            10,
            {"sideways": 1.0},
            "no kind of task 'sideways'; there are direct, next, far, back, back_next, next_back",
        ),
    ],
)
def test_impossible_shops_are_refused(tmp_path, products, tasks, shares, message):
    with pytest.raises(DataError, match=message):
        write_catalogue(tmp_path / "new", products=products, tasks=tasks, shares=shares)
    assert not (tmp_path / "new").exists()


# The words ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 110, 5000, 12_100, 12_101, 1_180_000])
def test_ids_are_unique(n):
    tried = range(n) if n <= 12_101 else range(0, n, 97)
    ids = [asin(i, n) for i in tried]
    assert len(set(ids)) == len(ids)
    assert all(len(id) == 10 and id.startswith("B0") for id in ids)


@pytest.mark.parametrize("i, n", [(-1, 10), (10, 10), (0, 1_210_001)])
def test_an_id_out_of_range_is_refused(i, n):
    with pytest.raises(ValueError, match=f"got the {i}-th of {n}"):
        asin(i, n)


def test_neighbours_in_a_small_shop_differ_in_their_first_word():
    assert all(asin(i, 4000)[2:6] != asin(i + 1, 4000)[2:6] for i in range(200))


VALUES = [v for values in OPTION_VALUES.values() for v in values]
NOUNS = [kind.noun for kind in KINDS]


@pytest.mark.parametrize(
    "words", [VALUES, [*ATTRIBUTES, *BACKGROUND_ATTRIBUTES], NOUNS], ids=["options", "attributes", "nouns"]
)
def test_words_hold_no_other_word(words):
    """The official scoring takes a part for the whole, so no word may be a part of another."""
    assert len(set(words)) == len(words)
    assert not [(a, b) for a, b in combinations(words, 2) if a in b or b in a]


def test_descriptions_hold_no_word_that_goals_ask_for():
    asked = {w for text in (*VALUES, *ATTRIBUTES, *NOUNS) for w in text.split()}
    # `box` of `granola box` weighs nothing in a search: every product "comes in a plain box".
    assert asked & set(FILLERS) <= {"box"}
