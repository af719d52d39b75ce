"""What a params file names that is not this package's: a function of your own, as `my_package.my_module:function`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

from eefcore.errors import ParamsError


def load_plugin(spec: str, what: str, *, takes: tuple[str, ...]) -> Callable[..., Any]:
    """The function that `spec` names. It is loaded wherever a stage runs, so its module must be on Python's path there.

    Args:
        what: it is for, as an error names it.
        takes: the keywords that it will be called with.

    Raises:
        ParamsError: no such module or function, one that can't be imported, or one that takes something else.
    """
    name, _, function = spec.partition(":")
    where = f"{what} {spec!r}"
    if not name or not function:
        raise ParamsError(f"{where}: expected my_package.my_module:function")
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ParamsError(f"{where}: {name} imports {error.name}, which is not installed") from error
        raise ParamsError(
            f"{where}: there is no module {error.name}; `pip install` its package, or put the folder that holds it on "
            "PYTHONPATH"
        ) from error
    except (ImportError, SyntaxError, ValueError) as error:
        raise ParamsError(f"{where}: {name} can't be imported: {error}") from error
    found = vars(module).get(function)
    if not callable(found):
        known = sorted(n for n, v in vars(module).items() if inspect.isfunction(v) and v.__module__ == name)
        raise ParamsError(
            f"{where}: {name} has no function {function!r}; it has {', '.join(known) or 'none'}"
        )
    try:
        inspect.signature(found).bind(**dict.fromkeys(takes))
    except TypeError as error:
        raise ParamsError(f"{where}: {error}; it is called with {', '.join(takes)}, each by name") from error
    return found
