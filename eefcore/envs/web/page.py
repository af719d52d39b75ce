"""A page of a web site as an immutable value: its lines of text, its controls with what they hold, and its forms.

`eefcore.envs.web.parsing.parse` makes a `Page` of HTML. Typing, choosing and ticking return another page, so that a snapshot
of a page is the page itself: it costs nothing to keep or to go back to.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from urllib.parse import unquote

import msgspec


class Kind(StrEnum):
    """What a control is to the agent, and the word that shows it in an observation."""

    LINK = "link"
    BUTTON = "button"
    FIELD = "field"
    SELECT = "select"
    CHECKBOX = "checkbox"
    RADIO = "radio"
    DETAILS = "details"  # the line that opens and closes a `<details>`
    UNSEEN = "unseen"  # `<input type=hidden>`: sent with its form and never shown


class Choice(msgspec.Struct, frozen=True):
    """An `<option>` of a select; a disabled one can't be chosen and is not sent."""

    label: str
    value: str
    disabled: bool = False


class Form(msgspec.Struct, frozen=True):
    """How a form is sent: its address as written, `get` or `post`, and the encoding of its fields."""

    action: str = ""
    method: str = "get"
    encoding: str = "application/x-www-form-urlencoded"


class Control(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A link, button, field, select, checkbox, radio button or details line of a page, as it is now.

    `position` counts the controls of the page in document order, unseen ones included: by it a driver finds the element.
    `id` counts 1…n without the unseen ones, which have 0: by it an agent names the element. Hidden controls have ids as
    well, so that opening a part of a page renames nothing.
    """

    position: int
    id: int
    kind: Kind
    type: str  # `text`, `date`, `submit`, …; the tag where the element has no type
    label: str = ""
    name: str = ""
    value: str = ""
    checked: bool = False  # of a checkbox or radio button; of a details line, whether it is open
    choices: tuple[Choice, ...] = ()
    chosen: tuple[int, ...] = ()  # indices into `choices`
    multiple: bool = False
    form: int | None = None  # index into `Page.forms`
    href: str = ""
    target: str = ""
    override: Form | None = None  # of a submit button with `formaction` and the like: the form as it sends it
    disabled: bool = False
    readonly: bool = False
    required: bool = False
    hidden: bool = False
    folds: tuple[int, ...] = ()  # positions of the details lines that hide it while they are closed
    minimum: str = ""
    maximum: str = ""
    max_length: int | None = None  # in UTF-16 units, as browsers count
    original: str | bool | tuple[int, ...] = ""  # what a reset button brings back


class Line(msgspec.Struct, frozen=True):
    """A line of a page: text, or the control at a position."""

    text: str = ""
    control: int | None = None
    folds: tuple[int, ...] = ()


class Anchor(msgspec.Struct, frozen=True):
    """A place in a page that is folded away and that a link can name; browsers open what it is folded in."""

    name: str
    folds: tuple[int, ...]


class Page(msgspec.Struct, frozen=True):
    """A page as it is now: title, clock, notices, lines in reading order, controls and forms in document order."""

    title: str = ""
    time: str = ""
    notices: tuple[str, ...] = ()
    lines: tuple[Line, ...] = ()
    controls: tuple[Control, ...] = ()
    forms: tuple[Form, ...] = ()
    anchors: tuple[Anchor, ...] = ()

    def control(self, id: int) -> Control | None:
        """Return the control that an agent calls `id`, None if there is none."""
        return next((c for c in self.controls if c.id == id and id), None)

    def is_open(self, folds: tuple[int, ...]) -> bool:
        """Return whether each of the details lines at these positions is open."""
        return all(self.controls[fold].checked for fold in folds)

    def is_visible(self, control: Control) -> bool:
        """Return whether a control is shown: not hidden, not behind a dialog, and in no closed details."""
        return not control.hidden and self.is_open(control.folds)

    def visible_lines(self) -> tuple[Line, ...]:
        """Return the lines that are shown, in reading order."""
        return tuple(line for line in self.lines if self.is_open(line.folds))

    def of_form(self, form: int) -> Iterator[Control]:
        """Yield the controls of a form, in document order."""
        return (c for c in self.controls if c.form == form)

    def filled(self, control: Control, value: str) -> Page:
        """Return the page with `value` in a field."""
        return self._replaced(msgspec.structs.replace(control, value=value))

    def choosing(self, control: Control, chosen: tuple[int, ...]) -> Page:
        """Return the page with these choices of a select chosen."""
        return self._replaced(msgspec.structs.replace(control, chosen=chosen))

    def toggled(self, control: Control) -> Page:
        """Return the page after a click on a checkbox, a radio button or a details line.

        A radio button stays chosen when it is clicked again, and takes the place of the others of its group.
        """
        if control.kind is not Kind.RADIO:
            return self._replaced(msgspec.structs.replace(control, checked=not control.checked))
        return self.checking(control, True)

    def checking(self, control: Control, checked: bool) -> Page:
        """Return the page with a checkbox or radio button set; a radio button that is chosen clears its group."""
        group = () if not checked else radio_group(self.controls, control)
        cleared = (msgspec.structs.replace(other, checked=False) for other in group if other.checked)
        return self._replaced(*cleared, msgspec.structs.replace(control, checked=checked))

    def revealing(self, fragment: str) -> Page:
        """Return the page after a browser went to the place that a fragment of an address names: its details are open."""
        for name in (fragment, unquote(fragment)):
            for anchor in self.anchors:
                if anchor.name == name:
                    folds = (self.controls[fold] for fold in anchor.folds)
                    return self._replaced(*(msgspec.structs.replace(fold, checked=True) for fold in folds))
        return self

    def cleared_form(self, form: int) -> Page:
        """Return the page after a click on a reset button of `form`: each control as the page came with it."""
        return self._replaced(*(as_it_came(c) for c in self.of_form(form)))

    def _replaced(self, *changed: Control) -> Page:
        controls = list(self.controls)
        for control in changed:
            controls[control.position] = control
        return msgspec.structs.replace(self, controls=tuple(controls))


def radio_group(controls: tuple[Control, ...] | list[Control], radio: Control) -> list[Control]:
    """Return the other radio buttons of the group of `radio`: those of its form and name. Of a checkbox there are none."""
    if radio.kind is not Kind.RADIO or not radio.name:
        return []
    return [
        c
        for c in controls
        if c.kind is Kind.RADIO
        and c.name == radio.name
        and c.form == radio.form
        and c.position != radio.position
    ]


def as_it_came(control: Control) -> Control:
    """Return a control with the value, choice or mark with which its page came."""
    match control.kind:
        case Kind.FIELD:
            return msgspec.structs.replace(control, value=control.original)
        case Kind.CHECKBOX | Kind.RADIO:
            return msgspec.structs.replace(control, checked=control.original)
        case Kind.SELECT:
            return msgspec.structs.replace(control, chosen=control.original)
    return control
