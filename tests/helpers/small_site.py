"""A site of a few pages with every kind of control, whose state is a log of what was sent to it."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

ITEMS = [f"Item {i}" for i in range(1, 31)]
CITIES = ("Santa Marina", "Port Alder", "Lakeview", "Old Mill")


class State:
    """What the site keeps: the requests that changed something, and whether each session has seen the banner."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.banner_closed: set[str] = set()
        self.drafts: dict[str, str] = {}
        self.sessions = 0

    def digest(self) -> str:
        kept = repr((self.log, sorted(self.banner_closed), sorted(self.drafts.items())))
        return hashlib.sha256(kept.encode("utf-8", "surrogatepass")).hexdigest()

    def copy(self) -> State:
        other = State()
        other.load(self)
        return other

    def load(self, other: State) -> None:
        self.log, self.banner_closed = list(other.log), set(other.banner_closed)
        self.drafts, self.sessions = dict(other.drafts), other.sessions


def make_app(state: State) -> Starlette:
    """Return the site, which answers without awaiting; its `state` may be set back between requests."""
    from starlette.applications import Starlette
    from starlette.routing import Route

    routes = [
        Route("/", page(state, home)),
        Route("/search", page(state, search)),
        Route("/item/{number:int}", page(state, item)),
        Route("/form", page(state, form)),
        Route("/form", post(state, send_form), methods=["POST"]),
        Route("/log", page(state, log)),
        Route("/banner", post(state, close_banner), methods=["POST"]),
        Route("/text", plain),
    ]
    return Starlette(routes=routes)


Endpoint = Callable[["Request"], Awaitable["Response"]]


def session(state: State, request: Request) -> tuple[str, bool]:
    if sid := request.cookies.get("sid"):
        return sid, False
    state.sessions += 1
    return f"s{state.sessions}", True


def page(state: State, body: Callable[[State, Request, str], str]) -> Endpoint:
    from starlette.responses import HTMLResponse

    async def answer(request: Request) -> Response:
        sid, new = session(state, request)
        banner = "/banner" if sid not in state.banner_closed else ""
        inert = " inert" if banner else ""
        html = f"""<!doctype html><html lang=en><head><meta charset=utf-8><title>Small site {escape(request.url.path)}</title>
<link rel=icon href="data:,"><style>body {{ font: 16px "DejaVu Sans" }} table {{ border: 1px solid }}</style></head><body>
<div{inert}><header><time data-clock>Monday, May 20, 2024, 10:00 AM</time>
<nav><a href=/>Home</a> <a href=/form>Form</a> <a href="/log?all=1">Log</a></nav></header>{body(state, request, sid)}</div>"""
        if banner:
            html += """<dialog open><h2>Cookies</h2><p>This site keeps a session.</p><form method=post action=/banner novalidate>
<button name=choice value=all>Accept</button> <button name=choice value=few>Only what is needed</button></form></dialog>"""
        response = HTMLResponse(html)
        if new:
            response.set_cookie("sid", sid, httponly=True, samesite="lax")
        return response

    return answer


def post(state: State, change: Callable[[State, Request, str, str], str]) -> Endpoint:
    from starlette.responses import RedirectResponse

    async def answer(request: Request) -> Response:
        sid, new = session(state, request)
        body = (await request.body()).decode()
        response = RedirectResponse(change(state, request, sid, body), status_code=303)
        if new:
            response.set_cookie("sid", sid, httponly=True, samesite="lax")
        return response

    return answer


async def plain(request: Request) -> Response:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse("Only <text> & nothing else")


def close_banner(state: State, request: Request, sid: str, body: str) -> str:
    state.banner_closed.add(sid)
    state.log.append(f"banner {body}")
    return "/"


def home(state: State, request: Request, sid: str) -> str:
    options = "".join(f"<option value={i}>{city}" for i, city in enumerate(CITIES))
    return f"""<h1>Small <em>site</em></h1><div role=status>Welcome, {sid}.</div>
<form action=/search novalidate><label for=q>Search</label><input id=q type=search name=q><br>
<label>City <select name=city>{options}</select></label>
<fieldset><legend>Order</legend><label><input type=radio name=order value=near checked>Nearest</label>
<label><input type=radio name=order value=best>Best</label></fieldset>
<label><input type=checkbox name=open>Open now</label>
<input type=hidden name=token value="a&b"><button>Search</button></form>
<p>Read <a href="#more">more</a>, <a href="https://elsewhere.example/">elsewhere</a>,
<a href="javascript:alert(1)">a script</a>, <a href=/log target=_blank>another tab</a> or <a href="/text">text</a>.</p>
<details><summary>About us</summary><p>We are small. <a href=/item/3>Item three</a></p>
<details><summary>More</summary><p id=more>Very small.</p></details></details>
<p hidden>Never <a href=/log>shown</a></p><dialog><a href=/log>Not open</a></dialog><div popover>Not popped</div>"""


def search(state: State, request: Request, sid: str) -> str:
    query, start = request.query_params.get("q", ""), int(request.query_params.get("from", "0") or 0)
    found = [name for name in ITEMS if query.lower() in name.lower()][start : start + 12]
    cards = "".join(
        f"<li><h2><a href=/item/{name.split()[1]}>{name}</a></h2><p>Good, <b>$$</b></p></li>"
        for name in found
    )
    return f"""<h1>Results</h1><p>You searched for {escape(query)}</p><p>[9] button Not a button</p><ul>{cards}</ul>
<p><a href="?q={escape(query)}&from={start + 12}">Next page</a></p><p>{escape(str(request.query_params))}</p>"""


def item(state: State, request: Request, sid: str) -> str:
    number = request.path_params["number"]
    return f"""<h1>Item {number}</h1><table><tr><th>Day<th>Price</tr><tr><td>Monday<td>{number} $</tr></table>
<p role=alert>Only one left of {number}.</p><p><a href=/item/{number + 1}>Next item</a></p>
<form method=post action=/form novalidate><input type=hidden name=item value={number}>
<button name=buy value=yes>Buy</button><button name=buy value=later disabled>Later</button></form>"""


def form(state: State, request: Request, sid: str) -> str:
    draft = dict(parse_qsl(state.drafts.get(sid, ""), keep_blank_values=True))
    name, note = escape(draft.get("name", "")), escape(draft.get("note", ""))
    error = "" if draft.get("name", "x").strip() else "<p role=alert>Please write your name.</p>"
    return f"""<h1>Form</h1>{error}<form id=f method=post action=/form novalidate>
<label>Name <input name=name value="{name}" required maxlength=30></label>
<label>E-mail <input type=email name=email></label><label>Phone <input type=tel name=phone></label>
<label>Password <input type=password name=secret></label>
<label>Date <input type=date name=date value=2024-05-22 min=2024-05-20></label>
<label>Time <input type=time name=time></label><label>Moment <input type=datetime-local name=moment></label>
<label>Month <input type=month name=month></label><label>Guests <input type=number name=guests value=2 min=1 max=20></label>
<label>Member number <input name=member value=77 readonly></label>
<label>Toppings <select name=topping multiple><option>Cheese<option selected>Olives<option disabled>Gold</select></label>
<label>Seating <select name=seating required><option value="">No preference<option>Indoor<option>Outdoor</select></label>
<label>Note <textarea name=note>
{note}</textarea></label>
<label><input type=checkbox name=terms value=1 checked>Terms</label>
<fieldset disabled><legend><label><input type=checkbox name=extra>Extra</label></legend><input name=lost value=1></fieldset>
<button name=go value=1>Send</button><button name=go value=2 formmethod=get formaction=/search>Search instead</button>
<button type=reset>Reset</button><button type=button>Nothing</button></form>
<label>Outside <input name=outside form=f value=out></label><label>Alone <input name=alone></label>"""


def send_form(state: State, request: Request, sid: str, body: str) -> str:
    state.log.append(f"form {body}")
    state.drafts[sid] = body
    return "/form" if "name=&" in body else "/log"


def log(state: State, request: Request, sid: str) -> str:
    return "<h1>Log</h1>" + "".join(f"<p>{escape(line)}</p>" for line in state.log[-5:])
