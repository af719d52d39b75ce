"""The rows of one visit to the booking site, in an SQLite database in memory that can be copied, restored and hashed.

There is one database for each episode, and one visitor in it. Everything that a request can change is a row here: the
session with its draft, slots on hold, and reservations. The world (`envs.booking.world`) is read beside it and never changes.
"""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Any, TypeVar

import msgspec

from eefcore.envs.booking.records import Booking, Draft, Guest, Hold, Reservation, Session, Setting
from eefcore.envs.booking.world import World

_SCHEMA = """
PRAGMA page_size = 1024;
CREATE TABLE session (
    token TEXT NOT NULL, city TEXT NOT NULL, cookies_open INTEGER NOT NULL, offer_open INTEGER NOT NULL,
    finished INTEGER NOT NULL, draft TEXT
) STRICT;
CREATE TABLE hold (
    id INTEGER PRIMARY KEY, restaurant TEXT NOT NULL, day TEXT NOT NULL, time TEXT NOT NULL,
    party INTEGER NOT NULL, seating TEXT NOT NULL, changes INTEGER REFERENCES reservation (id)
) STRICT;
CREATE TABLE reservation (
    id INTEGER PRIMARY KEY, restaurant TEXT NOT NULL, day TEXT NOT NULL, time TEXT NOT NULL,
    party INTEGER NOT NULL, seating TEXT NOT NULL, name TEXT NOT NULL, phone TEXT NOT NULL, email TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('booked', 'cancelled')), hold INTEGER REFERENCES hold (id)
) STRICT;
"""
_TABLES = ("session", "hold", "reservation")

Row = TypeVar("Row", bound=msgspec.Struct)


def _empty() -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.executescript(_SCHEMA)
    image = connection.serialize()
    connection.close()
    return image


_EMPTY = _empty()


class Database:
    """The site as one visitor has it: the world, the setting of the task, and the rows of the visit.

    `snapshot` and `restore` copy the rows, a few kilobytes; they cost the same after any number of requests.
    """

    def __init__(self, world: World, setting: Setting) -> None:
        self._sql = _opened(_EMPTY)
        self.start(world, setting)

    def start(self, world: World, setting: Setting) -> None:
        """Forget the visit, and begin another one in `world` as `setting` says."""
        self.world, self.setting = world, setting
        with self._sql:  # a new connection would read the schema again, which takes longer than all else here
            for table in _TABLES:
                self._sql.execute(f"DELETE FROM {table}")
        token = hashlib.sha256(b"booking session" + msgspec.json.encode(setting)).hexdigest()[:32]
        self._add("session", Session(token, setting.city, setting.cookie_banner, setting.offer))
        for booking in setting.reservations:
            self._add("reservation", booking, id=None, status="booked")

    # The session ------------------------------------------------------------------------------------------

    def session(self) -> Session:
        """Return what the site remembers of its visitor."""
        row = dict(self._query("SELECT * FROM session")[0])
        draft = msgspec.json.decode(row.pop("draft") or "null", type=Draft | None)
        return msgspec.convert(row | {"draft": draft}, Session, strict=False)

    def remember(self, session: Session) -> None:
        """Replace what the site remembers of its visitor."""
        with self._sql:
            self._sql.execute("DELETE FROM session")
            self._add("session", session)

    # Holds and reservations -------------------------------------------------------------------------------

    def hold(self, id: int) -> Hold | None:
        """Return the hold of that number."""
        rows = self._query("SELECT * FROM hold WHERE id = ?", id)
        return msgspec.convert(dict(rows[0]), Hold, strict=False) if rows else None

    def add_hold(self, hold: Hold) -> int:
        """Keep a slot, and return the number of its hold; the same slot is kept once. `hold.id` is not read."""
        wanted = msgspec.structs.replace(hold, id=0)
        for row in self._query("SELECT * FROM hold"):
            kept = msgspec.convert(dict(row), Hold, strict=False)
            if msgspec.structs.replace(kept, id=0) == wanted and self.committed(kept.id) is None:
                return kept.id
        return self._add("hold", hold, id=None)

    def reservations(self) -> tuple[Reservation, ...]:
        """Return all reservations of the visitor, cancelled ones included, by number."""
        return tuple(map(_reservation, self._query("SELECT * FROM reservation ORDER BY id")))

    def reservation(self, id: int) -> Reservation | None:
        """Return the reservation of that number."""
        return next((r for r in self.reservations() if r.id == id), None)

    def booked(self) -> tuple[Booking, ...]:
        """Return the bookings that stand: those of all reservations that are not cancelled."""
        return tuple(r.booking for r in self.reservations() if r.status == "booked")

    def committed(self, hold: int) -> int | None:
        """Return the number of the reservation that a hold has become; None if it has not."""
        rows = self._query("SELECT id FROM reservation WHERE hold = ?", hold)
        return rows[0]["id"] if rows else None

    def commit(self, hold: Hold, guest: Guest) -> int:
        """Reserve the slot of a hold for a guest, and return the number of the reservation.

        A hold that has become a reservation stays that reservation. One that replaces a reservation changes it in place.
        """
        if (done := self.committed(hold.id)) is not None:
            return done
        booking = hold.booking(guest)
        with self._sql:
            if hold.changes is None:
                return self._add("reservation", booking, id=None, status="booked", hold=hold.id)
            columns = _columns(booking) | {"hold": hold.id}
            self._sql.execute(
                f"UPDATE reservation SET {', '.join(f'{c} = :{c}' for c in columns)} WHERE id = :id",
                columns | {"id": hold.changes},
            )
            return hold.changes

    def cancel(self, id: int) -> None:
        """Cancel the reservation of that number."""
        with self._sql:
            self._sql.execute("UPDATE reservation SET status = 'cancelled' WHERE id = ?", (id,))

    # The whole --------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Return a copy of all rows."""
        return self._sql.serialize()

    def restore(self, snapshot: bytes) -> None:
        """Return to the rows of a snapshot."""
        self._sql.close()
        self._sql = _opened(snapshot)

    def digest(self) -> str:
        """Return a hash of all rows: equal for two visits that did the same, in any process and with any driver."""
        rows = [[tuple(row) for row in self._query(f"SELECT * FROM {table}")] for table in _TABLES]
        return hashlib.sha256(msgspec.json.encode(rows)).hexdigest()

    def _query(self, sql: str, *values: object) -> list[sqlite3.Row]:
        return self._sql.execute(sql, values).fetchall()

    def _add(self, table: str, record: msgspec.Struct, **more: object) -> int:
        """Add a row, and return its number."""
        columns = _columns(record) | more
        names, marks = ", ".join(columns), ", ".join(f":{c}" for c in columns)
        with self._sql:
            cursor = self._sql.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", columns)
        assert cursor.lastrowid is not None
        return cursor.lastrowid


def _opened(image: bytes) -> sqlite3.Connection:
    """Return a new connection on a copy of a database.

    A connection takes one image in its life: SQLite crashes when a statement of before is used after another image was put in
    its place, and Python keeps statements.
    """
    # A server may answer in another thread than the one that grades; requests never overlap.
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.deserialize(image)
    return connection


def _columns(record: msgspec.Struct) -> dict[str, Any]:
    """Return the values of a record by column: days and times in ISO form, a guest as three columns, a draft as JSON."""
    values = msgspec.to_builtins(record)
    if isinstance(record, Session):
        values["draft"] = msgspec.json.encode(record.draft).decode() if record.draft else None
    return values | values.pop("guest", {})


def _reservation(row: sqlite3.Row) -> Reservation:
    guest = Guest(row["name"], row["phone"], row["email"])
    booking = msgspec.convert(dict(row) | {"guest": guest}, Booking, strict=False)
    return Reservation(row["id"], booking, row["status"])
