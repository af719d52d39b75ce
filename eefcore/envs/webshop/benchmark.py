"""Tasks and environments of a folder of WebShop data: an `eefcore.protocols.Benchmark`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from math import comb
from pathlib import Path

from eefcore import __version__
from eefcore.envs.panels import Facts, PanelBenchmark, PanelSizes, Splits, panel_sizes
from eefcore.envs.webshop import words
from eefcore.envs.webshop.catalogue.catalogue import Catalogue
from eefcore.envs.webshop.catalogue.loading import PRODUCT_FILES, only_file
from eefcore.envs.webshop.env import Interface, StepCache, WebShop
from eefcore.envs.webshop.generate import generated_shop
from eefcore.envs.webshop.goals import (
    CAP_MARK,
    Goal,
    count_human_goals,
    find_goal,
    human_goals,
    named_cap,
    synthetic_goals,
)
from eefcore.envs.webshop.interfaces.agentlite import AgentLite
from eefcore.envs.webshop.interfaces.options import (
    DEFAULT_INTERFACE,
    GeneratedOptions,
    InterfaceOptions,
    read_interface,
    read_options,
)
from eefcore.envs.webshop.interfaces.pages import AGENTBOARD
from eefcore.envs.webshop.nouns import load_tagger, official_tagger
from eefcore.envs.webshop.shop import Shop
from eefcore.envs.webshop.splits import default_sizes, read_splits, split_by_content, splits_digest
from eefcore.errors import DataError, ParamsError
from eefcore.storage import stages
from eefcore.types import Card

GOALS = {
    "human": ("items_human_ins*.json", human_goals),
    "synthetic": ("items_ins_v2*.json", synthetic_goals),
}


class WebShopBenchmark(PanelBenchmark[Goal]):
    """The tasks of the catalogue in `folder` through one interface; goals of equal content are one task."""

    name = "webshop"

    def __init__(
        self, folder: Path, shop: Shop, interface: Interface, goals: list[Goal], splits: Splits, facts: Facts
    ) -> None:
        super().__init__({goal.id: goal for goal in goals}, splits, facts)
        self.folder, self.shop, self.interface = folder, shop, interface
        self.skills, self.max_turns = interface.skills, interface.max_turns
        self._cache = StepCache()

    @property
    def card(self) -> Card:
        """The environment card: facts that must be equal for two results to be compared; scripted experts read the pages of AgentLite alone."""
        shown = self.interface.name
        return Card(self.name if shown == AgentLite.name else f"{self.name}_{shown}", self._facts)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        interface: InterfaceOptions = DEFAULT_INTERFACE,
        goals: str = "human",
        tagger: str = "letters",
        seed: int = 233,
        sizes: PanelSizes | None = None,
        splits_file: Path | None = None,
        hold_out_products: bool = False,
        cache: Path | None = None,
    ) -> WebShopBenchmark:
        """Load the benchmark of the official data files in `folder`.

        Splits come from `splits_file`; or are made by content in the given `sizes`; or come from `splits.json` in
        the folder; or are made by content in the default sizes.

        Args:
            folder: holds `items_shuffle*.json`, `items_ins_v2*.json`; for human goals `items_human_ins*.json`.
            interface: what the shop looks like and what actions mean.
            goals: `human` or `synthetic`.
            tagger: `letters` or the name of a spaCy model.
            seed: of prices, price caps and splits by content.
            sizes: of the dev and test splits; all other goals are trained on.
            splits_file: `{"train": [ids], "dev": [ids], "test": [ids]}`.
            hold_out_products: for splits by content: no product of a test goal is a training goal's.
            cache: where the built catalogue is kept; `eefcore.storage.hashing.cache_folder()` by default.

        Raises:
            DataError: a file is missing, torn, or belongs to another catalogue.
            LeakageError: a goal is in two splits.
            ParamsError: an unknown kind of goals.
        """
        if goals not in GOALS:
            raise ParamsError(f"goals {goals!r}; choose one of {', '.join(GOALS)}")
        catalogue = Catalogue.load(folder, cache=cache, price_seed=seed)
        shop = Shop(catalogue, load_tagger(tagger))
        pattern, read_goals = GOALS[goals]
        all_goals = read_goals(catalogue, only_file(folder, pattern), seed=seed)
        by_id = {goal.id: goal for goal in all_goals}
        if not by_id:
            raise DataError(f"{folder}: not one {goals} goal is about its {len(catalogue)} products")
        file = splits_file or (folder / "splits.json" if sizes is None else None)
        if file is not None and (splits_file is not None or file.exists()):
            splits = read_splits(file, by_id)
        else:
            splits = split_by_content(
                by_id, sizes or default_sizes(len(by_id)), seed=seed, hold_out_products=hold_out_products
            )
        facts: Facts = {
            "products": len(catalogue),
            "catalogue": catalogue.hash,
            "goals": goals,
            "n_goals": len(by_id),
            "goals_hash": hashlib.sha256("\n".join(sorted(by_id)).encode()).hexdigest()[:8],
            "splits": splits_digest(splits),
            "price_seed": seed,
            "tagger": shop.nouns.name,
            "interface": interface.interface,
            "eefcore": __version__,
            "rapidfuzz": version("rapidfuzz"),
        }
        if interface.interface == "agentlite":
            # A card says no `per_page` where it is AgentBoard's 3: cards from before there was a choice stay equal.
            facts |= {
                k: v for k, v in interface.switches.items() if k != "per_page" or v != AGENTBOARD.per_page
            }
        return cls(folder, shop, interface.make(shop), all_goals, splits, facts)

    def make(self) -> WebShop:
        """Make an environment; all of a benchmark share one shop and one cache of states."""
        return WebShop(self.goals, self.interface, self._cache)

    def goal(self, task_id: str) -> Goal:
        """Return what the task asks for; raise UnknownTask if no goal has that id."""
        return find_goal(self.goals, task_id)

    def instruction(self, task_id: str) -> str:
        """Return what the user asks for, in words, the price clause included."""
        return self.goal(task_id).instruction

    def variant(self, task_id: str, recorded: str) -> str:
        """Return the id of the task with the price cap in a recorded o_0; `task_id` if o_0 names the task's own cap, or none.

        The official engine draws caps anew in each process, so a record of the same goal may ask for another price.
        """
        cap = named_cap(recorded)
        return task_id if cap in (None, self.goal(task_id).price_upper) else f"{task_id}{CAP_MARK}{cap:g}"

    def original(self, task_id: str) -> str:
        """Return the id of the task of which `task_id` is a variant under another price cap."""
        return task_id.partition(CAP_MARK)[0]


def check_generated(*, name: str, data: str, sizes: PanelSizes, options: Mapping[str, str]) -> None:
    """Refuse more tasks than a generated shop can have: each task needs a pair of attributes of a kind of product for itself."""
    read_options(options, GeneratedOptions)
    most = len(words.KINDS) * comb(len(words.ATTRIBUTES), 2)
    if sum(sizes) > most:
        raise DataError(
            f"sizes {'/'.join(map(str, sizes))}: {sum(sizes)} tasks are asked for; a generated shop has at most {most}"
        )


def check_files(*, name: str, data: str, sizes: PanelSizes, options: Mapping[str, str]) -> None:
    """Refuse a folder without the official files, and more human goals than its files hold; nothing else is read."""
    read_interface(options)
    folder = stages.workspace() / data
    pattern, _ = GOALS["human" if name == "webshop" else "synthetic"]
    files = {each: only_file(folder, each) for each in (*PRODUCT_FILES, pattern)}
    if name == "webshop" and sum(sizes) > (most := count_human_goals(files[pattern])):
        raise DataError(
            f"sizes {'/'.join(map(str, sizes))}: {sum(sizes)} tasks are asked for; {files[pattern]} holds {most}; ask for "
            "fewer (0 in place of the first number takes all that the others leave)"
        )


def webshop_mini(*, data: str, sizes: str, seed: int, **options: str) -> WebShopBenchmark:
    """Load a generated shop of as many tasks as `sizes` says, in which navigation is needed; no `data` is read."""
    panels = panel_sizes(sizes)
    interface = read_options(options, GeneratedOptions)
    return WebShopBenchmark.load(
        generated_shop(sum(panels), seed, interface.two_skills),
        sizes=panels,
        seed=seed,
        interface=interface,
        tagger=interface.tagger or "letters",
    )


def webshop(*, data: str, sizes: str, seed: int, **options: str) -> WebShopBenchmark:
    """Load the official files with human goals."""
    return _official(data, sizes, seed, options, goals="human")


def webshop_synthetic(*, data: str, sizes: str, seed: int, **options: str) -> WebShopBenchmark:
    """Load the official files with synthetic goals."""
    return _official(data, sizes, seed, options, goals="synthetic")


def webshop_synthetic_hard(*, data: str, sizes: str, seed: int, **options: str) -> WebShopBenchmark:
    """Load the official files with synthetic goals; no product of a dev or test goal is a training goal's."""
    return _official(data, sizes, seed, options, goals="synthetic", hold_out_products=True)


def _official(
    data: str,
    sizes: str,
    seed: int,
    options: Mapping[str, str],
    *,
    goals: str,
    hold_out_products: bool = False,
) -> WebShopBenchmark:
    panels = panel_sizes(sizes) if sizes else None
    interface = read_interface(options)
    benchmark = WebShopBenchmark.load(
        stages.workspace() / data,
        interface=interface,
        goals=goals,
        sizes=panels,
        seed=seed,
        tagger=interface.tagger or official_tagger(),
        hold_out_products=hold_out_products,
    )
    if panels and panels.train:
        benchmark.splits["train"] = benchmark.splits["train"][: panels.train]
    return benchmark
