"""Addresses as typed values: read back as written, and never an error for any parameter."""

import datetime as dt
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eefcore.envs.booking.queries import SORTS, SearchQuery, TableQuery, local_path
from eefcore.envs.booking.tables import TIMES
from eefcore.envs.booking.world import SEATINGS

TODAY = dt.date(2024, 5, 20)


def parameters(address):
    return dict(parse_qsl(urlsplit(address).query))


@given(
    st.builds(
        TableQuery,
        day=st.dates(dt.date(2000, 1, 1), dt.date(2099, 12, 31)),
        time=st.sampled_from((None, *TIMES)),
        party=st.integers(1, 8),
        seating=st.sampled_from(("", *SEATINGS)),
        changes=st.none() | st.integers(1, 99),
    )
)
def test_a_table_query_is_read_as_it_was_written(query):
    assert TableQuery.read(parameters(query.path("x")), TODAY) == query


@given(
    st.builds(
        SearchQuery,
        words=st.text("ab é&=+%#", max_size=30).map(lambda t: " ".join(t.split())),
        cuisine=st.sampled_from(("", "Thai")),
        price=st.integers(0, 4),
        sort=st.sampled_from(SORTS),
        page=st.integers(1, 9),
    )
)
def test_a_search_is_read_as_it_was_written(query):
    assert SearchQuery.read(parameters(query.path())) == query


@given(
    st.dictionaries(
        st.sampled_from(("date", "time", "party", "seating", "change", "q", "price", "page")), st.text()
    )
)
def test_any_parameter_can_be_read(given_parameters):
    query = TableQuery.read(given_parameters, TODAY)
    assert 1 <= query.party <= 8 and query.seating in ("", *SEATINGS)
    assert SearchQuery.read(given_parameters).page >= 1


@pytest.mark.parametrize(
    "date", ["0001-01-01", "9999-12-31", "2024-02-30", "tomorrow", "", "2024-05-22T00:00"]
)
def test_a_day_that_is_none_counts_as_today(date):
    assert TableQuery.read({"date": date}, TODAY).day == TODAY


@pytest.mark.parametrize(
    "address",
    ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "", "/a\r\nSet-Cookie: x", "/é"],
)  # fmt: skip
def test_no_form_leads_to_another_site(address):
    assert local_path(address) == "/"
    assert local_path("/r/x?date=2024-05-22") == "/r/x?date=2024-05-22"
