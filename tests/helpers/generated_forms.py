"""Documents of forms with all that HTML allows in them, for hypothesis; and a site of one such document that notes what it is sent."""

from __future__ import annotations

from html import escape

from hypothesis import strategies as st

TEXTS = st.text(st.sampled_from("ab1 +&=%#é~*-._'\"<>\t\n😀\u2028"), max_size=6)
NAMES = st.sampled_from(["a", "b", "c", "a[]", "é ~", "_charset_", "x\ny", ""])
VALUES = TEXTS | st.sampled_from(
    ["2024-05-22", "2024-02-31", "10:00:00", "25:00", "2024-05-22 10:00:00", "2024-05", "2024-W21", "4", "four", "-1e2", " 4", ".5", "5."]
)  # fmt: skip
TYPES = st.sampled_from(
    "text search email tel url password number date time datetime-local month week hidden checkbox radio submit reset "
    "button file none TEXT".split()
)
FLAGS = st.sampled_from(
    ["", "", "", "disabled", "readonly", "required", "hidden", "checked", "form=f0", "form=f1", "form=lost"]
)
OVERRIDES = st.sampled_from(
    ["", "", "formaction=/other", "formaction", "formmethod=post", "formmethod=GET", "formaction='/q?z=1#y' formmethod=get", "formmethod=x"]
)  # fmt: skip


def quoted(name: str, value: str) -> str:
    return f'{name}="{escape(value)}"'


@st.composite
def inputs(draw: st.DrawFn) -> str:
    value = quoted("value", draw(VALUES)) if draw(st.booleans()) else ""
    return f"<input type={draw(TYPES)} {quoted('name', draw(NAMES))} {value} {draw(FLAGS)} {draw(FLAGS)}>"


@st.composite
def buttons(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(["", "type=submit", "type=button", "type=reset", "type=other"]))
    return f"<button {kind} {quoted('name', draw(NAMES))} {quoted('value', draw(TEXTS))} {draw(FLAGS)} {draw(OVERRIDES)}>go</button>"


@st.composite
def selects(draw: st.DrawFn) -> str:
    options = "".join(
        f"<option {draw(st.sampled_from(['', '', 'selected', 'disabled', 'selected disabled', 'label=L', 'value=v']))}>"
        f"{escape(draw(TEXTS))}</option>"
        for _ in range(draw(st.integers(0, 4)))
    )
    if draw(st.booleans()):
        options = (
            f"<optgroup label=g {draw(st.sampled_from(['', 'disabled']))}>{options}</optgroup><option>last"
        )
    kind = draw(st.sampled_from(["", "", "multiple", "size=3", "size=1"]))
    return f"<select {quoted('name', draw(NAMES))} {kind} {draw(FLAGS)}>{options}</select>"


@st.composite
def areas(draw: st.DrawFn) -> str:
    return (
        f"<textarea {quoted('name', draw(NAMES))} {draw(FLAGS)}>{draw(st.sampled_from(['', chr(10), chr(10) * 2]))}"
        f"{escape(draw(TEXTS))}</textarea>"
    )


def wrapped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    around = st.sampled_from(
        [
            "<fieldset disabled>{}</fieldset>", "<fieldset><legend>{}</legend></fieldset>", "<fieldset disabled><legend>{0}</legend>{0}</fieldset>",
            "<div inert>{}</div>", "<div hidden>{}</div>", "<dialog>{}</dialog>", "<dialog open style='position:static'>{}</dialog>",
            "<details><summary>s</summary>{}</details>", "<details open><summary>s</summary>{}</details>", "<details>{}</details>",
            "<label>l {}</label>", "<datalist>{}</datalist>", "<p>{}</p>", "<table><tr><td>{}</table>", "<b>{}</b>", "<template>{}</template>",
        ]
    )  # fmt: skip
    return st.builds(lambda frame, parts: frame.format("".join(parts)), around, st.lists(inner, max_size=3))


PIECES = st.recursive(inputs() | buttons() | selects() | areas(), wrapped, max_leaves=5)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A document of two forms with controls in them and between them; `<button>` at the end of each sends it."""
    parts = [
        "<!doctype html><title>t</title><link rel=icon href='data:,'><style>* { min-width: 9px; min-height: 9px }</style>"
    ]
    for i in range(2):
        method = draw(st.sampled_from(["", "method=get", "method=post", "method=POST", "method=x"]))
        action = draw(
            st.sampled_from(
                [
                    "",
                    "action",
                    "action=/sent",
                    "action='/sent?x=1#f'",
                    "action=sent",
                    "action='?y=2'",
                    "action='?document#x'",
                    "action='#x'",
                ]
            )
        )
        parts.append(f"<form id=f{i} {method} {action}>")
        parts += draw(st.lists(PIECES, max_size=5))
        parts.append("</form>" if draw(st.booleans()) else "<button name=end value=1>end</button></form>")
        parts += draw(st.lists(PIECES, max_size=2))
    return "".join(parts)


class OneDocument:
    """An ASGI application that shows a document at `/?document` and notes every other request."""

    def __init__(self) -> None:
        self.html, self.requests = "", list[tuple[str, bytes, bytes, bytes]]()

    async def __call__(self, scope, receive, send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message.get("more_body", False)
        asked = (scope["method"], scope["raw_path"], scope["query_string"], body)
        if asked == ("GET", b"/", b"document", b""):
            html = self.html
        else:
            html = "<title>sent</title><link rel=icon href='data:,'>"
            self.requests.append(asked)
        headers = [(b"content-type", b"text/html; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": html.encode()})
