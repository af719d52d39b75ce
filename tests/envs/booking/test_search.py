"""Search in a city: words, filters, orders, pages, and suggestions for words that match nothing."""

import pytest
from helpers.booking_visitor import WORLD

from eefcore.envs.booking.queries import SORTS, SearchQuery
from eefcore.envs.booking.search import PER_PAGE, search

CITY = "Santa Marina"
LOCAL = WORLD.in_city(CITY)


def find(**of):
    return search(WORLD, CITY, SearchQuery(**of))


def test_without_words_all_restaurants_of_the_city_are_found_page_by_page():
    pages = [find(page=page) for page in (1, 2, 3)]
    assert [len(p.restaurants) for p in pages] == [5, 5, 2]
    assert [r for p in pages for r in p.restaurants] == [*LOCAL]
    assert {(p.total, p.pages) for p in pages} == {(12, 3)}
    assert find(page=99) == pages[2]


@pytest.mark.parametrize("restaurant", LOCAL, ids=lambda r: r.slug)
def test_a_restaurant_is_found_by_its_name_in_any_letters(restaurant):
    for words in (restaurant.name, restaurant.name.upper(), restaurant.name.split()[-1]):
        assert restaurant in find(words=words).restaurants


def test_a_name_is_found_without_its_accent():
    named = [r for r in WORLD.restaurants if r.name.startswith("Mesón")]
    assert named
    for restaurant in named:
        found = search(WORLD, restaurant.city, SearchQuery(words=restaurant.name.replace("ó", "o")))
        assert restaurant in found.restaurants


def test_filters_leave_what_fits_them():
    for r in LOCAL:
        found = find(cuisine=r.cuisine, district=r.district, price=r.price)
        assert r in found.restaurants
        assert {(f.cuisine, f.district, f.price) for f in found.restaurants} == {
            (r.cuisine, r.district, r.price)
        }
    assert find(cuisine="Martian").total == 0


def test_orders():
    orders = {sort: find(sort=sort).restaurants for sort in SORTS}
    assert [r.name for r in orders["Name"]] == sorted(r.name for r in LOCAL)[:PER_PAGE]
    prices = [r.price for r in orders["Lowest price"]]
    assert prices == sorted(prices)


def test_a_restaurant_of_another_city_is_not_found():
    other = next(r for r in WORLD.restaurants if r.city != CITY)
    assert other not in find(words=other.name).restaurants


def test_a_misspelt_name_is_suggested():
    for restaurant in LOCAL:
        first, *rest = restaurant.name.split(" ")
        found = find(words=" ".join([first[:-1] + "x", *rest]))
        assert found.total == 0 and restaurant in found.suggestions
    assert find(words="qqqqqqq").suggestions == ()
