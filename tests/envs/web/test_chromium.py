from __future__ import annotations

import asyncio
import gc
import os
import re
import socket
import subprocess
import sys
from datetime import datetime

import psutil
import pytest
from helpers.generated_forms import OneDocument
from helpers.small_site import State, make_app

from eefcore.envs.web import chromium
from eefcore.envs.web.browsing import Browsing
from eefcore.envs.web.driver import Visit
from eefcore.envs.web.loopback import KEY
from eefcore.envs.web.tab import Tab
from eefcore.errors import BrowserError, ReplayMismatch

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def html_tab(open_tab, html: str, **more) -> Tab:
    """A tab that shows a document."""
    app = OneDocument()
    app.html = f"<!doctype html><link rel=icon href='data:,'>{html}"
    tab = open_tab(app, **more)
    tab.open("/?document")
    return tab


def chromiums() -> set[int]:
    """The processes of Chromium that this process started."""
    family = psutil.Process().children(recursive=True)
    return {p.pid for p in family if "chromium" in " ".join(_command(p))}


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_the_clock_stands_still_in_the_time_zone_of_the_task(open_tab):
    page = "<script>var first = Math.random()</script><p>x"
    now = datetime(2024, 3, 10, 23, 59)
    seen = []
    for _ in range(2):
        with html_tab(open_tab, page, now=now, time_zone="America/New_York") as tab:
            seen.append(
                tab.evaluate(
                    "() => [new Date().toString().slice(0, 24), Intl.DateTimeFormat().resolvedOptions().timeZone, first, navigator.language]"
                )
            )
    assert seen[0] == seen[1]
    assert seen[0][:2] == ["Sun Mar 10 2024 23:59:00", "America/New_York"] and seen[0][3] == "en-US"
    with html_tab(open_tab, page) as tab:
        assert tab.evaluate("() => Date.now()") == 1716199200000


def test_nothing_but_the_site_is_reached(open_tab):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        script = """async urls => Promise.all(urls.map(
            url => fetch(url, { mode: 'no-cors' }).then(() => 'reached', () => 'not reached')))"""
        urls = [
            "http://example.com/",
            f"http://127.0.0.1:{port}/",
            "http://localhost/",
            "file:///etc/passwd",
            "http://[::1]/",
        ]
        with html_tab(open_tab, "<p>x") as tab:
            assert tab.evaluate(script, urls) == ["not reached"] * len(urls)
            for address in (
                "file:///etc/passwd",
                "data:text/html,x",
                f"http://127.0.0.1:{port}/",
                "//x.example/",
            ):
                with pytest.raises(BrowserError, match="no address of the site"):
                    tab.open(address)
            assert tab.address == "/?document"


def test_a_site_is_reached_by_its_own_tab_alone(open_tab):
    states = State(), State()
    with open_tab(make_app(states[0])) as first, open_tab(make_app(states[1])) as second:
        for tab in (first, second):
            tab.open("/")
        origin = second.evaluate("() => location.origin")
        assert first.snapshot().cookies == second.snapshot().cookies == (("sid", "s1"),)
        host, port = origin.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: stranger.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 404") and b"date:" not in answer.lower()
        assert (states[0].sessions, states[1].sessions) == (1, 1)


def test_a_site_does_not_see_the_key_of_its_tab(open_tab):
    seen = []

    async def app(scope, receive, send):
        seen.extend(scope["headers"])
        await asyncio.sleep(0)  # a site in a browser may await
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]}
        )
        await send({"type": "http.response.body", "body": b"<link rel=icon href='data:,'>x"})

    with open_tab(app) as tab:
        tab.open("/")
    assert seen and KEY.encode() not in dict(seen)


def test_a_screenshot_is_a_png_of_what_is_scrolled_to(open_tab):
    with html_tab(open_tab, "<h1>Top</h1>" + "<p>x</p>" * 200 + "<button>End</button>") as tab:
        top, again = tab.screenshot(), tab.screenshot()
        end = tab.screenshot(tab.page.controls[0])
        assert top.startswith(b"\x89PNG") and top == again and top != end
        assert int.from_bytes(top[16:20], "big") == chromium.VIEWPORT[0]


def test_a_page_of_another_state_is_a_mismatch(open_tab):
    state = State()
    with open_tab(make_app(state)) as tab:
        browsing = Browsing(tab)
        browsing.open("/")
        browsing.act("CLICK [20]")
        browsing.act("GOTO [/log]")
        moment = browsing.snapshot()
        state.log.append("something else")
        with pytest.raises(ReplayMismatch, match=r"/log: .*the"):
            browsing.restore(moment)
        state.log.pop()
        assert "banner choice=all" in browsing.restore(moment)


def test_a_place_in_the_page_that_is_shown_is_loaded_anew(open_tab):
    """Chromium loads nothing for a place in its page, and what the site holds may have changed since."""
    state = State()
    with open_tab(make_app(state)) as tab:
        browsing = Browsing(tab)
        browsing.open("/")
        browsing.act("CLICK [20]")
        number = re.search(r"^\[(\d+)\] link more", browsing.observation, re.MULTILINE)
        assert number is not None
        browsing.act(f"CLICK [{number[1]}]")
        moment, observation, before = browsing.snapshot(), browsing.observation, state.copy()
        assert tab.address == "/#more"
        for other in ("/", "/log", "/#more"):
            browsing.open(other)
            state.load(before)
            assert browsing.restore(moment) == observation
        state.banner_closed.clear()
        with pytest.raises(ReplayMismatch):
            browsing.restore(moment)


def test_a_visit_without_a_page_is_a_mismatch_too(open_tab):
    with html_tab(open_tab, "<p>x") as tab, pytest.raises(ReplayMismatch):
        tab.restore(Visit("/?document"))


@pytest.mark.parametrize(
    ("status", "content", "words"),
    [(500, b"text/html", "status 500"), (200, b"application/json", "application/json")],
)
def test_a_site_that_does_not_answer_as_a_site_should_is_an_error(open_tab, status, content, words):
    async def app(scope, receive, send):
        headers = [(b"content-type", content)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})

    with open_tab(app) as tab, pytest.raises(BrowserError, match=words):
        tab.open("/")


def test_a_form_in_a_form_is_refused(open_tab):
    with pytest.raises(BrowserError, match="left open"):
        html_tab(open_tab, "<form><label><p></label></form><form><input></form>")


SCRIPTED = """<style>.gone { display: none } .tap { cursor: pointer }</style>
<p class=gone>hidden by style <a href=#x>a</a></p><div class=tap id=tap>Tap <b>me</b></div><p id=said></p>
<form onsubmit="event.preventDefault(); said.textContent = 'sent ' + q.value"><input name=q id=q><button>Send</button></form>
<a href=javascript:go()>Go</a><a href='/other' onclick="event.preventDefault(); said.textContent = 'stayed'">Stay</a>
<script>tap.onclick = () => { said.textContent = 'tapped'; };
function go() { location.href = '/sent'; }</script>"""


def test_a_page_with_scripts_is_seen_as_its_styles_and_scripts_leave_it(open_tab):
    with html_tab(open_tab, SCRIPTED, scripted=True) as tab:
        browsing = Browsing(tab, scripted=True)
        assert browsing.observation.split("\n")[1:] == [
            "[2] button Tap me", "[3] field q (empty)", "[4] button Send", "[5] link Go", "[6] link Stay",
        ]  # fmt: skip
        assert "tapped" in browsing.act("CLICK [2]").observation
        browsing.act("TYPE [3] [hello]")
        assert "sent hello" in browsing.act("CLICK [4]").observation
        assert "stayed" in browsing.act("CLICK [6]").observation
        assert "| /sent" in browsing.act("CLICK [5]").observation


def test_what_a_script_does_later_is_seen_when_one_looks(open_tab):
    with html_tab(open_tab, "<p id=p>now</p>") as tab:
        tab.evaluate("text => { document.getElementById('p').textContent = text; }", "later")
        assert tab.page.lines[0].text == "now"
        assert tab.look().lines[0].text == "later" == tab.page.lines[0].text


def test_an_opened_tab_is_closed_and_an_alert_answered(open_tab):
    with html_tab(
        open_tab, "<button type=button onclick=\"window.open('/x'); alert('y')\">b</button>"
    ) as tab:
        tab.click(tab.page.controls[0])
        assert tab.address == "/?document"


def test_a_site_works_where_a_loop_runs_already_as_in_a_notebook(open_tab):
    async def cell() -> str:
        with open_tab(make_app(State())) as tab:
            tab.open("/")
            return tab.page.title

    assert asyncio.run(cell()) == "Small site /"


def test_a_tab_that_is_closed_or_forgotten_leaves_nothing(open_tab):
    browser = chromium._browsers(os.getpid()).current()
    tabs = [open_tab(make_app(State())) for _ in range(2)]
    assert not browser.idle
    tabs[0].close()
    tabs[0].close()
    with pytest.raises(BrowserError):
        tabs[0].open("/")
    tabs.clear()
    gc.collect()
    assert browser.idle


def test_a_killed_chromium_is_an_error_and_the_next_tab_has_a_new_one(open_tab):
    with open_tab(make_app(State())) as tab:
        tab.open("/")
        for pid in chromiums():
            psutil.Process(pid).kill()
        with pytest.raises(BrowserError, match="Chromium"):
            tab.open("/form")
    with open_tab(make_app(State())) as tab:
        tab.open("/form")
        assert tab.page.title == "Small site /form"


@pytest.mark.slow
def test_chromium_is_replaced_after_some_tabs(open_tab, monkeypatch):
    browsers = chromium._browsers(os.getpid())
    monkeypatch.setattr(chromium, "TABS_A_BROWSER", browsers.current().opened + 1)
    old = browsers.current()
    with open_tab(make_app(State())) as kept:
        assert browsers.current() is not old and old.alive
        kept.open("/")
    assert browsers.current() is not old
    assert not old.alive


def test_a_machine_without_chromium_is_told_what_to_install(monkeypatch):
    monkeypatch.setenv("EEF_CHROMIUM", "/nowhere/chromium")
    assert "chromium-headless-shell" in chromium.missing_dependency()
    with pytest.raises(BrowserError, match="install"):
        chromium.Chromium()


@pytest.mark.slow
def test_a_program_that_is_killed_leaves_no_chromium():
    code = """
import psutil, time
from helpers.small_site import State, make_app
from eefcore.envs.web import chromium
tab = chromium.open_tab(make_app(State()))
tab.open("/")
print(*(p.pid for p in psutil.Process().children(recursive=True)), flush=True)
time.sleep(60)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    ) as program:
        assert program.stdout is not None
        family = [psutil.Process(int(pid)) for pid in program.stdout.readline().split()]
        program.kill()
    assert family
    _, left = psutil.wait_procs(family, timeout=20)
    assert left == []


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("episodes", [200, pytest.param(1000, marks=pytest.mark.exhaustive)])
def test_a_thousand_episodes_at_16_side_by_side_leave_nothing(open_tab, episodes):
    from concurrent.futures import ThreadPoolExecutor

    def episode(_: int) -> str:
        with open_tab(make_app(State())) as tab:
            tab.open("/")
            return tab.page.title

    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(episode, range(50))) == {"Small site /"}
        browser, before = chromium._browsers(os.getpid()), len(os.listdir("/proc/self/fd"))
        assert set(threads.map(episode, range(episodes - 50))) == {"Small site /"}
    assert len(os.listdir("/proc/self/fd")) < before + 20
    assert browser.current().idle
    chromium.close_browsers()
    _, left = psutil.wait_procs([psutil.Process(pid) for pid in chromiums()], timeout=20)
    assert left == []
