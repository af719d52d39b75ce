"""R(τ) of WebShop: each part on its own, how lenient it is, and that it stays in [0, 1]."""

import msgspec
import pytest
from helpers.webshop_stand_in import PRODUCTS, TOWEL, StandIn, product
from hypothesis import given
from hypothesis import strategies as st

from eefcore.envs.webshop.nouns import LetterTagger, load_tagger
from eefcore.envs.webshop.reward import (
    COLOURS,
    compose_r_type,
    compose_reward,
    get_attribute_reward,
    get_option_reward,
    get_reward,
    get_type_reward,
    normalize_color,
    title_score,
)
from eefcore.envs.webshop.shop import Shop
from eefcore.errors import DataError

NOUNS = LetterTagger()


def test_there_are_102_colours_in_the_official_order():
    assert len(COLOURS) == len(set(COLOURS)) == 102
    assert tuple(sorted(COLOURS)) == COLOURS


@pytest.mark.parametrize(
    ("option", "colour"),
    [
        ("dark red", "dark"),
        ("shredded", "red"),
        ("violet lavender", "lavender"),
        ("Red", "Red"),
        (("color", "red"), "red"),
        (("color", "dark red"), ("color", "dark red")),
        (("red", "large"), "red"),
        ("", ""),
    ],
)
def test_normalize_color(option, colour):
    assert normalize_color(option) == colour


@pytest.mark.parametrize(
    #  query  category  title   r_type
    ("query", "category", "title", "r_type"),
    [
        (True, True, 1.0, 1.0),
        (False, False, 0.21, 1.0),
        (False, False, 0.2, 0.5),
        (True, False, 0.2, 1.0),
        (False, True, 0.1, 1.0),
        (True, True, 0.09, 0.1),
        (True, True, 0.0, 0.0),
    ],
)
def test_r_type(query, category, title, r_type):
    assert compose_r_type(query, category, title) == r_type


@pytest.mark.parametrize(
    ("bought", "asked", "score"),
    [
        ("Soft Towel", "towel", 1.0),
        ("Towel", "soft bath towel", 1 / 3),
        ("Towel", "towel towel", 1 / 2),  # repeated below, once above
        ("Lamp", "towel", 0.0),
        ("Lamp", "2 of the 100%", 0.2),  # no noun asked for
        ("", "", 0.2),
    ],
)
def test_title_score(bought, asked, score):
    assert title_score(bought, asked, NOUNS) == pytest.approx(score)


@pytest.mark.parametrize(
    ("category", "match"),
    [("a › b › x", True), ("x › b›a", True), ("a › a › x", False), ("a", False), ("", False)],
)
def test_categories_match_on_two_common_parts(category, match):
    goal = msgspec.structs.replace(TOWEL, product_category="a › b › c")
    bought = product("", "towel", product_category=category)
    assert get_type_reward(bought, goal, NOUNS).category_match is match


@pytest.mark.parametrize(
    ("asked", "has"),
    [
        ("machine wash", True),  # an attribute of its own
        ("machine washable", True),  # fuzzy: the shorter is all of one of its words
        ("made of cotton", True),  # in the description, whatever the case
        ("fluffy", True),  # in a bullet
        ("bath", True),  # in the title
        ("organic", False),
    ],
)
def test_attributes_are_looked_for_everywhere(asked, has):
    assert get_attribute_reward(PRODUCTS[0], [asked, "never"]) == (has / 2, int(has))


@pytest.mark.parametrize(
    ("chosen", "asked", "matches"),
    [
        (["large"], ["x-large"], 1),  # all of one's words are among the other's
        (["x-large"], ["xx-large"], 1),  # 93 of 100
        (["x_large"], ["large"], 0),  # `_` is part of a word
        (["light blue"], ["dark blue"], 1),  # the first colour word by the alphabet: both are blue
        (["light grey"], ["dark grey"], 0),  # and these are grey and dark
        (["red"], [("color", "red")], 1),
        (["large"], [("size", "large")], 1),
        (["size"], [("size", "large")], 1),  # its name is as good as its value
        (["small"], ["large", "red"], 0),
        ([], ["red"], 0),
        (["ünder"], ["nder"], 1),  # characters 128-255 are dropped
        ([""], [""], 0),
    ],
)
def test_the_requested_options_that_were_chosen_are_counted(chosen, asked, matches):
    assert get_option_reward(chosen, asked) == (matches / len(asked), matches)


def test_no_options_asked_for():
    assert get_option_reward(["red"], []) == (None, 0)


def test_reward_by_hand():
    """A = 1 of 1, O = 1 of 2, P = 1, r_type = 1:  3 / (1 + 2 + 1)."""
    reward = get_reward(PRODUCTS[0], TOWEL, 12.5, ["red"], NOUNS)
    assert reward.total == 0.75
    assert (reward.attributes.matches, reward.options.matches, reward.r_price) == (1, 1, True)
    assert reward.kind == (1.0, True, True, 1.0)


@pytest.mark.parametrize(("price", "total"), [(20.0, 1.0), (20.01, 0.75), (1000.0, 0.75)])
def test_the_cap_is_within_the_price(price, total):
    assert get_reward(PRODUCTS[0], TOWEL, price, ["large", "red"], NOUNS).total == total


def test_the_wrong_kind_of_thing_is_worth_nothing():
    tea = product("T", "Tea", attributes=("machine wash",))
    assert get_reward(tea, TOWEL, 1.0, ["red", "large"], NOUNS).total == 0.0


@given(
    st.integers(0, 5),
    st.integers(0, 5),
    st.floats(0, 1e6),
    st.floats(0, 1e6),
    st.sampled_from([0, 0.1, 0.5, 1]),
)
def test_reward_stays_in_the_unit_interval(attributes, options, price, cap, r_type):
    for a in range(attributes + 1):
        for o in range(options + 1):
            assert 0 <= compose_reward(a, attributes, o, options, price, cap, r_type) <= 1


words = st.text(max_size=20)


@given(st.lists(words, max_size=4), st.lists(words | st.tuples(words, words), max_size=4))
def test_more_options_never_make_it_worse(chosen, asked):
    fewer, more = get_option_reward(chosen, asked), get_option_reward([*chosen, "red"], asked)
    assert 0 <= fewer.matches <= more.matches <= len(asked)


def test_a_shop_scores_each_purchase_once():
    shop = Shop(StandIn(), NOUNS)
    assert shop.reward(TOWEL, "B000000001", ("red", "large")) == 1.0
    shop.reward(TOWEL, "B000000001", ("red", "large"))
    assert shop.reward.cache_info().hits == 1


def test_a_filter_lists_without_searching():
    shop = Shop(StandIn(), NOUNS)
    assert shop.search(("<c>", "lights", "x")) == ("B000000009",)
    assert shop.search(("<q>", "bath", "towels"))[-1] == "B000000008"
    assert shop.search(("<a>", "quick", "drying")) == ("B000000001",)
    assert len(shop.search(("<r>",))) == len(PRODUCTS)


def test_nouns_of_a_title_are_found_in_reading_order():
    assert NOUNS("Women's 3pcs Bath-Towel, for the D.O.N. (2 x Ünder_wear)") == [
        "women",
        "bath",
        "towel",
        "d",
        "o",
        "n",
        "x",
    ]
    assert load_tagger("letters").name == "letters"


def test_a_missing_tagger_says_how_to_get_it():
    with pytest.raises(DataError, match=r"no_such_model.*pip install"):
        load_tagger("no_such_model")
