"""The rows of a visit: typed, restored, hashed, and committed once."""

import datetime as dt

import msgspec
import pytest
from helpers.booking_visitor import ANN, SMALL, booking, setting

from eefcore.envs.booking.database import Database
from eefcore.envs.booking.records import Draft, Guest, Hold


@pytest.fixture
def database():
    return Database(SMALL, setting(reservations=(booking(),)))


def hold(**changes):
    of = {"id": 0, "restaurant": "osteria-vela", "day": dt.date(2024, 5, 23), "time": dt.time(18, 15)}
    return Hold(**of | {"party": 2, "seating": "Outdoor"} | changes)


def test_rows_come_back_as_they_were_written(database):
    (before,) = database.reservations()
    assert (before.booking, before.status) == (booking(), "booked")
    number = database.add_hold(hold())
    assert database.hold(number) == hold(id=number)
    strange = Guest("Zoë 'O' <b>\x00", "ü", "\u2028🛒")
    draft = Draft(number, strange, {"name": "no"})
    database.remember(msgspec.structs.replace(database.session(), draft=draft, city="Novigrad Bay"))
    assert database.session().draft == draft and database.session().city == "Novigrad Bay"


def test_a_hold_commits_once(database):
    kept = database.hold(database.add_hold(hold()))
    first = database.commit(kept, ANN)
    assert database.commit(kept, Guest("Someone else", "1", "x@y.z")) == first
    assert database.booked() == (booking(), kept.booking(ANN))


def test_an_equal_slot_is_held_once_until_it_is_committed(database):
    number = database.add_hold(hold())
    assert database.add_hold(hold()) == number
    database.commit(database.hold(number), ANN)
    assert database.add_hold(hold()) != number


def test_a_change_takes_the_place_of_the_reservation(database):
    kept = database.hold(database.add_hold(hold(changes=1)))
    assert database.commit(kept, ANN) == 1
    assert [r.id for r in database.reservations()] == [1]
    assert database.booked() == (kept.booking(ANN),)


def test_a_cancelled_reservation_is_not_booked(database):
    database.cancel(1)
    assert database.booked() == () and database.reservation(1).status == "cancelled"


def test_restore_brings_back_every_row_and_another_visit_does_not_matter(database):
    before, digest = database.snapshot(), database.digest()
    database.commit(database.hold(database.add_hold(hold())), ANN)
    after, other = database.snapshot(), database.digest()
    assert digest != other
    for image, expected in ((before, digest), (after, other), (before, digest)):
        database.restore(image)
        assert database.digest() == expected
    elsewhere = Database(SMALL, setting())
    elsewhere.restore(after)
    assert elsewhere.digest() == other


def test_equal_visits_have_equal_digests(database):
    other = Database(SMALL, setting())
    other.cancel(1)  # nothing is there
    other.start(SMALL, setting(reservations=(booking(),)))
    assert other.digest() == database.digest()
    assert Database(SMALL, setting(reservations=(booking(party=3),))).digest() != database.digest()


def test_the_cookie_is_of_the_setting_alone():
    tokens = {
        Database(SMALL, setting(city=city)).session().token for city in ("Santa Marina", "Novigrad Bay")
    }
    assert len(tokens) == 2 and all(len(token) == 32 for token in tokens)


def test_thousands_of_restores_and_writes_leave_the_rows_whole():
    """SQLite 3.40 crashes when a connection takes another image while Python keeps a statement of the one before."""
    database = Database(SMALL, setting())
    images = [database.snapshot()]
    for i in range(3000):
        database.restore(images[i % len(images)])
        kept = database.hold(database.add_hold(hold(party=i % 8 + 1)))
        database.commit(kept, Guest("Ann " * (i % 30), "1", "a@b.c"))
        database.remember(msgspec.structs.replace(database.session(), city=f"City {i}"))
        if i % 100 == 0:
            images.append(database.snapshot())
    for image in images:
        database.restore(image)
        assert all(r.status == "booked" for r in database.reservations())
