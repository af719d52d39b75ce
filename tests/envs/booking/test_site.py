"""The site through its application: every page, every form, and every request that it refuses."""

import datetime as dt
import re

import pytest
from helpers.booking_visitor import ANN, SMALL, VELA, WORLD, Visitor, booking, setting

from eefcore.envs.booking.database import Database
from eefcore.envs.booking.looks import LABELS, UNSEEN_LOOK
from eefcore.envs.booking.tables import availability

pytest.importorskip("starlette")

WEDNESDAY = dt.date(2024, 5, 22)
SLOTS = availability(SMALL, setting().moment, VELA, WEDNESDAY, dt.time(19), 4).slots
SLOT = f"{SLOTS[0].time:%H:%M} {SLOTS[0].seating}"
DETAILS = {"name": "Ann Bo", "phone": "202-555-0123", "email": "ann@example.com"}


@pytest.fixture
def visitor():
    return Visitor()


def hold(visitor, **changes):
    return visitor.post("/r/osteria-vela/hold", **{"date": "2024-05-22", "party": 4, "slot": SLOT} | changes)


def pages(visitor):
    """Addresses of every kind of page, with a reservation and a hold."""
    return (
        "/", "/search", "/search?q=vela&page=2", "/search?q=nothing", "/r/osteria-vela",
        "/r/osteria-vela?date=2024-05-22&time=19:00&party=4", "/r/osteria-vela?date=2024-05-27&time=19:00",
        "/r/osteria-vela/calendar?date=2024-06-01", "/r/osteria-vela?change=1", "/details/1", "/reservations",
        "/reservations/1", "/reservations/1/cancel", "/finished", "/nowhere",
    )  # fmt: skip


@pytest.fixture
def visitor_with_reservation():
    visitor = Visitor(Database(SMALL, setting(reservations=(booking(),))))
    hold(visitor)
    return visitor


def test_a_table_is_booked_from_search_to_confirmation(visitor):
    assert "Osteria Vela" in visitor.get("/search?q=vela").text
    assert hold(visitor).address == "/details/1"
    confirmation = visitor.post("/details/1", **DETAILS)
    assert confirmation.address == "/reservations/1"
    for words in (
        "Your table is reserved",
        "Wednesday, May 22, 2024",
        "4 people",
        "Ann Bo",
        SLOTS[0].seating,
    ):
        assert words in confirmation.text
    slot = SLOTS[0]
    assert visitor.database.booked() == (booking(time=slot.time, seating=slot.seating),)


def test_every_page_is_shown_again_as_it_was_and_changes_nothing(visitor_with_reservation):
    visitor = visitor_with_reservation
    visitor.post("/details/1", name="A")
    before = visitor.database.digest()
    for address in pages(visitor):
        assert visitor.get(address) == visitor.get(address)
    assert visitor.database.digest() == before


def test_no_page_can_load_or_run_anything_else(visitor_with_reservation):
    for address in pages(visitor_with_reservation):
        answer = visitor_with_reservation.get(address)
        headers = dict(answer.headers)
        assert (
            "default-src 'self'; script-src 'none'; style-src 'sha256-" in headers["content-security-policy"]
        )
        assert not {"date", "last-modified", "expires"} & headers.keys()
        assert not re.search(r"<(script|iframe|link|img)|style=|target=|http", answer.html)


def test_the_cookie_lasts_as_long_as_the_session(visitor):
    cookie = dict(visitor.get("/").headers)["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert "expires" not in cookie.lower() and "max-age" not in cookie.lower()
    assert "set-cookie" not in dict(visitor.get("/").headers)


def test_a_table_that_is_taken_gives_the_nearest_times():
    visitor = Visitor()
    taken = next(
        time
        for time in VELA.times
        if availability(SMALL, setting().moment, VELA, WEDNESDAY, time, 4).reason == "nearest"
    )
    page = visitor.get(f"/r/osteria-vela?date=2024-05-22&party=4&time={taken:%H:%M}")
    assert "is not available. The nearest times come first; of two as near, the earlier." in page.text
    shown = re.findall(r'name="slot" value="([^"]*)"', page.html)
    nearest = availability(SMALL, setting().moment, VELA, WEDNESDAY, taken, 4).slots[:6]
    assert shown == [f"{slot.time:%H:%M} {slot.seating}" for slot in nearest]


@pytest.mark.parametrize(
    "query, words",
    [
        ("date=2024-05-27&time=19:00", "Osteria Vela is closed on this day."),
        ("date=2024-05-22&time=19:00&seating=Bar", "There is no such table left on this day."),
        ("date=2024-05-19&time=19:00", "Tables can be booked from today to 90 days ahead."),
        ("change=1", "You are changing reservation 1: Wednesday, May 22, 2024, 7:00 PM, 4 people."),
    ],
)
def test_a_restaurants_page_says_what_is_the_matter(visitor_with_reservation, query, words):
    assert words in visitor_with_reservation.get(f"/r/osteria-vela?{query}").text


def test_a_slot_that_is_not_free_is_not_held(visitor):
    for slot in ("", "19:07 Indoor", "19:00 Bar", "x", "19:00", SLOT + " now"):
        assert hold(visitor, slot=slot).address.startswith("/r/osteria-vela?date=2024-05-22")
    assert hold(visitor, date="2024-05-19").address.startswith("/r/osteria-vela?")
    assert visitor.get("/details/1").status == 404


def test_wrong_details_come_back_with_what_was_typed_and_what_is_wrong(visitor):
    hold(visitor)
    page = visitor.post("/details/1", name="Ann <b>", phone="call me", email="ann")
    assert page.address == "/details/1" and 'value="Ann &lt;b&gt;"' in page.html
    for words in ("Please enter a phone number", "Please enter an e-mail address"):
        assert words in page.text
    assert "Please enter a name" not in page.text and visitor.database.booked() == ()
    assert visitor.post("/details/1", **DETAILS).address == "/reservations/1"


def test_a_form_that_is_sent_twice_books_once(visitor):
    hold(visitor)
    one, two = visitor.post("/details/1", **DETAILS), visitor.post("/details/1", **DETAILS)
    assert one.html == two.html and len(visitor.database.reservations()) == 1


def test_a_reservation_is_changed_in_place(visitor_with_reservation):
    visitor = visitor_with_reservation
    details = hold(visitor, party=2, change=1)
    assert 'value="Ann Bo"' in details.html and "Complete change" in details.text
    visitor.post(details.address, **DETAILS)
    assert [r.id for r in visitor.database.reservations()] == [1]
    assert visitor.database.booked()[0].party == 2


def test_a_change_of_a_reservation_of_elsewhere_is_an_ordinary_booking():
    elsewhere = next(r for r in WORLD.restaurants if r.closed_on == ())
    other = next(r for r in WORLD.restaurants if r not in (elsewhere,) and 2 not in r.closed_on)
    visitor = Visitor(Database(WORLD, setting(reservations=(booking(restaurant=elsewhere.slug),))))
    slot = availability(WORLD, setting().moment, other, WEDNESDAY, dt.time(19), 2).slots[0]
    form = {"date": "2024-05-22", "party": 2, "slot": f"{slot.time:%H:%M} {slot.seating}", "change": 1}
    visitor.post(visitor.post(f"/r/{other.slug}/hold", **form).address, **DETAILS)
    assert [b.restaurant for b in visitor.database.booked()] == [elsewhere.slug, other.slug]


def test_a_reservation_is_cancelled_after_a_question(visitor_with_reservation):
    visitor = visitor_with_reservation
    assert "Cancel this reservation?" in visitor.get("/reservations/1/cancel").text
    assert len(visitor.database.booked()) == 1
    assert "cancelled" in visitor.post("/reservations/1/cancel").text
    assert visitor.database.booked() == ()
    assert visitor.get("/reservations/1/cancel").status == 404
    assert "This reservation is cancelled" in visitor.get("/reservations/1").text


def test_the_city_is_changed_and_one_that_is_none_is_not(visitor):
    assert "Book a table in Novigrad Bay" in visitor.post("/city", city="Novigrad Bay").text
    assert visitor.get("/search?q=vela").text.count("Osteria Vela") == 0
    assert "Book a table in Novigrad Bay" in visitor.post("/city", city="Atlantis").text


def test_each_page_shows_the_time_of_its_city(visitor):
    assert "Monday, May 20, 2024, 10:00 AM in Santa Marina" in visitor.get("/").text
    visitor.post("/city", city="Novigrad Bay")
    assert "Monday, May 20, 2024, 7:00 PM in Novigrad Bay" in visitor.get("/").text
    assert "10:00 AM in Santa Marina" in visitor.get("/r/osteria-vela").text


@pytest.mark.parametrize(
    "moment, day, tomorrow",
    [
        (dt.datetime(2024, 5, 22, 6, 59, tzinfo=dt.UTC), "Tuesday, May 21, 2024, 11:59 PM", "2024-05-22"),
        (dt.datetime(2024, 3, 10, 7, 59, tzinfo=dt.UTC), "Saturday, March 9, 2024, 11:59 PM", "2024-03-10"),
        (
            dt.datetime(2024, 11, 3, 6, 59, tzinfo=dt.UTC),
            "Saturday, November 2, 2024, 11:59 PM",
            "2024-11-03",
        ),
    ],
)
def test_a_minute_before_midnight_today_is_the_citys_and_the_booked_day_is_kept(moment, day, tomorrow):
    """On ordinary days, and on the eve of the days on which clocks are put forward and back."""
    visitor = Visitor(Database(SMALL, setting(moment=moment)))
    page = visitor.get("/r/osteria-vela")
    assert day in page.text and f"Date: {day.rpartition(',')[0]}" in page.text
    found = availability(SMALL, moment, VELA, dt.date.fromisoformat(tomorrow), dt.time(19), 2).slots[0]
    form = {"date": tomorrow, "party": 2, "slot": f"{found.time:%H:%M} {found.seating}"}
    visitor.post(visitor.post("/r/osteria-vela/hold", **form).address, **DETAILS)
    (booked,) = visitor.database.booked()
    assert (booked.day.isoformat(), booked.time) == (tomorrow, found.time)


def test_dialogs_cover_the_page_until_they_are_answered():
    visitor = Visitor(Database(SMALL, setting(cookie_banner=True, offer=True)))
    page = visitor.get("/r/osteria-vela")
    assert "<dialog open" in page.html and '<div class="page" inert>' in page.html
    page = visitor.post("/dialogs/cookies", back="/r/osteria-vela")
    assert page.address == "/r/osteria-vela" and "letter once a week" in page.text
    assert "<dialog" not in visitor.get("/").html
    assert visitor.post("/dialogs/offer", back="//evil.example").address == "/"
    assert "<dialog" not in visitor.get("/r/osteria-vela").html


def test_after_the_visit_nothing_changes_any_more(visitor_with_reservation):
    visitor = visitor_with_reservation
    assert visitor.post("/finish").text.endswith("Santa Marina") and visitor.database.session().finished
    before = visitor.database.digest()
    token = re.search(r'name="csrf" value="(\w+)"', visitor.get("/").html)[1]
    for address in ("/reservations/1/cancel", "/details/1", "/city"):
        visitor.send(address, {"csrf": token, "city": "Novigrad Bay", **DETAILS})
    assert visitor.get("/").address == "/finished" and visitor.database.digest() == before


@pytest.mark.parametrize(
    "address", ["/city", "/finish", "/details/1", "/reservations/1/cancel", "/dialogs/cookies"]
)
def test_a_form_without_cookie_or_token_is_refused(visitor_with_reservation, address):
    visitor = visitor_with_reservation
    token = re.search(r'name="csrf" value="(\w+)"', visitor.get("/").html)[1]
    before = visitor.database.digest()
    assert visitor.send(address, {"csrf": "wrong", **DETAILS}).status == 403
    visitor.cookie = "session=wrong"
    assert visitor.send(address, {"csrf": token, **DETAILS}).status == 403
    assert visitor.database.digest() == before


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::1]", ""])
def test_another_host_is_refused(visitor, host):
    assert visitor.ask("GET", "/", host=host).status == 400
    assert visitor.ask("GET", "/", host="127.0.0.1:8000").status == 200


@pytest.mark.parametrize(
    "address", ["/r/nowhere", "/r/../etc/passwd", "/details/99", "/details/-1", "/reservations/99999999999999999999", "/details/x"]
)  # fmt: skip
def test_an_address_of_nothing_is_a_page_that_says_so(visitor, address):
    answer = visitor.get(address)
    assert answer.status == 404 and "There is no such page" in answer.text


def test_odd_requests_are_refused(visitor):
    assert visitor.ask("POST", "/", b"").status == 405
    assert visitor.ask("DELETE", "/city").status == 405
    assert visitor.ask("POST", "/city", b"a=" + b"x" * 70_000).status == 413
    assert visitor.ask("POST", "/city", b"&".join(b"a%d=1" % i for i in range(60))).status == 400


def test_the_unseen_look_has_other_words_on_everything_that_can_be_pressed():
    seen, unseen = (
        {str(getattr(labels, field)) for field in labels.__struct_fields__} for labels in LABELS.values()
    )
    assert len(seen) == len(unseen) and not seen & unseen
    page = Visitor(Database(SMALL, setting(look=UNSEEN_LOOK))).get("/r/osteria-vela")
    assert "Check availability" in page.text and "Find a table" not in page.text


def test_strange_words_are_shown_and_obeyed_by_nothing(visitor):
    hold(visitor)
    strange = "Zoë <script>alert(1)</script> '; DROP TABLE reservation; -- 🛒"
    page = visitor.post("/details/1", **DETAILS | {"name": strange})
    assert strange in page.html.replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'")
    assert "<script" not in page.html
    assert visitor.database.booked()[0].guest.name == strange and visitor.database.booked()[0].guest != ANN
