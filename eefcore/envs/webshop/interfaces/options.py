"""Read from a benchmark's name which interface of the shop is played: `webshop?arrows=false&item_lines=false`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from eefcore.envs.webshop.interfaces.agentlite import AgentLite
from eefcore.envs.webshop.interfaces.official import OfficialText
from eefcore.envs.webshop.interfaces.pages import AGENTBOARD
from eefcore.envs.webshop.interfaces.react import ReAct
from eefcore.envs.webshop.shop import Shop
from eefcore.errors import ParamsError

Kind = Literal["agentlite", "react", "text", "text_rich"]


class InterfaceOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The interface, and the switches of AgentLite's pages, which differ between copies of the shop.

    Attributes:
        interface: agentlite (both papers), react (ReAct's GPT-3 episodes), text or text_rich (the official ones).
        arrows, item_lines, per_page: see `AgentLite`.
        tagger: of nouns, for the reward (`webshop.nouns`); None is the official one for the official files where it is installed.
    """

    interface: Kind = "agentlite"
    arrows: bool = True
    item_lines: bool = True
    per_page: Annotated[int, Meta(ge=1, le=50)] = AGENTBOARD.per_page
    tagger: str | None = None

    def __post_init__(self) -> None:
        if self.interface != "agentlite" and self.switches != DEFAULT_INTERFACE.switches:
            raise ValueError(
                f"arrows, item_lines and per_page are switches of agentlite, got interface {self.interface}"
            )

    @property
    def switches(self) -> dict[str, bool | int]:
        """Return the switches of AgentLite's pages by name."""
        return {"arrows": self.arrows, "item_lines": self.item_lines, "per_page": self.per_page}

    @property
    def query(self) -> str:
        """Return what follows the `?` of a benchmark's name: the options that are not the default."""
        return urlencode({k: str(v).lower() for k, v in msgspec.to_builtins(self).items()})

    def make(self, shop: Shop) -> AgentLite | OfficialText:
        """Return the interface to a shop."""
        if self.interface == "agentlite":
            return AgentLite(shop, arrows=self.arrows, item_lines=self.item_lines, per_page=self.per_page)
        return (
            ReAct(shop)
            if self.interface == "react"
            else OfficialText(shop, rich=self.interface == "text_rich")
        )


class GeneratedOptions(InterfaceOptions, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The interface of a generated shop, and which tasks it has: `webshop_mini?two_skills=0.3`.

    Attributes:
        two_skills: the share of the tasks that need Next and Back (`generate.shares_of_kinds`); None is one in ten.
    """

    two_skills: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None


DEFAULT_INTERFACE = InterfaceOptions()

O = TypeVar("O", bound=InterfaceOptions)
"""The options that a benchmark takes."""


def read_interface(options: Mapping[str, str]) -> InterfaceOptions:
    """Return the interface that the options in a benchmark's name ask for; see `read_options`."""
    return read_options(options, InterfaceOptions)


def read_options(options: Mapping[str, str], kind: type[O]) -> O:
    """Return the options in a benchmark's name as those of that kind.

    Raises:
        ParamsError: there is no such option, or a value does not fit.
    """
    try:
        return msgspec.convert(dict(options), kind, strict=False)
    except ValueError as error:  # msgspec's own errors are ValueErrors as well
        raise ParamsError(
            f"benchmark: options {urlencode(options)!r}: {error}; a shop takes "
            f"{', '.join(kind.__struct_fields__)}, as in webshop?arrows=false&per_page=10"
        ) from error


def recorded_options(observations: Iterable[str]) -> InterfaceOptions | None:
    """Return the interface that shows such pages; None if no page among them is the shop's.

    Copies of the shop differ: AgentBoard's buttons read `[Next >]`, those in EEF's transcripts `[Next]`, and their item
    pages have no lines of Rating, Description, Features and Reviews. Where no page shows a switch, it is the default.
    """
    pages = [o for o in observations if "Back to Search" in o]
    if not pages:
        return None
    if any("[button]" in page for page in pages):
        return InterfaceOptions("text_rich")
    if any(" [SEP] " in page for page in pages):
        return InterfaceOptions("text")
    if not any(page.startswith("WEB PAGE:") for page in pages):
        return InterfaceOptions("react")
    items = [page for page in pages if "[Buy Now]" in page]
    listed = max(len(_LISTED.findall(page)) for page in pages)
    return InterfaceOptions(
        arrows=not any(re.search(r"\[(Next|Prev)\]", page) for page in pages),
        item_lines=not items or any("[Description]" in page for page in items),
        per_page=listed or AGENTBOARD.per_page,
    )


def recorded_query(observations: Iterable[str]) -> str:
    """Return the options of the interface that shows such pages, as they follow a benchmark's name."""
    return (recorded_options(observations) or DEFAULT_INTERFACE).query


_LISTED = re.compile(r"\n\[[A-Z0-9]{10}\] ")
"""A product's id on a page of results."""
