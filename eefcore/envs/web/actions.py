"""What an agent can do on a page: the text of an action read, and checked against the page that the agent sees.

    CLICK [4]                        follows, presses, ticks, chooses, opens or closes
    TYPE [3] [May 22, 2024]          into a field; in a select it chooses by the label of a choice
    SUBMIT [3]                       sends the form of a control by its first button
    CLEAR [3]                        empties a field, unticks, deselects
    GOTO [/reservations]             a path of the site
    SCROLL [DOWN]                    to the next window; or UP
    ASK USER HELP [Indoor or outdoor?]

An id is one of the observation that the agent answers. What can't be done is refused before any driver sees it: the reply
says why in one line, the state stays, and a turn is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from eefcore.envs.web.address import resolved, within_page
from eefcore.envs.web.driver import Driver
from eefcore.envs.web.observation import Window
from eefcore.envs.web.page import Control, Kind, Page
from eefcore.envs.web.submission import default_button, destination, is_submit
from eefcore.envs.web.values import BadValue, chosen, cleaned, typed

GRAMMAR = "CLICK [ID], TYPE [ID] [TEXT], SUBMIT [ID], CLEAR [ID], GOTO [PATH], SCROLL [UP/DOWN], ASK USER HELP [QUESTION]"
"""The actions, as a reply lists them."""


class Reason(StrEnum):
    """Why an action was refused."""

    MALFORMED = "malformed"
    UNKNOWN_ID = "unknown_id"
    OTHER_WINDOW = "other_window"
    HIDDEN = "hidden"
    DISABLED = "disabled"
    WRONG_KIND = "wrong_kind"
    BAD_VALUE = "bad_value"
    OFF_SITE = "off_site"
    NO_SCROLL = "no_scroll"


class Refusal(NamedTuple):
    """An action that can't be done: why, and the reply to the agent."""

    reason: Reason
    reply: str


class Click(NamedTuple):
    """`CLICK [ID]`."""

    id: int


class Type(NamedTuple):
    """`TYPE [ID] [TEXT]`."""

    id: int
    text: str


class Submit(NamedTuple):
    """`SUBMIT [ID]`."""

    id: int


class Clear(NamedTuple):
    """`CLEAR [ID]`."""

    id: int


class Goto(NamedTuple):
    """`GOTO [PATH]`."""

    path: str


class Scroll(NamedTuple):
    """`SCROLL [UP]`, -1, or `SCROLL [DOWN]`, 1."""

    by: int


class Ask(NamedTuple):
    """`ASK USER HELP [QUESTION]`."""

    question: str


Action = Click | Type | Submit | Clear | Goto | Scroll | Ask


class Command(NamedTuple):
    """An action that was found possible: what to do with a driver, and whether another page is loaded by it."""

    run: Callable[[Driver], None]
    loads: bool = False


_ACTION = re.compile(r"\s*(CLICK|TYPE|SUBMIT|CLEAR|GOTO|SCROLL|ASK USER HELP)\b\s*(.*?)\s*", re.I | re.S)
_ID = re.compile(r"\[?\s*(\d{1,6})\s*\]?", re.ASCII)
_ID_AND_TEXT = re.compile(r"(?:\[\s*(\d{1,6})\s*\]|(\d{1,6})(?!\d))\s*(.*)", re.ASCII | re.S)


def parse_action(text: str) -> Action | Refusal:
    """Return the action that a text says, or why it says none; brackets may be left out, and letter case does not matter."""
    malformed = Refusal(Reason.MALFORMED, f"This is no action. The actions are {GRAMMAR}.")
    if (found := _ACTION.fullmatch(text)) is None:
        return malformed
    verb, rest = found[1].upper(), found[2]
    match verb:
        case "TYPE":
            if (parts := _ID_AND_TEXT.fullmatch(rest)) is None:
                return malformed
            return Type(int(parts[1] or parts[2]), _unbracketed(parts[3]))
        case "CLICK" | "SUBMIT" | "CLEAR":
            if (number := _ID.fullmatch(rest)) is None:
                return malformed
            return {"CLICK": Click, "SUBMIT": Submit, "CLEAR": Clear}[verb](int(number[1]))
        case "SCROLL":
            by = {"UP": -1, "DOWN": 1}.get(_unbracketed(rest).upper())
            return malformed if by is None else Scroll(by)
    argument = cleaned(_unbracketed(rest)).strip()
    if not argument:
        return malformed
    return Goto(argument) if verb == "GOTO" else Ask(argument)


def command(
    action: Click | Type | Submit | Clear | Goto,
    page: Page,
    address: str,
    window: Window,
    *,
    scripted: bool = False,
) -> Command | Refusal:
    """Return what a driver is to do for an action on a page of which the agent sees `window`, or why it can't be done.

    With `scripted` a link may lead anywhere, as scripts of the page may catch it; the browser has to keep it on the site.
    """
    if isinstance(action, Goto):
        return _goto(action.path)
    if isinstance(control := _find(action.id, page, window), Refusal):
        return control
    match action:
        case Click():
            return _click(control, page, address, scripted=scripted)
        case Type(text=text):
            return _type(control, text)
        case Submit():
            return _submit(control, page, address, scripted=scripted)
        case Clear():
            return _clear(control)


def _find(id: int, page: Page, window: Window) -> Control | Refusal:
    """Return the control that an agent names, if it sees it and it is enabled."""
    if (control := page.control(id)) is None:
        last = max((c.id for c in page.controls), default=0)
        known = f"its ids are 1 to {last}" if last else "it has no ids"
        return Refusal(Reason.UNKNOWN_ID, f"There is no [{id}] on this page; {known}.")
    if not page.is_visible(control):
        return Refusal(Reason.HIDDEN, f"[{id}] is hidden on this page now.")
    if control not in window.shown:
        above = window.shown and id < window.shown[0].id
        return Refusal(
            Reason.OTHER_WINDOW,
            f"[{id}] is not in this window; SCROLL {'UP' if above else 'DOWN'} until it is shown.",
        )
    if control.disabled:
        return Refusal(Reason.DISABLED, f"[{id}] is disabled.")
    return control


def _goto(path: str) -> Command | Refusal:
    address = resolved(path) if path.startswith("/") else None
    if address is None:
        return Refusal(Reason.OFF_SITE, "GOTO takes a path of this site, as /; nothing else can be opened.")
    return Command(lambda driver: driver.open(address), loads=True)


def _click(control: Control, page: Page, address: str, *, scripted: bool) -> Command | Refusal:
    match control.kind:
        case Kind.SELECT:
            return _wrong(control, f"choose with TYPE [{control.id}] [CHOICE]")
        case Kind.FIELD:
            return _wrong(control, f"write into it with TYPE [{control.id}] [TEXT]")
    if not scripted and (refusal := _leaves(control, page, address)):
        return refusal
    return Command(lambda driver: driver.click(control), _loads(control, address))


def _leaves(control: Control, page: Page, address: str) -> Refusal | None:
    """Return why a link or a button can't be clicked: it would open another site or another tab."""
    match control.kind:
        case Kind.LINK:
            target = resolved(control.href, address)
        case Kind.BUTTON if is_submit(control) and control.form is not None:
            target = destination(page, address, control.form, control)
        case _:
            return None
    if target is None:
        return Refusal(Reason.OFF_SITE, f"[{control.id}] leads off this site, which can't be left.")
    if control.target.lower() not in ("", "_self", "_top", "_parent"):
        return Refusal(Reason.OFF_SITE, f"[{control.id}] opens another tab, and there is only this one.")
    return None


def _loads(control: Control, address: str) -> bool:
    """Return whether a click loads a page: that on a link to another page, or on a button that sends a form."""
    if control.kind is Kind.LINK:
        return not within_page(control.href, address)
    return is_submit(control) and control.form is not None


def _type(control: Control, text: str) -> Command | Refusal:
    if control.kind not in (Kind.FIELD, Kind.SELECT):
        return _wrong(control, "only fields and selects take text")
    if control.readonly:
        return Refusal(Reason.BAD_VALUE, f"[{control.id}] is read only.")
    if not cleaned(text).strip():
        return Refusal(
            Reason.BAD_VALUE, f"There is no text to type; CLEAR [{control.id}] empties {control.kind}s."
        )
    if control.kind is Kind.SELECT:
        choice = chosen(control, text)
        if isinstance(choice, BadValue):
            return _bad(control, choice)
        return Command(lambda driver: driver.choose(control, choice))
    value = typed(control, text)
    if isinstance(value, BadValue):
        return _bad(control, value)
    return Command(lambda driver: driver.fill(control, value))


def _submit(control: Control, page: Page, address: str, *, scripted: bool) -> Command | Refusal:
    if control.form is None:
        return _wrong(control, "it belongs to no form; SUBMIT takes a field or a button of one")
    button = control if is_submit(control) else default_button(page, control.form)
    if not scripted and destination(page, address, control.form, button) is None:
        return Refusal(
            Reason.OFF_SITE, f"The form of [{control.id}] leads off this site, which can't be left."
        )
    if button is control:
        return Command(lambda driver: driver.click(control), loads=True)
    return Command(lambda driver: driver.submit(control), loads=True)


def _clear(control: Control) -> Command | Refusal:
    match control.kind:
        case Kind.FIELD if not control.readonly:
            return Command(lambda driver: driver.fill(control, ""))
        case Kind.FIELD:
            return Refusal(Reason.BAD_VALUE, f"[{control.id}] is read only.")
        case Kind.CHECKBOX:
            return Command(
                (lambda driver: driver.click(control)) if control.checked else (lambda driver: None)
            )
        case Kind.SELECT:
            if control.multiple:
                return Command(lambda driver: driver.choose(control, ()))
            empty = [
                i for i, choice in enumerate(control.choices) if not choice.value and not choice.disabled
            ]
            if empty:
                return Command(lambda driver: driver.choose(control, (empty[0],)))
            return Refusal(Reason.BAD_VALUE, f"[{control.id}] always has one of its choices.")
    return _wrong(control, "only fields, selects and checkboxes can be cleared")


def _wrong(control: Control, advice: str) -> Refusal:
    return Refusal(Reason.WRONG_KIND, f"[{control.id}] is a {control.kind}; {advice}.")


def _bad(control: Control, value: BadValue) -> Refusal:
    return Refusal(Reason.BAD_VALUE, f"Nothing was typed into [{control.id}]: {value.reason}.")


def _unbracketed(text: str) -> str:
    """Return text without the brackets around it, if it has both."""
    text = text.strip()
    return text[1:-1] if len(text) >= 2 and text[0] == "[" and text[-1] == "]" else text
