"""HTML read as a page: controls in document order, lines of text, and what is visible by attributes alone.

A control or a text is shown unless it, or an element around it, is `hidden`, `inert`, a `<dialog>` that is not open, a popover or
a `<datalist>`, or lies in a closed `<details>`. Style sheets hide nothing: sites here are written so, and a test compares the
rule with what Chromium computes. Frames, drawings, scripts and templates are no part of a page.

Both drivers read their HTML here. Chromium's is taken with `data-live` on each control, what it holds now
(`eefcore.envs.web.chromium`); the attributes `value`, `checked` and `selected` keep what the page came with. Roles name what is
special: `<time data-clock>` is the page's clock, `role="alert"` and `role="status"` are notices. `<input type=image>` is ignored, and a
`<noscript>` in the head is read as a browser without scripts reads it.
The initial values of ranges and colours are not corrected as browsers do; nobody can type into them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from eefcore.envs.web.page import Anchor, Choice, Control, Form, Kind, Line, Page
from eefcore.envs.web.values import FIELD_TYPES, collapsed, sanitized
from eefcore.errors import BrowserError

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

LIVE = "data-live"
"""The attribute that says what a control holds now: text, a 1 for checked or open, or the numbers of the chosen options."""

IGNORED = (
    "script", "style", "template", "noscript", "svg", "math", "iframe", "object", "embed", "canvas", "video", "audio",
)  # fmt: skip
"""Elements that are no part of a page, with all that is in them."""

ROLES = ("button", "link", "tab", "option", "menuitem")
"""Roles that make any element a button of the page, for sites with scripts."""

CONTROLS = ", ".join(
    (
        "a[href]",
        "button",
        "input:not([type=image i])",
        "select",
        "textarea",
        "details>summary:first-child",
        *(f"[role={role}]" for role in ROLES),
    )
)
"""The CSS selector of controls, by which a driver finds them; those in an ignored element or in a select don't count."""

_INLINE = frozenset(
    "a abbr b bdi bdo big cite code data del dfn em font i img ins kbd label mark q ruby s samp small span strike strong "
    "sub sup time tt u var wbr".split()
)
_HEADINGS = {"h1": "# ", "h2": "## ", "h3": "### ", "h4": "### ", "h5": "### ", "h6": "### "}
_PUNCTUATION = " .,;:|/()-–—·•"
_BUTTONS = ("submit", "reset", "button")
_BUTTON_LABELS = {"submit": "Submit", "reset": "Reset"}  # what browsers write on an `<input>` without a value
_ENCODINGS = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")


Attributes = dict[str, str | None]
"""The attributes of an element; None is the value of one that has none."""


class Around(NamedTuple):
    """What the elements around an element say about it."""

    form: int | None = None
    hidden: bool = False
    disabled: bool = False
    silent: bool = False  # its text is already part of a label or a notice
    folds: tuple[int, ...] = ()


def parse(html: str) -> Page:
    """Return the page that a document shows when it has loaded, without scripts; any text is some document.

    Raises:
        BrowserError: elements lie too deep in each other to be read.
    """
    try:
        return Reader(html).page()
    except RecursionError:
        raise BrowserError(
            "the page's elements lie some thousand deep in each other; expected fewer"
        ) from None


class Reader:
    """A walk over a document in document order that collects lines, controls, notices and the clock."""

    def __init__(self, html: str) -> None:
        from selectolax.lexbor import LexborHTMLParser

        self._tree: LexborHTMLParser = LexborHTMLParser(html)
        forms = self._tree.css("form")
        self._forms = [_form(form.attributes) for form in forms]
        self._form_numbers = {form.mem_id: i for i, form in enumerate(forms)}
        self._named: dict[str, LexborNode] = {}
        for node in self._tree.css("[id]"):
            self._named.setdefault(node.attributes["id"] or "", node)
        self._labels: dict[int, list[str]] = {}  # of controls
        self._labelling: set[int] = set()  # the labels that are some control's
        for label in self._tree.css("label"):
            self._read_label(label)
        self._lines: list[Line] = []
        self._controls: list[Control] = []
        self._notices: list[str] = []
        self._anchors: list[Anchor] = []
        self._time, self._ids = "", 0
        self._text: list[str] = []  # the line that is being read, its prefix, and what it is folded in
        self._prefix, self._folds = "", ()

    def page(self) -> Page:
        """Read the document; to be called once."""
        if (body := self._tree.body) is not None:
            self._read_children(body, Around())
            self._end_line()
        title = self._tree.css_first("head > title")
        return Page(
            "" if title is None else one_line(title.text()),
            self._time,
            tuple(self._notices),
            tuple(self._lines),
            tuple(_one_of_each_group(self._controls)),
            tuple(self._forms),
            tuple(self._anchors),
        )

    def _read_label(self, label: LexborNode) -> None:
        """Note the text of a label for its control: the one that `for` names, or the first inside."""
        attributes = label.attributes
        if "for" in attributes:
            target = self._named.get(attributes["for"] or "")
        else:
            target = label.css_first("button, input:not([type=hidden i]), select, textarea")
        if target is not None and target.tag in ("button", "input", "select", "textarea"):
            self._labels.setdefault(target.mem_id, []).append(text_of(label))
            self._labelling.add(label.mem_id)

    def _read_children(self, node: LexborNode, around: Around) -> None:
        for child in _children(node):
            self._read(child, around)

    def _read(self, node: LexborNode, around: Around) -> None:
        """Read a text or an element, and all that is in it."""
        if node.is_text_node:
            self._say(node.text_content or "", around)
            return
        tag = node.tag or ""
        if not node.is_element_node or tag in IGNORED:
            return
        attributes = node.attributes
        if around.folds and (name := attributes.get("id") or (attributes.get("name") if tag == "a" else "")):
            self._anchors.append(Anchor(name, around.folds))
        if tag == "form":
            around = around._replace(form=self._form_numbers[node.mem_id])
        if _is_hidden(tag, attributes):
            around = around._replace(hidden=True)
        if (control := self._control(node, tag, attributes, around)) is not None:
            self._add(control, around)
            if tag not in ("input", "select", "textarea"):
                self._read_children(node, around._replace(silent=True))
        elif tag == "label" and node.mem_id in self._labelling:
            self._read_children(node, around._replace(silent=True))
        elif tag == "time" and "data-clock" in attributes:
            self._time = self._time or text_of(node)
        elif attributes.get("role") in ("alert", "status"):
            if not around.hidden and not around.silent and (notice := text_of(node)):
                self._notices.append(notice)
            self._read_children(node, around._replace(silent=True))
        elif tag in _INLINE:
            self._say(attributes.get("alt") or "" if tag == "img" else "", around)
            self._read_children(node, around)
        elif tag in ("td", "th"):  # the cells of a row share a line
            self._say(" | " if any(text.strip() for text in self._text) else "", around)
            self._read_children(node, around)
        else:
            self._read_block(node, tag, attributes, around)

    def _read_block(self, node: LexborNode, tag: str, attributes: Attributes, around: Around) -> None:
        """Read an element that begins and ends a line."""
        self._end_line()
        outer, self._prefix = self._prefix, _HEADINGS.get(tag, self._prefix)
        if tag == "details":
            self._read_details(node, around, is_open="open" in attributes)
        elif tag == "fieldset" and "disabled" in attributes:
            self._read_disabled(node, around)
        else:
            self._read_children(node, around)
        self._end_line()
        self._prefix = outer

    def _read_details(self, node: LexborNode, around: Around, *, is_open: bool) -> None:
        """Read `<details>`: all but its summary is folded; without a summary as first element nobody can open it."""
        inside = around if is_open else around._replace(hidden=True)
        for child in _children(node):
            if _is_summary(child):
                inside = around._replace(folds=(*around.folds, len(self._controls)))
                self._read(child, around)
            else:
                self._read(child, inside)
        self._end_line()

    def _read_disabled(self, node: LexborNode, around: Around) -> None:
        """Read `<fieldset disabled>`: all of its controls are disabled but those in its first legend."""
        legend = next((c for c in _children(node) if c.tag == "legend"), None)
        for child in _children(node):
            first = legend is not None and child.mem_id == legend.mem_id
            self._read(child, around if first else around._replace(disabled=True))

    def _say(self, text: str, around: Around) -> None:
        if text and not around.hidden and not around.silent:
            self._text.append(text)
            self._folds = around.folds

    def _end_line(self) -> None:
        text = one_line("".join(self._text))
        if text.strip(_PUNCTUATION):  # a comma between two links is no line
            self._lines.append(Line(self._prefix + text, folds=self._folds))
        self._text.clear()

    def _add(self, control: Control, around: Around) -> None:
        self._end_line()
        self._controls.append(control)
        if not control.hidden and control.kind is not Kind.UNSEEN:
            self._lines.append(Line(control=control.position, folds=around.folds))

    def _control(self, node: LexborNode, tag: str, attributes: Attributes, around: Around) -> Control | None:
        """Return the control that an element is, None for an element that is none."""
        if tag == "a" and "href" in attributes:
            kind, type = Kind.LINK, tag
        elif tag == "button":
            kind, type = Kind.BUTTON, _word(attributes, "type", _BUTTONS)
        elif tag == "input":
            type = (attributes.get("type") or "text").lower()
            if type == "image":
                return None
            kind = _INPUT_KINDS.get(type, Kind.FIELD)
            type = type if kind is not Kind.FIELD or type in FIELD_TYPES else "text"
        elif tag == "select":
            kind, type = Kind.SELECT, tag
        elif tag == "textarea":
            kind, type = Kind.FIELD, tag
        elif _is_summary(node):
            kind, type = Kind.DETAILS, tag
        elif (role := attributes.get("role")) in ROLES:
            kind, type = Kind.BUTTON, str(role)
        else:
            return None
        return self._with_content(node, attributes, around, self._make(node, attributes, around, kind, type))

    def _make(
        self, node: LexborNode, attributes: Attributes, around: Around, kind: Kind, type: str
    ) -> Control:
        """Return a control with all but its label and what it holds."""
        self._ids += kind is not Kind.UNSEEN
        form = self._owner(attributes, around) if node.tag in _OF_FORMS else None
        return Control(
            position=len(self._controls),
            id=self._ids if kind is not Kind.UNSEEN else 0,
            kind=kind,
            type=type,
            name=(attributes.get("name") or "") if node.tag in _OF_FORMS else "",
            form=form,
            href=(attributes.get("href") or "") if kind is Kind.LINK else "",
            target=attributes.get("target") or attributes.get("formtarget") or "",
            override=self._override(attributes, form) if kind is Kind.BUTTON and type == "submit" else None,
            disabled=node.tag in _OF_FORMS and (around.disabled or "disabled" in attributes),
            readonly="readonly" in attributes and kind is Kind.FIELD,
            required="required" in attributes,
            hidden=around.hidden,
            folds=around.folds,
            minimum=attributes.get("min") or "",
            maximum=attributes.get("max") or "",
            max_length=_number(attributes.get("maxlength")),
        )

    def _with_content(
        self, node: LexborNode, attributes: Attributes, around: Around, control: Control
    ) -> Control:
        """Return a control with its label and what it holds."""
        live, value = attributes.get(LIVE), attributes.get("value")
        label = ""
        match control.kind:
            case Kind.LINK | Kind.DETAILS:
                label = text_of(node)
            case Kind.BUTTON:
                label = text_of(node) if node.tag != "input" else one_line(value or "")
        label = (
            label
            or one_line(attributes.get("aria-label") or "")
            or " ".join(self._labels.get(node.mem_id, ()))
            or one_line(attributes.get("placeholder") or attributes.get("title") or "")
            or _BUTTON_LABELS.get(control.type, "")
            or control.name
        )
        changes: dict[str, object] = {"label": label}
        match control.kind:
            case Kind.FIELD | Kind.UNSEEN:
                text = (node.text() if node.tag == "textarea" else value) or ""
                changes["original"] = original = sanitized(control.type, text)
                changes["value"] = original if live is None else sanitized(control.type, live)
            case Kind.CHECKBOX | Kind.RADIO:
                changes["value"] = "on" if "value" not in attributes else value or ""
                changes["original"] = "checked" in attributes
                changes["checked"] = bool(live) if LIVE in attributes else "checked" in attributes
            case Kind.SELECT:
                multiple = "multiple" in attributes
                choices, original = _choices(node, multiple=multiple, size=_number(attributes.get("size")))
                changes |= {"choices": choices, "multiple": multiple, "original": original}
                changes["chosen"] = original if LIVE not in attributes else _numbers(live or "")
            case Kind.BUTTON:
                default = _BUTTON_LABELS.get(control.type, "") if node.tag == "input" else ""
                changes["value"] = default if "value" not in attributes else value or ""
            case Kind.DETAILS:
                changes["checked"] = node.parent is not None and "open" in node.parent.attributes
        return msgspec.structs.replace(control, **changes)

    def _owner(self, attributes: Attributes, around: Around) -> int | None:
        """Return the form that a control belongs to: the one that its `form` attribute names, or the one around it."""
        if "form" not in attributes:
            return around.form
        named = self._named.get(attributes["form"] or "")
        return None if named is None else self._form_numbers.get(named.mem_id)

    def _override(self, attributes: Attributes, form: int | None) -> Form | None:
        """Return the form as a submit button sends it, None if the button changes nothing."""
        if form is None or not attributes.keys() & {"formaction", "formmethod", "formenctype"}:
            return None
        own = self._forms[form]
        written = {
            "action": attributes["formaction"] or "" if "formaction" in attributes else own.action,
            "method": attributes.get("formmethod", own.method),
            "enctype": attributes.get("formenctype", own.encoding),
        }
        return _form(written)


def text_of(node: LexborNode) -> str:
    """Return the visible text of an element on one line, without what its controls hold."""
    return one_line("".join(_texts(node)))


def one_line(text: str) -> str:
    """Return a text with each stretch of white space as one space, and none at its ends."""
    return " ".join(text.split())


_INPUT_KINDS = {
    "hidden": Kind.UNSEEN,
    "checkbox": Kind.CHECKBOX,
    "radio": Kind.RADIO,
    **dict.fromkeys(_BUTTONS, Kind.BUTTON),
}
_OF_FORMS = ("button", "input", "select", "textarea")


def _texts(node: LexborNode) -> Iterator[str]:
    for child in _children(node):
        if child.is_text_node:
            yield child.text_content or ""
        elif child.is_element_node and (tag := child.tag or "") not in (*IGNORED, *_OF_FORMS):
            attributes = child.attributes
            if not _is_hidden(tag, attributes):
                space = "" if tag in _INLINE else " "
                yield space + (attributes.get("alt") or "" if tag == "img" else "")
                yield from _texts(child)
                yield space


def _children(node: LexborNode) -> Iterator[LexborNode]:
    child = node.child
    while child is not None:
        yield child
        child = child.next


def _is_hidden(tag: str, attributes: Attributes) -> bool:
    return (
        "hidden" in attributes
        or "inert" in attributes
        or "popover" in attributes
        or tag == "datalist"
        or (tag == "dialog" and "open" not in attributes)
    )


def _is_summary(node: LexborNode) -> bool:
    """Return whether an element opens and closes the `<details>` around it."""
    if node.tag != "summary" or (parent := node.parent) is None or parent.tag != "details":
        return False
    first = next((child for child in _children(parent) if child.is_element_node), None)
    return first is not None and first.mem_id == node.mem_id


def _form(attributes: Attributes) -> Form:
    return Form(
        (attributes.get("action") or "").strip(),
        _word(attributes, "method", ("get", "post", "dialog")),
        _word(attributes, "enctype", _ENCODINGS),
    )


def _word(attributes: Attributes, name: str, words: tuple[str, ...]) -> str:
    """Return the word that an attribute says in any case of letters; the first of `words` if it says none of them."""
    written = (attributes.get(name) or "").lower()
    return written if written in words else words[0]


def _choices(
    select: LexborNode, *, multiple: bool, size: int | None
) -> tuple[tuple[Choice, ...], tuple[int, ...]]:
    """Return the options of a select and which of them are chosen at first, by the rules of browsers."""
    options, choices = select.css("option"), list[Choice]()
    for option in options:
        attributes, parent = option.attributes, option.parent
        text = collapsed(option.text())
        grouped = parent is not None and parent.tag == "optgroup" and "disabled" in parent.attributes
        choices.append(
            Choice(
                one_line(attributes.get("label") or text),
                (attributes["value"] or "") if "value" in attributes else text,
                grouped or "disabled" in attributes,
            )
        )
    selected = tuple(i for i, option in enumerate(options) if "selected" in option.attributes)
    if multiple:
        return tuple(choices), selected
    if selected:
        return tuple(choices), selected[-1:]
    enabled = (i for i, choice in enumerate(choices) if not choice.disabled)
    return tuple(choices), tuple(enabled)[:1] if (size or 1) <= 1 else ()


def _one_of_each_group(controls: list[Control]) -> Iterator[Control]:
    """Yield the controls with at most one chosen radio button in a group, now and after a reset: the last, as in browsers."""
    radios = [c for c in controls if c.kind is Kind.RADIO and c.name]
    now = {(c.form, c.name): c.position for c in radios if c.checked}
    at_first = {(c.form, c.name): c.position for c in radios if c.original}
    for control in controls:
        if control.kind is Kind.RADIO and control.name:
            group, position = (control.form, control.name), control.position
            checked, original = now.get(group) == position, at_first.get(group) == position
            control = msgspec.structs.replace(control, checked=checked, original=original)
        yield control


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and text.isascii() and len(text) < 10 else None


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part.isdecimal())
