"""A catalogue is built from the official files by the official rules, once and completely, or an error says why not."""

import json
import multiprocessing
import os
import pickle
import random
from pathlib import Path

import pytest
from helpers.paths import WEBSHOP_DATA
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eefcore.envs.webshop.catalogue import elements as elements_module
from eefcore.envs.webshop.catalogue.catalogue import Catalogue
from eefcore.envs.webshop.catalogue.elements import elements
from eefcore.envs.webshop.catalogue.loading import Skipped
from eefcore.errors import DataError, StoreError

DATA = WEBSHOP_DATA
CASES = Path(os.environ.get("EEF_WEBSHOP_CASES", DATA / "official_cases.jsonl"))
needs_data = pytest.mark.skipif(
    not (DATA / "items_shuffle_1000.json").exists(),
    reason="EEF_WEBSHOP_DATA holds no items_shuffle_1000.json",
)

TEA = {
    "asin": "B000000TEA",
    "name": "Green Tea",
    "full_description": "Leaves.",
    "small_description": ["From Uji", "Loose"],
    "pricing": "$1,299.50",
    "customization_options": {"Size": [{"value": " 1/2 LB "}, {"value": "1 lb"}], "Unset": None},
    "category": "grocery",
    "product_category": "Grocery › Tea",
    "query": " Green TEA ",
    "average_rating": 4.5,
}

PRICES = [
    (None, (100.0,), "$100.0"),
    ("", (100.0,), "$100.0"),
    ("$60", (60.0,), "$60.0"),
    ("$19.99$27.99", (19.99, 27.99), "$19.99 to $27.99"),
    ("$1 - $2 or $3", (1.0, 2.0), "$1.0 to $2.0"),
    ("US $1,299.50 each", (1299.5,), "$1299.5"),
]


def product(asin="B000000TEA", **fields):
    return TEA | {"asin": asin} | fields


def write(folder, products, attributes=None):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "items_shuffle_test.json").write_text(json.dumps(products))
    (folder / "items_ins_v2_test.json").write_text(json.dumps(attributes or {}))
    return folder


@pytest.fixture
def load(tmp_path):
    """Products to their catalogue."""

    def loaded(products, attributes=None, **given):
        return Catalogue.load(
            write(tmp_path / "data", products, attributes), cache=tmp_path / "cache", **given
        )

    return loaded


def test_a_product_is_read_as_officially(load):
    tea = load([TEA], {"B000000TEA": {"attributes": ["caffeine free"], "instruction": "x"}})["B000000TEA"]
    assert (tea.title, tea.description, tea.bullets) == ("Green Tea", "Leaves.", ("From Uji", "Loose"))
    assert tea.options == {"size": ("1 | 2 lb", "1 lb")}
    assert (tea.query, tea.category, tea.product_category) == ("green tea", "grocery", "Grocery › Tea")
    assert tea.attributes == ("caffeine free",)


@pytest.mark.parametrize(("pricing", "prices", "tag"), PRICES)
def test_prices_are_read_as_by_the_official_loader(load, pricing, prices, tag):
    read = load([product(pricing=pricing)])["B000000TEA"]
    assert (read.prices, read.price_tag) == (prices, tag)
    assert prices[0] <= read.price <= prices[-1]


def test_products_with_missing_fields_are_read(load):
    bare = product(small_description="Loose", customization_options="")
    del bare["pricing"]
    read = load([bare])["B000000TEA"]
    assert (read.bullets, read.options, read.price, read.attributes) == (
        ("Loose",),
        {},
        100.0,
        ("DUMMY_ATTR",),
    )


def test_the_price_of_a_range_depends_on_seed_and_asin_alone(load):
    products = [product(f"B00000000{i}", pricing="$10$90") for i in range(5)]
    random.seed(1)
    first = {asin: c[asin].price for c in [load(products)] for asin in c.asins}
    random.seed(2)
    again = {asin: c[asin].price for c in [load(products[::-1])] for asin in c.asins}
    assert first == again and len(set(first.values())) == 5
    other = load(products, price_seed=1)
    assert other["B000000000"].price != first["B000000000"] and other.hash != load(products).hash


def test_order_membership_and_skips(load):
    products = [
        product("B2"),
        {"asin": "nan"},
        product("B1"),
        {"asin": "B2"},
        {"asin": "ELEVENCHARS"},
        product("B3"),
    ]
    catalogue = load(products)
    assert list(catalogue.asins) == ["B2", "B1", "B3"] and catalogue.asins[1] == "B1" and len(catalogue) == 3
    assert (
        "B1" in catalogue and "nan" not in catalogue and "" not in catalogue and "B1\ud800" not in catalogue
    )
    assert catalogue.skipped == Skipped(nan=1, long_asin=1, repeated=1)
    with pytest.raises(KeyError):
        catalogue["B9"]


def test_a_search_reads_what_the_official_index_holds(load):
    catalogue = load(
        [product("B1", name="Zebra"), product("B2"), product("B3", small_description=["x", "Zebra"])]
    )
    assert catalogue.search("zebras!") == ("B1",)
    assert catalogue.search("uji") == ("B1", "B2")
    assert set(catalogue.search("size: 1 lb")) == {"B1", "B2", "B3"} and len(catalogue.search("lb", 2)) == 2
    assert catalogue.search("grocery") == catalogue.search("") == ()


def test_a_filter_lists_all_products_with_a_value(load):
    products = [product("B2", category="x"), product("B1"), product("B3", query="Other")]
    catalogue = load(products, {"B1": {"attributes": ["a", "b", "a"]}, "B3": {"attributes": ["b"]}})
    assert catalogue.filtered("<c>", "grocery") == ("B1", "B3")
    assert catalogue.filtered("<q>", "green tea") == ("B2", "B1")
    assert catalogue.filtered("<a>", "b") == ("B1", "B3") and catalogue.filtered("<a>", "a") == ("B1",)
    assert catalogue.filtered("<a>", "DUMMY_ATTR") == ("B2",) and catalogue.filtered("<a>", "none") == ()
    assert sorted(catalogue.filtered("<r>", "")) == ["B1", "B2", "B3"]
    assert catalogue.filtered("<r>", "1") == catalogue.filtered("<r>", "1")
    with pytest.raises(DataError, match="<z>"):
        catalogue.filtered("<z>", "")


BAD_PRODUCTS = [
    ({"name": None}, "name"),
    ({"customization_options": "red"}, "customization_options"),
    ({"customization_options": {"Size": [{}]}}, "value"),
    ({"small_description": None}, "small_description"),
    ({"pricing": "9.99"}, "pricing"),
    ({"pricing": "$9.99.9"}, "pricing"),
    ({"pricing": "$"}, "pricing"),
    ({"query": 3}, "query"),
    ({"asin": "B\0"}, "asin"),
]


@pytest.mark.parametrize(("fields", "field"), BAD_PRODUCTS)
def test_a_bad_product_is_named(load, fields, field):
    with pytest.raises(DataError, match=f"items_shuffle_test.json: product 1 .*{field}"):
        load([product("B1"), product("B2") | fields])


@pytest.mark.parametrize(
    "field",
    ["asin", "name", "full_description", "small_description", "customization_options", "category", "query"],
)
def test_a_missing_field_is_named(load, field):
    broken = product("B2")
    del broken[field]
    with pytest.raises(DataError, match=f"product 1 .*{field}"):
        load([product("B1"), broken])


BAD_FILES = [
    ("", "is empty"),
    ('{"a": 1}', "expected a JSON list"),
    ("[]", "holds no product"),
    ('[{"asin": "nan"}]', "holds no product"),
    ("[1]", "product 0"),
    ("[,]", "product 0"),
    (json.dumps([TEA])[:-1], "truncated"),
    (json.dumps([TEA])[:-40], "truncated"),
    (json.dumps([TEA])[:-1] + ",]", "product 1"),
    (json.dumps([TEA]) + "]", "expected the end"),
    (json.dumps([TEA]).replace('"B0', "'B0"), "product 0|truncated"),
    ("[" + "[" * 100_000 + "]" * 100_000 + "]", "product 0"),
]


@pytest.mark.parametrize(("text", "says"), BAD_FILES, ids=range(len(BAD_FILES)))
def test_a_damaged_product_file_is_an_error(tmp_path, text, says):
    folder = write(tmp_path, [TEA])
    (folder / "items_shuffle_test.json").write_text(text)
    with pytest.raises(DataError, match=says):
        Catalogue.load(folder, cache=tmp_path / "cache")
    assert not [p for p in (tmp_path / "cache" / "webshop").iterdir() if p.is_dir() and p.name != ".seen"]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"B000000TEA": {"attr', '{"B000000TEA": {"attributes": "soft"}}']
)
def test_a_damaged_attribute_file_is_an_error(tmp_path, text):
    folder = write(tmp_path, [TEA])
    (folder / "items_ins_v2_test.json").write_text(text)
    with pytest.raises(DataError, match=r"items_ins_v2_test\.json"):
        Catalogue.load(folder, cache=tmp_path / "cache")


def test_files_are_one_of_each_kind(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        Catalogue.load(tmp_path / "nowhere", cache=tmp_path)
    folder = write(tmp_path / "data", [TEA])
    (folder / "items_shuffle_2.json").write_text("[]")
    with pytest.raises(DataError, match=r"items_shuffle_2\.json, items_shuffle_test\.json"):
        Catalogue.load(folder, cache=tmp_path)


def test_json_that_only_python_reads_is_accepted(load):
    text = load([product(average_rating=float("nan"), name="half \ud83d")])["B000000TEA"].title
    assert text == "half ?"


def test_built_once_by_content(load, tmp_path):
    first = load([TEA])
    assert load([TEA]).hash == first.hash
    assert load([product(name="Black Tea")]).hash != first.hash
    forms = [p for p in (tmp_path / "cache" / "webshop").iterdir() if p.is_dir() and p.name != ".seen"]
    assert len(forms) == 2


def test_an_unfinished_build_is_never_opened(load, tmp_path):
    load([TEA])
    (form,) = (p for p in (tmp_path / "cache" / "webshop").iterdir() if not p.name.startswith("."))
    left = form.with_name(f".{form.name}.building")
    form.rename(left)
    (left / "entries").write_bytes(b"torn")
    assert load([TEA])["B000000TEA"].title == "Green Tea" and not left.exists()


def test_a_damaged_built_catalogue_is_an_error(load, tmp_path):
    load([TEA])
    (entries,) = (tmp_path / "cache" / "webshop").glob("*/entries")
    entries.write_bytes(b"torn")
    with pytest.raises(StoreError, match=r"expected .* bytes, got 4"):
        load([TEA])


def test_an_unwritable_cache_is_an_error(tmp_path):
    (tmp_path / "cache").write_text("a file, no folder")
    with pytest.raises(StoreError, match="EEF_CACHE"):
        Catalogue.load(write(tmp_path / "data", [TEA]), cache=tmp_path / "cache")


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("EEF_CACHE", str(tmp_path / "there"))
    Catalogue.load(write(tmp_path / "data", [TEA]))
    assert list((tmp_path / "there" / "webshop").glob("*/entries"))


def _titles(folder, cache, start, answers):
    start.wait(30)
    catalogue = Catalogue.load(folder, cache=cache)
    answers.put([catalogue[asin].title for asin in catalogue.search("tea")])


def test_processes_may_build_at_once(tmp_path):
    folder = write(tmp_path / "data", [product(f"B{i:04}") for i in range(500)])
    context = multiprocessing.get_context("fork")
    start, answers = context.Event(), context.Queue()
    workers = [
        context.Process(target=_titles, args=(folder, tmp_path / "cache", start, answers)) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    start.set()
    assert [answers.get(timeout=60) for _ in workers] == [["Green Tea"] * 50] * 4
    for worker in workers:
        worker.join()


def test_a_pickle_is_a_path(load):
    catalogue = load([TEA])
    dumped = pickle.dumps(catalogue)
    assert len(dumped) < 500
    again = pickle.loads(dumped)
    assert again.hash == catalogue.hash and again.search("tea") == ("B000000TEA",)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='a\\"[]{},: é👍', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='a\\"]}', max_size=3), inner)
    ),
    max_leaves=10,
)


@given(
    values=st.lists(JSON_VALUES, max_size=6),
    piece=st.sampled_from([1, 3, 8, 50]),
    indent=st.sampled_from([None, 0]),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_list_is_cut_into_its_elements(tmp_path, values, piece, indent):
    path = tmp_path / "list.json"
    path.write_text(json.dumps(values, indent=indent, ensure_ascii=False), encoding="utf-8")
    whole = elements_module.PIECE
    elements_module.PIECE = piece
    try:
        with open(path, "rb") as file:
            assert [json.loads(raw) for raw in elements(file, path.name)] == values
    finally:
        elements_module.PIECE = whole


@given(asins=st.lists(st.text(max_size=12).filter(lambda a: "\0" not in a and a.isprintable()), min_size=1))
@settings(max_examples=25, deadline=None)
def test_products_with_any_ids_are_found(tmp_path_factory, asins):
    folder = write(tmp_path_factory.mktemp("data"), [product(asin) for asin in asins])
    kept = [a for a in dict.fromkeys(asins) if len(a) <= 10 and a != "nan"]
    if not kept:
        return
    catalogue = Catalogue.load(folder, cache=folder / "cache")
    assert list(catalogue.asins) == kept
    assert all(catalogue[asin].asin == asin for asin in kept)
    assert catalogue.search("tea", len(kept)) == tuple(sorted(kept, key=str.encode))


@given(query=st.text(max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_query_is_answered(small, query):
    assert len(small.search(query)) <= 50


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    return Catalogue.load(
        write(folder / "data", [product(f"B{i}") for i in range(60)]), cache=folder / "cache"
    )


@pytest.fixture(scope="module")
def thousand(tmp_path_factory):
    return Catalogue.load(DATA, cache=tmp_path_factory.mktemp("cache"))


@needs_data
def test_the_official_thousand_is_what_the_facts_say(thousand):
    products = [thousand[asin] for asin in thousand.asins]
    assert len(products) == 1000
    assert {c: len(thousand.filtered("<c>", c)) for c in ("beauty", "electronics", "garden")} == {
        "beauty": 238,
        "electronics": 229,
        "garden": 216,
    }
    assert sum(bool(p.options) for p in products) == 423
    assert sum(len(p.prices) == 2 for p in products) == 93
    assert len({a for p in products for a in p.attributes} - {"DUMMY_ATTR"}) == 598


@needs_data
def test_searches_are_the_official_ones(thousand):
    cases = [json.loads(line) for line in CASES.read_text().splitlines()]
    searches = [c for c in cases if c["function"] == "search_top10"]
    assert searches
    for case in searches:
        found = thousand.search(case["input"]["query"], case["input"]["k"])
        assert len(found) == 50 and list(found[:10]) == case["expected"]


@needs_data
def test_listed_pages_are_the_official_ones(thousand):
    cases = [json.loads(line) for line in CASES.read_text().splitlines()]
    texts = [case for case in cases if case["function"] == "page_text"]
    pages = [case for case in texts if case["input"].get("page") == "search_results"]
    assert pages
    for page in pages:
        shown = [field for field in page["expected"].split(" [SEP] ") if field in thousand]
        first = 10 * (page["input"]["page_number"] - 1)
        assert shown == list(thousand.search(page["input"]["query"])[first : first + 10])
