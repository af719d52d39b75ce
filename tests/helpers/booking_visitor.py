"""A visitor of the booking site without a browser: asks the application by hand, keeps its cookie, follows redirects."""

from __future__ import annotations

import datetime as dt
import re
from typing import NamedTuple
from urllib.parse import urlencode

from eefcore.envs.booking.clock import at_minute
from eefcore.envs.booking.database import Database
from eefcore.envs.booking.looks import SEEN_LOOK
from eefcore.envs.booking.records import Booking, Guest, Setting
from eefcore.envs.booking.site import make_app
from eefcore.envs.booking.words import SEEN
from eefcore.envs.booking.world import City, Restaurant, World, make_world

MONDAY = dt.datetime(2024, 5, 20, 17, tzinfo=dt.UTC)
"""10 in the morning in Santa Marina, 7 in the evening in Novigrad Bay."""

ANN = Guest("Ann Bo", "202-555-0123", "ann@example.com")

WORLD = make_world(SEEN, cities=8, restaurants=12, seed=0)

VELA = Restaurant(
    slug="osteria-vela",
    name="Osteria Vela",
    city="Santa Marina",
    cuisine="Italian",
    district="Harbor District",
    price=3,
    stars=4.6,
    seatings=("Indoor", "Outdoor"),
    opens=dt.time(17),
    last=dt.time(21),
    closed_on=(0,),
)
SMALL = World(
    (City("Santa Marina", "America/Los_Angeles"), City("Novigrad Bay", "Europe/Berlin")), (VELA,), 7
)
"""A world of one restaurant."""


def setting(**changes) -> Setting:
    """Return a setting in Santa Marina on Monday morning."""
    return Setting(**{"moment": MONDAY, "city": "Santa Marina", "look": SEEN_LOOK} | changes)


def booking(**changes) -> Booking:
    """Return a booking of Ann's at Osteria Vela."""
    of = {
        "restaurant": "osteria-vela",
        "day": dt.date(2024, 5, 22),
        "time": at_minute(19 * 60),
        "party": 4,
        "seating": "Indoor",
        "guest": ANN,
    }
    return Booking(**of | changes)


class Answer(NamedTuple):
    """What the site answered last, and where."""

    address: str
    status: int
    headers: list[tuple[str, str]]
    html: str

    @property
    def text(self) -> str:
        """The words of the page."""
        body = re.sub(r"(?s)<style>.*?</style>", "", self.html)
        return " ".join(re.sub(r"<[^>]*>", " ", body).split())


class Visitor:
    """One visitor of a site."""

    def __init__(self, database: Database | None = None) -> None:
        self.database = database or Database(SMALL, setting())
        self.app = make_app(self.database)
        self.cookie = ""

    def get(self, address: str, **headers: str) -> Answer:
        """Ask for a page, follow redirects, and return the page."""
        return self._followed(self.ask("GET", address, **headers))

    def post(self, address: str, **fields: object) -> Answer:
        """Send a form with the token that the site gave, follow the redirect, and return the page."""
        token = re.search(r'name="csrf" value="(\w+)"', self.get("/reservations").html)
        return self._followed(self.send(address, {"csrf": token[1] if token else ""} | fields))

    def send(self, address: str, fields: dict[str, object]) -> Answer:
        """Send a form as it is, and return the answer."""
        return self.ask("POST", address, urlencode(fields).encode())

    def ask(self, method: str, address: str, body: bytes = b"", **headers: str) -> Answer:
        """Return the answer to one request; it fails if the site waits for anything."""
        path, _, query = address.partition("?")
        given = {"host": "127.0.0.1", "cookie": self.cookie} | headers
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(k.encode(), v.encode()) for k, v in given.items() if v],
            "scheme": "http",
            "server": ("127.0.0.1", 80),
        }
        sent: list[dict] = []

        async def receive():
            return {"type": "http.request", "body": body}

        async def send(message):
            sent.append(message)

        call = self.app(scope, receive, send)
        try:
            call.send(None)
        except StopIteration:
            pass
        else:
            raise AssertionError(f"{method} {address} waits for something")
        headers_back = [(k.decode(), v.decode()) for k, v in sent[0]["headers"]]
        self.cookie = next((v.partition(";")[0] for k, v in headers_back if k == "set-cookie"), self.cookie)
        html = b"".join(m.get("body", b"") for m in sent[1:]).decode()
        return Answer(address, sent[0]["status"], headers_back, html)

    def _followed(self, answer: Answer) -> Answer:
        while answer.status == 303:
            answer = self.ask("GET", dict(answer.headers)["location"])
        return answer
