"""The benchmarks of this package by name. To add an environment, add its entries to `_ENTRIES`; nothing else lists them.

    webshop_mini             a generated shop in which navigation is needed; no download
    webshop                  official WebShop files with human goals
    webshop_synthetic        official WebShop files with synthetic goals
    webshop_synthetic_hard   the same; no product of a dev or test goal is a training goal's
    sciworld                 ScienceWorld's tasks of the 22 kinds that AgentTraj-L shows, without teleport; needs Java
    sciworld_mini            the twelve kinds whose paths are short
    booking                  a restaurant-reservation site: eight cities, twelve factors that make tasks harder
    booking_mini             bookings alone, in three small cities
    miniwob                  MiniWoB++'s pages that clicks and typing can solve, in Chromium; no download
    gymnasium                any Gymnasium environment that shows text, as in gymnasium?id=Taxi-v4 (`envs.gym`)

An entry names modules and functions as strings, which are imported on demand. A params file may also name a function of
your own, `my_package.my_module:load`, which is called as an entry's loader is. A name followed by `+composite` or
`+composite_status` is the same benchmark for agents of composite actions (`envs.composite`). Options follow a question
mark, as in `webshop?arrows=false&item_lines=false` or `webshop_mini?two_skills=0.3`; the loader takes them by name
(`webshop.interfaces.options`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl

from eefcore.envs.composite import CompositeBenchmark, split_suffix
from eefcore.envs.panels import ALL_TASKS, panel_sizes
from eefcore.errors import ParamsError, suggest
from eefcore.plugins import load_plugin
from eefcore.protocols import Benchmark


class EpisodeSize(NamedTuple):
    """How long episodes are: actions that the environment answers, tokens that a policy writes and reads."""

    steps: int
    written: int
    read: int

    def times(self, n: int) -> EpisodeSize:
        """Return the size of `n` such episodes together."""
        return EpisodeSize(*(n * part for part in self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the package knows of a benchmark before it is loaded.

    Attributes:
        name: what a params file calls it.
        loader: the function that loads it, as `module:function`; it takes `data`, `sizes`, `seed` and options by name.
        source: where its tasks come from. `files`: a folder of official files, which `data` names. `generated`:
            they are written on this machine, as many as `sizes` says. `simulated`: a simulator holds them.
        max_turns: actions of an episode at most, `protocols.Benchmark.max_turns`; 0 if only the loaded one knows.
        check: the function that refuses a folder of data without its files and panels larger than there are tasks, as
            `module:function`; it takes the plain name, `data`, `sizes` as a `PanelSizes`, and the options of the name.
        card: the name on its environment card.
        experts: its scripted experts, as `module:name`; empty if it has none.
        composite_experts: the same, for agents of composite actions.
        prompt: the format of text with which the papers prompt an expert.
        episodes: the size of a typical episode by the format in which its dialogue is written, each token read
            once; plans are estimated with it.
        tiny_tasks: tasks of all three panels at most that the committed tiny bases can play; 0 for any number.
        recorded: the function that finds the options from recorded observations, as `module:function`; empty if none.
    """

    name: str
    loader: str
    source: Literal["files", "generated", "simulated"]
    max_turns: int
    check: str
    card: str
    experts: str = ""
    composite_experts: str = ""
    prompt: str = ""
    episodes: Mapping[str, EpisodeSize] = field(default_factory=dict)
    tiny_tasks: int = 0
    recorded: str = ""


def _webshop(name: str, source: Literal["files", "generated"]) -> Entry:
    return Entry(
        name=name,
        loader=f"eefcore.envs.webshop.benchmark:{name}",
        source=source,
        max_turns=20,
        check=f"eefcore.envs.webshop.benchmark:check_{source}",
        card="webshop",
        experts="eefcore.experts.webshop.experts:EXPERTS",
        composite_experts="eefcore.experts.webshop.experts:COMPOSITE_EXPERTS",
        prompt="agentlite",
        # More tasks have more products than two short lists of words make ids for; the bases copy only those words.
        tiny_tasks=1210 if source == "generated" else 0,
        recorded="eefcore.envs.webshop.interfaces.options:recorded_query",
        episodes={
            "compact": EpisodeSize(9, 80, 160),  # measured in `make run`
            "composite_compact": EpisodeSize(
                5, 170, 370
            ),  # of an expert; a thought and its call are one action
            "agentlite": EpisodeSize(
                9, 180, 1060
            ),  # of an expert on official products, 3.5 characters a token
            "chat": EpisodeSize(9, 180, 1060),
        },
    )


def _sciworld(name: str, max_turns: int) -> Entry:
    return Entry(
        name=name,
        loader=f"eefcore.envs.sciworld.benchmark:{name}",
        source="simulated",
        max_turns=max_turns,
        check="eefcore.envs.sciworld.benchmark:check_panels",
        card="sciworld",
        experts="eefcore.experts.sciworld.experts:EXPERTS",
        prompt="agentgym",
        episodes={"agentgym": EpisodeSize(20, 800, 1600)},  # of a gold path, each thought two sentences long
    )


def _booking(name: str, max_turns: int, *, large: EpisodeSize, tiny: EpisodeSize) -> Entry:
    return Entry(
        name=name,
        loader=f"eefcore.envs.booking.benchmark:{name}",
        source="generated",
        max_turns=max_turns,
        check="eefcore.envs.booking.benchmark:check_options",
        card="booking",
        experts="eefcore.experts.booking.experts:EXPERTS",
        prompt="web",
        episodes={"web": large, "chat": large, "compact": tiny},
    )


_ENTRIES = (
    _webshop("webshop_mini", "generated"),
    _webshop("webshop", "files"),
    _webshop("webshop_synthetic", "files"),
    _webshop("webshop_synthetic_hard", "files"),
    # AgentGym's server gives 100 moves; the longer ones of the simulator's own paths change a state of matter.
    _sciworld("sciworld", 100),
    # The longest of the simulator's own paths takes 30 moves; a policy has ten more to go wrong in.
    _sciworld("sciworld_mini", 40),
    # Half as many again as the longest solutions take, to go wrong in.
    # Tokens of the perfect expert's solutions as SmolLM2 and as the site's tiny base count them.
    _booking("booking", 45, large=EpisodeSize(14, 125, 3150), tiny=EpisodeSize(14, 85, 2100)),
    _booking("booking_mini", 35, large=EpisodeSize(16, 150, 3750), tiny=EpisodeSize(16, 100, 2650)),
    Entry(
        name="miniwob",
        loader="eefcore.envs.miniwob.benchmark:miniwob",
        source="generated",
        max_turns=20,
        check="eefcore.envs.miniwob.benchmark:check_installed",
        card="miniwob",
        prompt="web",
    ),
    Entry(
        name="gymnasium",
        loader="eefcore.envs.gym:gymnasium",
        source="generated",
        max_turns=0,
        check="eefcore.envs.gym:check_options",
        card="gymnasium",
    ),
)
ENTRIES: Mapping[str, Entry] = {entry.name: entry for entry in _ENTRIES}


def load(name: str, *, data: str = "", sizes: str = "", seed: int = 0) -> Benchmark:
    """Load the benchmark called `name`, or the one that `my_package.my_module:load` returns for the same arguments.

    Args:
        data: the folder of official files, for a benchmark that reads some.
        sizes: tasks to train on / to select the model on / to test on: `400/100/300`. With official files
            the first number may be 0: all that are not in the other two. Of ScienceWorld's splits each may be.
        seed: of a generated shop, of prices, of splits by content, and of which of ScienceWorld's tasks come first.

    Raises:
        ParamsError: an unknown name, sizes that are not three numbers, `data` missing or not wanted.
        SimulatorError: ScienceWorld, or Java, is not installed.
    """
    _, composite, options = split_name(name)
    loader = check_benchmark(name, data=data, sizes=sizes)
    benchmark = loader(data=data, sizes=sizes, seed=seed, **options)
    return CompositeBenchmark(benchmark, composite) if composite else benchmark


def check_benchmark(name: str, *, data: str, sizes: str) -> Callable[..., Benchmark]:
    """Refuse a benchmark that `load` could not load, as far as that is known before its tasks are read; return its loader.

    Raises:
        ParamsError: an unknown name or option, sizes that are not three numbers, `data` missing or not wanted.
        DataError: files are missing, or more tasks are asked for than there are.
    """
    plain, _, options = split_name(name)
    if ":" not in plain:
        _check(plain, data, sizes, options)
        spec = ENTRIES[plain].loader
    else:
        spec = plain
    return load_plugin(spec, "benchmark", takes=("data", "sizes", "seed", *options))


class BenchmarkName(NamedTuple):
    """A benchmark's name in parts: `webshop+composite?arrows=false`."""

    plain: str
    composite: str  # `+composite`, `+composite_status` or empty
    options: dict[str, str]


def split_name(name: str) -> BenchmarkName:
    """Return the parts of a benchmark's name.

    Raises:
        ParamsError: what follows the question mark is no list of options.
    """
    stem, mark, query = name.partition("?")
    try:
        options = dict(parse_qsl(query, strict_parsing=True, keep_blank_values=True)) if mark else {}
    except ValueError as error:
        raise ParamsError(f"benchmark {name!r}: {error}; options read as in webshop?arrows=false") from error
    return BenchmarkName(*split_suffix(stem), options)


def find_entry(name: str) -> Entry | None:
    """Return what the package knows of a benchmark before it is loaded; None for one of your own."""
    return ENTRIES.get(split_name(name).plain)


def name_as_recorded(name: str, observations: Iterable[str]) -> str:
    """Return a benchmark's name with the options under which it shows what was recorded, if it has none of its own."""
    entry = find_entry(name)
    if entry is None or not entry.recorded or split_name(name).composite or "?" in name:
        return name
    query = load_plugin(entry.recorded, "pages", takes=("observations",))(observations=observations)
    return f"{name}?{query}" if query else name


def max_turns(name: str, *, data: str, sizes: str, seed: int) -> int:
    """Return how many actions an episode has at most; only a benchmark of your own, or with another interface, is loaded to find out."""
    if (entry := find_entry(name)) and entry.max_turns and "interface" not in split_name(name).options:
        return entry.max_turns
    return load(name, data=data, sizes=sizes, seed=seed).max_turns


def typical_episode(name: str, format: str) -> EpisodeSize:
    """Return the size of a typical episode of a benchmark whose dialogue is written in `format`.

    Without a measurement it is that of another benchmark in the same format, or else of a shop in `chat`.
    """
    entry = find_entry(name)
    if entry is not None and format in entry.episodes:
        return entry.episodes[format]
    measured = {f: size for e in reversed(_ENTRIES) for f, size in e.episodes.items()}
    return measured.get(format, measured["chat"])


def card_name(name: str) -> str | None:
    """Return the name on the card of a benchmark, before it is loaded; None for one of your own."""
    plain, composite, options = split_name(name)
    if plain not in ENTRIES:
        return None
    card, interface = ENTRIES[plain].card, options.get("interface", "agentlite")
    return card + (f"_{interface}" if interface != "agentlite" else "") + composite


def expert_prompt(card: str) -> str:
    """Return the format of text with which the papers prompt an expert in benchmarks with that card; empty if in none."""
    prompts = {entry.card: entry.prompt for entry in _ENTRIES}
    return "composite" if split_suffix(card)[1] else prompts.get(card, "")


def scripted_experts(card: str) -> str | None:
    """Return the module of the scripted experts of benchmarks with that card, as `module:name`; None if there are none."""
    plain, suffix = split_suffix(card)
    places = (e.composite_experts if suffix else e.experts for e in ENTRIES.values() if e.card == plain)
    return next((place for place in places if place), None)


def _check(name: str, data: str, sizes: str, options: Mapping[str, str]) -> None:
    """Raise ParamsError for an unknown name, and for `data` or `sizes` that do not fit its entry."""
    if name not in ENTRIES:
        raise ParamsError(
            f"no benchmark {name!r}{suggest(name, ENTRIES) or ';'} choose one of {', '.join(ENTRIES)}, or "
            "my_package.my_module:load"
        )
    source = ENTRIES[name].source
    if source == "files" and not data:
        raise ParamsError(f"benchmark {name} needs data: the folder of the official files; got data ''")
    if source != "files" and data:
        raise ParamsError(f"benchmark {name} is {source} and reads no data folder; got data {data!r}")
    if source == "generated" and not sizes:
        raise ParamsError(f"benchmark {name} needs sizes: how many tasks to generate, as in 400/100/300")
    panels = panel_sizes(sizes) if sizes else ALL_TASKS
    load_plugin(ENTRIES[name].check, "check", takes=("name", "data", "sizes", "options"))(
        name=name, data=data, sizes=panels, options=options
    )
