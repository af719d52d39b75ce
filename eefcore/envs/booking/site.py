"""The booking site as an ASGI application: what each address shows, and what each form does.

    GET  /                          search for a restaurant
    GET  /search                    results
    GET  /r/SLUG                    a restaurant and its tables
    GET  /r/SLUG/calendar           the days of a month
    POST /r/SLUG/hold               keep a table
    GET  /details/HOLD              the details form
    POST /details/HOLD              reserve the table, or change a reservation
    GET  /reservations              the visitor's reservations
    GET  /reservations/ID           one of them: the confirmation
    GET  /reservations/ID/cancel    are you sure?
    POST /reservations/ID/cancel    cancel it
    POST /city                      look in another city
    POST /dialogs/NAME              answer the cookie banner or the offer
    POST /finish                    end the visit
    GET  /finished                  the visit is over

A GET changes nothing, and a POST redirects to a GET. What was typed and refused stays in the session, so that each page can be
loaded again. No handler waits for anything, so a driver may run it by hand, without an event loop.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec

from eefcore.envs.booking.clock import at_minute, minutes
from eefcore.envs.booking.database import Database
from eefcore.envs.booking.details import LONGEST, guest_errors, read_guest
from eefcore.envs.booking.pages import Pages, csrf_token
from eefcore.envs.booking.queries import SORTS, SearchQuery, TableQuery, local_path
from eefcore.envs.booking.records import Booking, Draft, Guest, Hold, Reservation
from eefcore.envs.booking.search import search
from eefcore.envs.booking.tables import (
    DAYS_AHEAD,
    LARGEST_PARTY,
    TIMES,
    Availability,
    availability,
    can_be_booked,
    today,
)
from eefcore.envs.booking.words import CUISINES
from eefcore.envs.booking.world import Restaurant, Slot

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

HOSTS = ("127.0.0.1", "localhost")
"""The only hosts under which the site answers."""

COOKIE = "session"

COMMITTING = re.compile(r"/details/\d+|/reservations/\d+/cancel")
"""The addresses to which forms are sent that reserve, change or cancel: outside of a simulation nobody can undo them."""

SHOWN_SLOTS = 6
"""How many of the nearest tables a restaurant's page shows."""

FAVORITES = 3
"""How many restaurants with the most stars the home page names."""

DINNER = dt.time(19)
"""The time that is searched for if nobody chooses one."""

_LARGEST_BODY = 64 * 1024  # bytes of a form

Fields = Mapping[str, str]


def make_app(database: Database) -> Starlette:
    """Return the site on a database; when the database is started anew or restored, the next request shows it."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    site = _Site(database)
    return Starlette(
        routes=site.routes(),
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False)],
        exception_handlers=dict.fromkeys((400, 403, 404, 405, 413), site.refuse),
    )


class _Site:
    """The handlers of one site: those of a GET return a page, those of a POST the path to go on to."""

    def __init__(self, database: Database) -> None:
        self.database, self.pages = database, Pages(database)

    def routes(self) -> list[Route]:
        return [
            self._get("/", self.home),
            self._get("/search", self.results),
            self._get("/r/{slug}", self.restaurant),
            self._get("/r/{slug}/calendar", self.calendar),
            self._post("/r/{slug}/hold", self.keep_table),
            self._get("/details/{id:int}", self.details),
            self._post("/details/{id:int}", self.reserve),
            self._get("/reservations", self.reservations),
            self._get("/reservations/{id:int}", self.confirmation),
            self._get("/reservations/{id:int}/cancel", self.ask_to_cancel),
            self._post("/reservations/{id:int}/cancel", self.cancel),
            self._post("/city", self.change_city),
            self._post("/dialogs/{name}", self.answer_dialog),
            self._post("/finish", self.finish),
            self._get("/finished", self.finished),
        ]

    # Restaurants ------------------------------------------------------------------------------------------

    def home(self, request: Request) -> Response:
        city = self.database.session().city
        return self._page(request, "home", favorites=self.database.world.in_city(city)[:FAVORITES])

    def results(self, request: Request) -> Response:
        query = SearchQuery.read(request.query_params)
        city = self.database.session().city
        return self._page(
            request,
            "results",
            query=query,
            results=search(self.database.world, city, query),
            cuisines=sorted(CUISINES),
            districts=sorted({r.district for r in self.database.world.in_city(city)}),
            sorts=SORTS,
        )

    def restaurant(self, request: Request) -> Response:
        restaurant = self._restaurant(request)
        query = self._table_query(request.query_params, restaurant)
        found = self._availability(restaurant, query)
        return self._page(
            request,
            "restaurant",
            city=restaurant.city,
            restaurant=restaurant,
            query=query,
            changed=self._changed(query, restaurant),
            slots=found.slots[:SHOWN_SLOTS],
            reason=found.reason,
            days_ahead=DAYS_AHEAD,
            earlier=self._other_day(restaurant, query, -1),
            later=self._other_day(restaurant, query, 1),
            parties=range(1, LARGEST_PARTY + 1),
            times=TIMES,
            chosen_time=query.time or DINNER,
            closes=at_minute(minutes(restaurant.last) + 90),
        )

    def calendar(self, request: Request) -> Response:
        restaurant = self._restaurant(request)
        query = self._table_query(request.query_params, restaurant)
        first = query.day.replace(day=1)
        before, after = first - dt.timedelta(1), (first + dt.timedelta(32)).replace(day=1)
        days = [first + dt.timedelta(i) for i in range((after - first).days)]
        return self._page(
            request,
            "calendar",
            city=restaurant.city,
            restaurant=restaurant,
            query=query,
            first=first,
            days=[day for day in days if self._bookable(restaurant, day)],
            closed=restaurant.closed_on,
            before=before if self._bookable(restaurant, before) else None,
            after=after if self._bookable(restaurant, after) else None,
        )

    def keep_table(self, request: Request, fields: Fields) -> str:
        restaurant = self._restaurant(request)
        query = self._table_query(fields, restaurant)
        wanted = query.at_slot(fields.get("slot", ""))
        slots = self._availability(restaurant, wanted).slots
        if wanted.time is None or Slot(wanted.time, wanted.seating) not in slots:
            return query.path(restaurant.slug)
        hold = Hold(
            id=0,
            restaurant=restaurant.slug,
            day=wanted.day,
            time=wanted.time,
            party=wanted.party,
            seating=wanted.seating,
            changes=wanted.changes,
        )
        return f"/details/{self.database.add_hold(hold)}"

    # Reservations -----------------------------------------------------------------------------------------

    def details(self, request: Request) -> Response:
        hold = self._hold(request)
        draft = self.database.session().draft
        changed = self.database.reservation(hold.changes) if hold.changes else None
        blank = Draft(hold.id, changed.booking.guest if changed else Guest("", "", ""), {})
        restaurant = self.database.world.by_slug[hold.restaurant]
        return self._page(
            request,
            "details",
            city=restaurant.city,
            restaurant=restaurant,
            hold=hold,
            draft=draft if draft and draft.hold == hold.id else blank,
            longest=LONGEST,
            back=_path_to(hold, hold.changes),
        )

    def reserve(self, request: Request, fields: Fields) -> str:
        hold, guest = self._hold(request), read_guest(fields)
        if (done := self.database.committed(hold.id)) is not None:
            return f"/reservations/{done}"
        if errors := guest_errors(guest):
            self._remember(draft=Draft(hold.id, guest, errors))
            return f"/details/{hold.id}"
        self._remember(draft=None)
        return f"/reservations/{self.database.commit(hold, guest)}"

    def reservations(self, request: Request) -> Response:
        return self._page(
            request,
            "reservations",
            reservations=self.database.reservations(),
            by_slug=self.database.world.by_slug,
            change_path=_change_path,
        )

    def confirmation(self, request: Request) -> Response:
        return self._about(request, "confirmation", self._reservation(request))

    def ask_to_cancel(self, request: Request) -> Response:
        return self._about(request, "cancel", self._standing(request))

    def cancel(self, request: Request, fields: Fields) -> str:
        self.database.cancel(self._reservation(request).id)
        return "/reservations"

    # The session ------------------------------------------------------------------------------------------

    def change_city(self, request: Request, fields: Fields) -> str:
        if fields.get("city") in self.database.world.zones:
            self._remember(city=fields["city"])
        return "/"

    def answer_dialog(self, request: Request, fields: Fields) -> str:
        match request.path_params["name"]:
            case "cookies":
                self._remember(cookies_open=False)
            case "offer":
                self._remember(offer_open=False)
        return local_path(fields.get("back", ""))

    def finish(self, request: Request, fields: Fields) -> str:
        self._remember(finished=True)
        return "/finished"

    def finished(self, request: Request) -> Response:
        if self.database.session().finished:
            return self._message(request, "The visit is over", "Thank you, and enjoy your meal.")
        return self._message(request, "The visit goes on", "It ends with the button above.")

    async def refuse(self, request: Request, error: Exception) -> Response:
        """Return the page for a request that can't be answered."""
        from starlette.exceptions import HTTPException

        assert isinstance(error, HTTPException)
        titles = {404: "There is no such page", 403: "This form is out of date"}
        title = titles.get(error.status_code, "This request can't be answered")
        return self._message(request, title, "Please go on from the home page.", error.status_code)

    # What handlers share ----------------------------------------------------------------------------------

    def _get(self, path: str, show: Callable[[Request], Response]) -> Route:
        from starlette.responses import RedirectResponse
        from starlette.routing import Route

        async def answer(request: Request) -> Response:
            session = self.database.session()
            over = session.finished and path != "/finished"
            response = RedirectResponse("/finished", 303) if over else show(request)
            if request.cookies.get(COOKIE) != session.token:
                response.set_cookie(COOKIE, session.token, httponly=True, samesite="strict")
            return response

        return Route(path, answer, methods=["GET"])

    def _post(self, path: str, act: Callable[[Request, Fields], str]) -> Route:
        from starlette.exceptions import HTTPException
        from starlette.responses import RedirectResponse
        from starlette.routing import Route

        async def answer(request: Request) -> Response:
            fields = _read_form(await request.body())
            session = self.database.session()
            known = request.cookies.get(COOKIE) == session.token
            if not known or fields.get("csrf") != csrf_token(session):
                raise HTTPException(403)
            return RedirectResponse("/finished" if session.finished else act(request, fields), 303)

        return Route(path, answer, methods=["POST"])

    def _page(self, request: Request, name: str, *, status: int = 200, **content: Any) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        path = request.url.path + query
        return self.pages.render(name, self.database.session(), path, status=status, **content)

    def _message(self, request: Request, title: str, text: str, status: int = 200) -> Response:
        return self._page(request, "message", status=status, title=title, text=text)

    def _about(self, request: Request, name: str, reservation: Reservation) -> Response:
        """Return a page about one reservation."""
        restaurant = self.database.world.by_slug[reservation.booking.restaurant]
        return self._page(request, name, city=restaurant.city, restaurant=restaurant, reservation=reservation)

    def _remember(self, **changes: Any) -> None:
        self.database.remember(msgspec.structs.replace(self.database.session(), **changes))

    def _restaurant(self, request: Request) -> Restaurant:
        return _found(self.database.world.by_slug.get(request.path_params["slug"]))

    def _hold(self, request: Request) -> Hold:
        return _found(self.database.hold(_number(request)))

    def _reservation(self, request: Request) -> Reservation:
        return _found(self.database.reservation(_number(request)))

    def _standing(self, request: Request) -> Reservation:
        """Return the reservation of an address if it is not cancelled."""
        reservation = self._reservation(request)
        return _found(reservation if reservation.status == "booked" else None)

    def _table_query(self, given: Mapping[str, str], restaurant: Restaurant) -> TableQuery:
        """Return the table that is asked for; a change of a reservation that is not this restaurant's is forgotten."""
        world, moment = self.database.world, self.database.setting.moment
        query = TableQuery.read(given, today(world, moment, restaurant.city))
        if query.changes and self._changed(query, restaurant) is None:
            return msgspec.structs.replace(query, changes=None)
        return query

    def _changed(self, query: TableQuery, restaurant: Restaurant) -> Reservation | None:
        """Return the reservation that a query is to change."""
        reservation = self.database.reservation(query.changes) if query.changes else None
        if reservation is None or reservation.status != "booked":
            return None
        return reservation if reservation.booking.restaurant == restaurant.slug else None

    def _bookable(self, restaurant: Restaurant, day: dt.date) -> bool:
        return can_be_booked(self.database.world, self.database.setting.moment, restaurant, day)

    def _other_day(self, restaurant: Restaurant, query: TableQuery, step: int) -> str:
        """Return the address of the same query on another day; empty if that day can't be booked."""
        day = query.day + dt.timedelta(step)
        return query.path(restaurant.slug, day=day) if self._bookable(restaurant, day) else ""

    def _availability(self, restaurant: Restaurant, query: TableQuery) -> Availability:
        if query.time is None:
            return Availability(())
        world, moment = self.database.world, self.database.setting.moment
        return availability(world, moment, restaurant, query.day, query.time, query.party, query.seating)


def _path_to(table: Hold | Booking, changes: int | None) -> str:
    """Return the address of the restaurant's page that asks for a table, to change the reservation of that number."""
    query = TableQuery(
        day=table.day, time=table.time, party=table.party, seating=table.seating, changes=changes
    )
    return query.path(table.restaurant)


def _change_path(reservation: Reservation) -> str:
    return _path_to(reservation.booking, reservation.id)


def _found(thing: Any) -> Any:
    """Return what an address names; the page of a wrong address if there is no such thing."""
    from starlette.exceptions import HTTPException

    if thing is None:
        raise HTTPException(404)
    return thing


def _number(request: Request) -> int:
    """Return the number in an address; 0, which nothing has, for one that no row can have."""
    number = request.path_params["id"]
    return number if number < 2**31 else 0


def _read_form(body: bytes) -> Fields:
    """Return the fields of a form that was sent in the usual encoding."""
    from starlette.exceptions import HTTPException

    if len(body) > _LARGEST_BODY:
        raise HTTPException(413)
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=50))
    except ValueError:
        raise HTTPException(400) from None
