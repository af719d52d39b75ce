"""The pages of the booking site as HTML: one template a page, in the look of the task, with a policy that lets nothing else in.

Pages work without JavaScript, and hide nothing but by attributes. Style sheets are part of each page.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from eefcore.envs.booking.clock import local_time, say_day, say_time
from eefcore.envs.booking.database import Database
from eefcore.envs.booking.looks import LABELS, Labels
from eefcore.envs.booking.records import Session

if TYPE_CHECKING:
    from starlette.responses import Response


class Pages:
    """The pages of the site as its one visitor sees them now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def labels(self) -> Labels:
        """The words on links, buttons and fields."""
        return LABELS[self._database.setting.look.labels]

    def render(
        self, name: str, session: Session, path: str, *, city: str = "", status: int = 200, **content: Any
    ) -> Response:
        """Return the page `name` (a template) with its content.

        Args:
            path: the address of the page, to which its dialogs lead back.
            city: the city whose time the page shows; that of the session if the page is about no other.
        """
        from starlette.responses import HTMLResponse

        world, setting = self._database.world, self._database.setting
        city = city or session.city
        style = _style(setting.look.theme)
        html = (
            _templates()
            .get_template(f"{name}.html")
            .render(
                session=session,
                labels=self.labels,
                theme=setting.look.theme,
                style=Markup(style),
                csrf=csrf_token(session),
                path=path,
                cities=world.cities,
                local_city=city,
                now=local_time(setting.moment, world.zones[city]),
                dialog=_dialog(name, session),
                **content,
            )
        )
        return HTMLResponse(html, status, headers=_headers(style))


def csrf_token(session: Session) -> str:
    """Return the hidden token that each form of a session carries and no other site knows."""
    return hashlib.sha256(f"form {session.token}".encode()).hexdigest()[:16]


def _dialog(name: str, session: Session) -> str:
    """Return the dialog that is open on a page: the cookie banner anywhere, the offer on a restaurant's page, or none."""
    if name == "message":
        return ""
    if session.cookies_open:
        return "cookies"
    return "offer" if session.offer_open and name == "restaurant" else ""


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("eefcore.envs.booking"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    templates.filters |= {
        "day": say_day,
        "time": say_time,
        "short": "{:%H:%M}".format,
        "pair": lambda text: (text, text),
        "moment": lambda time: (f"{time:%H:%M}", say_time(time)),
        "party": lambda n, labels: (n, f"{n} {labels.people[n > 1]}"),
    }
    return templates


@cache
def _style(theme: str) -> str:
    loader = _templates().loader
    assert loader is not None
    return "".join(loader.get_source(_templates(), name)[0] for name in (f"{theme}.css", "site.css"))


@cache
def _headers(style: str) -> dict[str, str]:
    """Return the headers of every page: no script, no frame, no address but this site's, and this one style sheet."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'self'; script-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    return {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
