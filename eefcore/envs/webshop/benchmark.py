"""WebShop as an `eefcore.protocols.Benchmark`: a folder of data made into tasks and environments."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from eefcore import __version__
from eefcore.envs.webshop import splits as splitting
from eefcore.envs.webshop.catalogue.catalogue import Catalogue
from eefcore.envs.webshop.catalogue.loading import only_file
from eefcore.envs.webshop.env import Interface, Memory, WebShop
from eefcore.envs.webshop.goals import Goal, human_goals, synthetic_goals
from eefcore.envs.webshop.interfaces.agentlite import AgentLite
from eefcore.envs.webshop.interfaces.official import OfficialText
from eefcore.envs.webshop.nouns import tagger_named
from eefcore.envs.webshop.shop import Shop
from eefcore.envs.webshop.splits import Sizes, Splits
from eefcore.errors import DataError, ParamsError, UnknownTask
from eefcore.types import Card

GOALS = {
    "human": ("items_human_ins*.json", human_goals),
    "synthetic": ("items_ins_v2*.json", synthetic_goals),
}
INTERFACES = ("agentlite", "text", "text_rich")


class WebShopBenchmark:
    """The tasks of one catalogue through one interface.

    Attributes:
        folder: the data files.
        shop: what is sold, and what a purchase is worth.
        interface: how it is shown.
        goals: by task id, in the official order. Goals of equal content are one task.
        splits: task ids of `train`, `dev` and `test`.
    """

    def __init__(
        self,
        folder: Path,
        shop: Shop,
        interface: Interface,
        goals: list[Goal],
        splits: Splits,
        facts: Mapping[str, str | int | bool],
    ) -> None:
        self.folder, self.shop, self.interface = folder, shop, interface
        self.goals = {goal.id: goal for goal in goals}
        self.splits = splits
        self.skills, self.max_turns = interface.skills, interface.max_turns
        self._memory = Memory()
        self._facts = dict(facts)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        interface: str = "agentlite",
        goals: str = "human",
        arrows: bool = True,
        item_lines: bool = True,
        tagger: str = "letters",
        seed: int = 233,
        sizes: Sizes | None = None,
        splits_file: Path | None = None,
        hold_out_products: bool = False,
        cache: Path | None = None,
    ) -> WebShopBenchmark:
        """The benchmark of the official data files in `folder`.

        Splits come from `splits_file`, else are made by content in the given `sizes`, else come from
        `splits.json` in the folder, else are made in the usual sizes.

        Args:
            folder: holds `items_shuffle*.json`, `items_ins_v2*.json` and, for human goals,
            `items_human_ins*.json`. interface: one of `INTERFACES`.
            goals: `human` or `synthetic`.
            arrows: see `AgentLite`; of no effect on the others, like the next.
            item_lines: see `AgentLite`.
            tagger: `letters` or the name of a spaCy model.
            seed: of prices, price caps and splits by content.
            sizes: of the splits.
            splits_file: `{"train": [ids], "dev": [ids], "test": [ids]}`.
            hold_out_products: of splits by content: no product of a test goal is a training goal's.
            cache: where the catalogue keeps its built form; `eefcore.storage.hashing.default_cache()` by default.

        Raises:
            DataError: a file is missing, torn, or not of this catalogue.
            LeakageError: a goal is in two splits.
            ParamsError: an unknown interface or kind of goals.
        """
        if goals not in GOALS:
            raise ParamsError(f"goals {goals!r}; choose one of {', '.join(GOALS)}")
        catalogue = Catalogue.load(folder, cache=cache, price_seed=seed)
        shop = Shop(catalogue, tagger_named(tagger))
        shown = interface_named(interface, shop, arrows=arrows, item_lines=item_lines)
        pattern, made = GOALS[goals]
        wanted = made(catalogue, only_file(folder, pattern), seed=seed)
        by_id = {goal.id: goal for goal in wanted}
        if not by_id:
            raise DataError(f"{folder}: not one {goals} goal is about its {len(catalogue)} products")
        file = splits_file or (folder / "splits.json" if sizes is None else None)
        if file is not None and (splits_file is not None or file.exists()):
            splits = splitting.from_file(file, by_id)
        else:
            splits = splitting.by_content(
                by_id, sizes or splitting.usual(len(by_id)), seed=seed, hold_out_products=hold_out_products
            )
        facts: dict[str, str | int | bool] = {
            "products": len(catalogue),
            "catalogue": catalogue.hash,
            "goals": goals,
            "n_goals": len(by_id),
            "goals_hash": hashlib.sha256("\n".join(sorted(by_id)).encode()).hexdigest()[:8],
            "splits": splitting.digest(splits),
            "price_seed": seed,
            "tagger": shop.nouns.name,
            "interface": interface,
            "eefcore": __version__,
            "rapidfuzz": version("rapidfuzz"),
        }
        if interface == AgentLite.name:
            facts |= {"arrows": arrows, "item_lines": item_lines}
        return cls(folder, shop, shown, wanted, splits, facts)

    @property
    def card(self) -> Card:
        """What must be equal for two numbers to be compared."""
        return Card("webshop", self._facts)

    def make(self) -> WebShop:
        """An environment; all of a benchmark share one shop and one memory of states."""
        return WebShop(self.goals, self.interface, self._memory)

    def irreversible(self, action: str) -> bool:
        """Whether `action` can't be undone outside a simulation: it buys."""
        return self.interface.irreversible(action)

    def tasks(self, split: str) -> tuple[str, ...]:
        """Task ids of `train`, `dev` or `test`, in the order of the file, or of their hashes.

        Raises:
            ParamsError: there is no such split.
        """
        if split not in self.splits:
            raise ParamsError(f"split {split!r}; choose one of {', '.join(self.splits)}")
        return self.splits[split]

    def goal(self, task_id: str) -> Goal:
        """What the task asks for, as the reward reads it. For experts and analysis; no method may see it.

        Raises:
            UnknownTask: no goal has that id.
        """
        try:
            return self.goals[task_id]
        except KeyError:
            raise UnknownTask(f"no task {task_id!r} among {len(self.goals)} WebShop goals") from None

    def instruction(self, task_id: str) -> str:
        """What the user asks for, in words, the price clause included."""
        return self.goal(task_id).instruction


def interface_named(name: str, shop: Shop, *, arrows: bool, item_lines: bool) -> Interface:
    """One of `INTERFACES` onto `shop`."""
    if name not in INTERFACES:
        raise ParamsError(f"interface {name!r}; choose one of {', '.join(INTERFACES)}")
    if name == AgentLite.name:
        return AgentLite(shop, arrows=arrows, item_lines=item_lines)
    return OfficialText(shop, rich=name == "text_rich")
