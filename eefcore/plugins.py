"""Load a function of your own that a params file names, as `my_package.my_module:function`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

from eefcore.errors import ParamsError


def load_plugin(spec: str, what: str, *, takes: tuple[str, ...]) -> Callable[..., Any]:
    """Return the function that `spec` names. Its module must be on Python's path wherever a stage runs.

    Args:
        what: the purpose of the function, as an error names it.
        takes: the keywords that the function is called with.

    Raises:
        ParamsError: there is no such module or function, it can't be imported, or it takes other keywords.
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
    loaded = vars(module).get(function)
    if not callable(loaded):
        functions = sorted(
            n for n, v in vars(module).items() if inspect.isfunction(v) and v.__module__ == name
        )
        raise ParamsError(
            f"{where}: {name} has no function {function!r}; it has {', '.join(functions) or 'none'}"
        )
    try:
        inspect.signature(loaded).bind(**dict.fromkeys(takes))
    except TypeError as error:
        raise ParamsError(f"{where}: {error}; it is called with {', '.join(takes)}, each by name") from error
    return loaded
