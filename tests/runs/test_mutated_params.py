"""Whatever is wrong with a params file, planning it ends in a plan or in one clear error."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.official_files import write_official_files
from helpers.paths import ROOT

from eefcore.errors import ParamsError
from eefcore.runs import estimate
from eefcore.runs.notebook import read_notebooks
from eefcore.runs.params import STAGES
from eefcore.runs.planning import plan_run

FILES = [
    ROOT / "params" / f"{name}.yaml"
    for name in ("smoke", "quickstart", "agentq_webshop", "webshop11k_methods")
]

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 10**9, 10**30, -(10**30), 1 << 63, 0.0, 0.5, -0.5, 1.0, 1e-300, 1e308, 1e400, -1e400,
    float("nan"), "", " ", "0", "1e5", "5e-5", "nan", "null", "tiny", "smollm2", "none", "self", "both", "dpo", "mcts", "test",
    "../..", "/", "/etc/passwd", "~", "~nobody/x", "a" * 5000, "a/b/c", "${HOME}", "${NO_SUCH_VARIABLE}", "${", "$HOME",
    "\0", "\ud800", "é\n\t", "\u202e", "one:two", ":", "::", "os:system", "json:loads", "no_such_module:f", "a b:c", "1/2/3",
    "0/0/0", "1/1", "-1/2/3", "999999999/1/1", "9999999999/1/1", "1//1", "١/٢/٣", "400/100/300", "40-10-20", "strong+weak", "+",
    "webshop", "webshop_mini+composite", "sciworld", "hf", "vllm", "hf?", "hf?dtype=x", "vllm?memory=9", "openai:", "vllm:",
    "openai:http://[::1", "openai:http://h/v1#m", "hf:", "hf:/", "hf:tiny", [], [1], ["a", None], {}, {"a": 1}, {"iterations": 1},
    yaml.safe_load("2001-01-01"), b"bytes",
]  # fmt: skip

SPLICES = [
    "\t", "  ", "\n", ":", ": ", "- ", "{", "}", "[", "]", "'", '"', "#", "&a ", "*a", "!!int ", "!!python/object:os.system ", "? ",
    "<<: ", "|\n", ">", "%", "@", "`", "\0", "\ufeff", "...\n", "---\n", "~", "null", "2001-99-99", "0x", "0o9", "1_000", "=", "1e999",
    ".nan", ".inf", "é", "\U0001f600", "{a: &a [*a]}", "[" * 300, "{" * 300, "9" * 5000,
]  # fmt: skip


def paths(content: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where every value of nested mappings is."""
    if not isinstance(content, dict):
        return []
    return [
        place for key, value in content.items() for place in [(*above, key), *paths(value, (*above, key))]
    ]


def mapping_at(content: dict, place: tuple[Any, ...]) -> Any:
    for key in place:
        content = content[key]
    return content


class Mutations:
    """Draws params files that are nearly right."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.texts = [path.read_text(encoding="utf-8") for path in FILES]
        notebooks = read_notebooks(ROOT / "notebooks")
        self.parameters = [(stage, name) for stage in STAGES for name in notebooks[stage].parameters]
        self.names = sorted(
            {name for _, name in self.parameters}
            | {*STAGES, "run", "methods", "iterations", "learn", "shared"}
        )

    def draw(self) -> bytes:
        text = self.rng.choice(self.texts)
        if self.rng.random() < 0.25:
            for _ in range(self.rng.randint(1, 3)):
                text = self.spliced(text)
            return text.encode("utf-8", "surrogatepass")
        content = yaml.safe_load(text)
        steps: list[Callable[[dict], None]] = [self.replace, self.set, self.rename, self.drop, self.set]
        for _ in range(self.rng.randint(1, 3)):
            self.rng.choice(steps)(content)
        return yaml.dump(content, allow_unicode=True, sort_keys=False).encode("utf-8", "surrogatepass")

    def spliced(self, text: str) -> str:
        at = self.rng.randrange(len(text) + 1)
        until = min(len(text), at + self.rng.choice((0, 0, 1, 3, 40)))
        return text[:at] + self.rng.choice((*SPLICES, "")) + text[until:]

    def place(self, content: dict) -> tuple[tuple[Any, ...], Any]:
        *above, key = self.rng.choice(paths(content) or [("run",)])
        return tuple(above), key

    def replace(self, content: dict) -> None:
        above, key = self.place(content)
        mapping_at(content, above)[key] = self.rng.choice(VALUES)

    def set(self, content: dict) -> None:
        stage, name = self.rng.choice(self.parameters)
        value = self.rng.choice(VALUES)
        entry: dict = (
            {"shared": {name: value}} if self.rng.random() < 0.3 else {"stages": {stage: {name: value}}}
        )
        for key, part in entry.items():
            there = content.get(key)
            content[key] = {**there, **part} if isinstance(there, dict) else part

    def rename(self, content: dict) -> None:
        above, key = self.place(content)
        mapping = mapping_at(content, above)
        if key in mapping:
            mapping[self.rng.choice([*self.names, 1, None, True, 2.5, "", "a/b", "\ud800", "x" * 300])] = (
                mapping.pop(key)
            )

    def drop(self, content: dict) -> None:
        above, key = self.place(content)
        mapping_at(content, above).pop(key, None)


def outcome(path: Path) -> str:
    """Plan the file as `eef run --dry-run` does, and return `plan` or `refused`; any other error is the test's failure."""
    try:
        nodes = plan_run(path)
        estimate.total(estimate.work(node) for node in nodes)
        estimate.memory(nodes, lambda base: None)
    except ParamsError as error:
        assert str(path) in str(error) and len(str(error)) < 3000
        return "refused"
    return "plan"


@pytest.mark.parametrize("n", [100, pytest.param(2_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_a_mutated_params_file_is_planned_or_refused_with_one_clear_error(n, tmp_path, monkeypatch):
    """None hangs either: pytest's own limit of a test's time would end this one."""
    monkeypatch.chdir(ROOT)
    shop = write_official_files(tmp_path / "shop")
    for name in ("EEF_WEBSHOP_DATA", "EEF_GPT4", "EEF_GPT3"):
        monkeypatch.setenv(name, str(shop if name == "EEF_WEBSHOP_DATA" else shop / "items_shuffle.json"))
    mutations, path = Mutations(n), tmp_path / "mutated.yaml"
    ends = {"plan": 0, "refused": 0}
    for _ in range(n):
        path.write_bytes(mutations.draw())
        try:
            ends[outcome(path)] += 1
        except BaseException:
            print(path.read_bytes()[:3000])
            raise
    print(ends)
    assert min(ends.values()) > n / 20
