"""Ask a human before an action that can't be undone: below the cell of a notebook, or with a prompt in a shell.

The page is shown as text that can do nothing: what a site writes on it is no answer and no command of the terminal.
Whatever is not a clear yes is a no.

The answer is typed in a notebook as well, into the box that its front end opens for `input`. Buttons of ipywidgets would not
do: a cell that waits for a click keeps the kernel from hearing of it, and versions of ipykernel differ in the ways around it.
"""

from __future__ import annotations

import html
import sys

from eefcore.errors import ParamsError
from eefcore.search.guard import Human, Request

YES = "yes"
_QUESTION = f"This can't be undone. Type {YES} to take the action, anything else to refuse it: "


def find_human() -> Human:
    """Return how to ask the person at this notebook or shell.

    Raises:
        ParamsError: nobody is there to answer, as in `eef run`.
    """
    if _in_notebook():
        return ask_in_notebook
    if sys.stdin is not None and sys.stdin.isatty():
        return ask_in_shell
    raise ParamsError(
        "ask: expected a person at the notebook or shell, found none; open the notebook in JupyterLab, or set ask to False"
    )


def ask_in_shell(request: Request) -> bool:
    """Show the page and the action in a shell, and return whether the user types `yes`."""
    page = "\n".join(f"  | {line}" for line in printable(request.page).splitlines())
    action = "\n".join(f"  > {line}" for line in printable(request.action).splitlines())
    print(f"The page:\n{page}\nThe action:\n{action}", flush=True)
    return _typed_yes()


def ask_in_notebook(request: Request) -> bool:
    """Show the page and the action below the cell, and return whether the user types `yes` into the box that opens."""
    from IPython.display import HTML, display

    page, action = (html.escape(printable(text)) for text in (request.page, request.action))
    display(HTML(f"<p>The page:</p><pre>{page}</pre><p>The action:</p><pre>{action}</pre>"))
    return _typed_yes()


def printable(text: str) -> str:
    """Return `text` with every sign that a terminal might obey replaced, but for line breaks."""
    return "".join(sign if sign.isprintable() or sign == "\n" else "�" for sign in text)


def _typed_yes() -> bool:
    try:
        return input(_QUESTION).strip().lower() == YES
    except EOFError:  # nobody is there any more
        return False


def _in_notebook() -> bool:
    """Return whether this process is a kernel whose front end can answer; papermill's can't."""
    if "ipykernel" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    return bool(getattr(kernel, "_allow_stdin", False))
