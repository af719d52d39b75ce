"""Benchmarks by name: what a params file may say, and where generated shops are kept."""

import os
from collections import Counter
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from helpers.paths import WEBSHOP_DATA

from eefcore import envs
from eefcore.envs.registry import typical_episode
from eefcore.envs.webshop import generate
from eefcore.envs.webshop.generate import FILES, TWO_SKILLS
from eefcore.envs.webshop.interfaces.agentlite import AgentLite
from eefcore.errors import DataError, LeakageError, ParamsError
from eefcore.experts.webshop.experts import task_kinds
from eefcore.plugins import load_plugin


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EEF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("webshop_maxi", {}, "no benchmark 'webshop_maxi'; did you mean 'webshop_mini'\\? choose one of webshop_mini, webshop, webshop_synthetic"),
        ("webshop_mini", {"sizes": "4/0/0", "data": "there"}, "webshop_mini is generated and reads no data folder; got data 'there'"),
        ("webshop", {"sizes": "4/0/0"}, "webshop needs data: the folder of the official files; got data ''"),
        ("webshop_synthetic", {}, "webshop_synthetic needs data"),
        ("webshop_mini", {}, "needs sizes: how many tasks to generate, as in 400/100/300"),
        ("webshop_mini", {"sizes": "4/2"}, "sizes '4/2': expected three numbers"),
        ("webshop_mini", {"sizes": "4/2/-1"}, "expected three numbers, train/dev/test, as in 400/100/300"),
        ("webshop_mini", {"sizes": "4/2/x"}, "expected three numbers"),
        ("webshop_mini", {"sizes": "4/ 2/1"}, "expected three numbers"),
    ],
)  # fmt: skip
def test_a_wrong_name_data_or_sizes_is_refused_before_any_file_is_written(cache, name, options, message):
    with pytest.raises(ParamsError, match=message):
        envs.load(name, **options)
    assert not cache.exists()


def test_a_shop_of_no_tasks_is_refused(cache):
    with pytest.raises(DataError, match="0 tasks: there are words for 1 to"):
        envs.load("webshop_mini", sizes="0/0/0")
    assert not list((cache / "shops").iterdir())


def test_a_generated_shop_has_the_sizes_asked_for(generated):
    shop = generated("7/3/5")
    assert [len(shop.tasks(split)) for split in ("train", "dev", "test")] == [7, 3, 5]
    assert len(shop.shop.catalogue) == 150
    ids = [i for split in ("train", "dev", "test") for i in shop.tasks(split)]
    assert len(set(ids)) == 15 and set(ids) == set(shop.goals)


def test_a_generated_shop_is_written_once_and_then_found(cache):
    first = envs.load("webshop_mini", sizes="4/1/1", seed=2)
    (folder,) = (cache / "shops").iterdir()
    assert folder == first.folder and {p.name for p in folder.iterdir()} == set(FILES)
    written = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    again = envs.load("webshop_mini", sizes="1/4/1", seed=2)  # another split of the same tasks
    assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == written
    assert again.folder == folder and set(again.goals) == set(first.goals)
    assert envs.load("webshop_mini", sizes="4/1/1", seed=2).card == first.card


def test_another_seed_or_size_gives_another_shop(generated):
    shops = [generated("4/1/1"), generated("4/1/1", seed=1), generated("5/1/1")]
    assert len({s.folder for s in shops}) == len({s.card.key for s in shops}) == 3


def test_a_generated_shop_has_the_share_of_tasks_of_two_skills_asked_for(cache):
    """The card is another one; without the option the shop is the one that it always was."""
    plain, more, all_of_them = (
        envs.load(f"webshop_mini{options}", sizes="30/5/5")
        for options in ("", "?two_skills=0.5", "?two_skills=1&arrows=false")
    )
    kinds = [Counter(task_kinds(b).values()) for b in (plain, more, all_of_them)]
    assert [sum(of[kind] for kind in TWO_SKILLS) for of in kinds] == [4, 21, 40]
    assert kinds[0]["next_back"] == 0 < kinds[1]["next_back"]
    assert len({b.card.key for b in (plain, more, all_of_them)}) == 3
    assert all_of_them.interface.name == plain.interface.name and len(list((cache / "shops").iterdir())) == 3


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("webshop_mini?two_skills=1.5", "`float` <= 1.0"),
        ("webshop_mini?two_skills=some", "two_skills"),
        ("webshop_mini?three_skills=0.1", "a shop takes .*two_skills"),
        ("webshop?two_skills=0.5", "two_skills"),  # the official tasks are what they are
    ],
)
def test_a_share_that_no_shop_has_is_refused_before_anything_is_written(cache, name, says):
    with pytest.raises(ParamsError, match=says):
        envs.load(name, sizes="3/1/1", data="any" if name.startswith("webshop?") else "")
    assert not (cache / "shops").exists()


def test_of_two_processes_the_second_uses_the_shop_of_the_first(cache, monkeypatch):
    """Two processes that find no shop both write one, and one of them wins."""
    write = generate.write_catalogue

    def overtaken(folder, **options):
        monkeypatch.setattr(generate, "write_catalogue", write)
        first = generate.generated_shop(options["tasks"], options["seed"])
        assert first.exists()
        return write(folder, **options)

    monkeypatch.setattr(generate, "write_catalogue", overtaken)
    folder = generate.generated_shop(3, 0)
    assert [p.name for p in (cache / "shops").iterdir()] == [folder.name]
    assert {p.name for p in folder.iterdir()} == set(FILES)


@pytest.fixture
def official(generated):
    """A folder of files in the official format."""
    return str(generated().folder)


def test_official_files_are_split_as_asked(cache, official):
    all_others = envs.load("webshop", data=official, sizes="0/8/10")
    assert [len(all_others.tasks(s)) for s in ("train", "dev", "test")] == [22, 8, 10]
    few = envs.load("webshop", data=official, sizes="5/8/10")
    assert few.tasks("train") == all_others.tasks("train")[:5]
    assert [few.tasks(s) for s in ("dev", "test")] == [all_others.tasks(s) for s in ("dev", "test")]
    usual = envs.load("webshop", data=official)
    assert [len(usual.tasks(s)) for s in ("train", "dev", "test")] == [25, 5, 10]


def test_a_synthetic_benchmark_needs_synthetic_goals(cache, official):
    with pytest.raises(DataError, match="not one synthetic goal"):
        envs.load("webshop_synthetic", data=official)


def test_a_folder_without_the_files_is_an_error(cache, tmp_path):
    with pytest.raises(DataError, match=r"items_shuffle\*\.json"):
        envs.load("webshop", data=str(tmp_path))


def test_asking_for_more_tasks_than_there_are_is_an_error(cache, official):
    with pytest.raises((DataError, LeakageError), match=r"60 tasks are asked for; .* holds 40"):
        envs.load("webshop", data=official, sizes="0/30/30")


def test_the_hard_split_holds_products_out(cache):
    shared = WEBSHOP_DATA
    folder = Path(os.environ.get("EEF_WEBSHOP_DATA", shared))
    if not (folder / "items_shuffle_1000.json").exists():
        pytest.skip("EEF_WEBSHOP_DATA names no folder with the official 1,000 products")
    world = envs.load("webshop_synthetic_hard", data=str(folder), sizes="0/100/250")
    sold = {split: Counter(world.goal(task).asin for task in world.tasks(split)) for split in world.splits}
    assert [len(world.tasks(split)) for split in ("dev", "test")] == [100, 250]
    assert not sold["train"] & (sold["dev"] | sold["test"])
    assert max(sold["test"].values()) <= 2


# A benchmark of one's own ---------------------------------------------------------------------------------


def test_max_turns_is_known_without_loading(mini, cache):
    assert envs.max_turns("webshop_mini", data="", sizes="9/9/9", seed=0) == mini.max_turns
    assert not cache.exists()


def test_the_turn_limit_of_a_shop_is_that_of_its_interface():
    shops = {entry.max_turns for name, entry in envs.ENTRIES.items() if name.startswith("webshop")}
    assert shops == {AgentLite.max_turns}


@pytest.mark.parametrize("entry", envs.ENTRIES.values(), ids=lambda entry: entry.name)
def test_every_entry_names_functions_and_modules_that_exist(entry):
    loader = load_plugin(entry.loader, "benchmark", takes=("data", "sizes", "seed"))
    assert loader.__name__ == entry.name
    for place in filter(None, (entry.experts, entry.composite_experts)):
        module, _, name = place.partition(":")
        assert getattr(import_module(module), name).strengths


def test_a_typical_episode_is_of_the_benchmark_or_else_of_the_format():
    assert typical_episode("webshop_mini+composite", "composite_compact").steps == 5
    assert (
        typical_episode("sciworld", "agentgym") == typical_episode("mine:load", "agentgym") == (20, 800, 1600)
    )
    assert (
        typical_episode("booking_mini", "compact").read
        > 2000
        > typical_episode("webshop_mini", "compact").read
    )
    assert typical_episode("mine:load", "mine:format") == typical_episode("webshop", "chat") == (9, 180, 1060)


def test_the_hash_of_a_generator_depends_on_its_code_and_not_on_comments_or_docstrings(tmp_path):
    """Comments and docstrings may change; what computes may not."""
    sources = {
        "plain": "N = 1\ndef f():\n    return N\n",
        "told": '"""A module."""\nN = 1  # one\n"""How many."""\ndef f():\n    """One."""\n    return N\n',
        "other": "N = 2\ndef f():\n    return N\n",
    }
    hashes = {}
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(source)
        spec = spec_from_file_location(name, tmp_path / f"{name}.py")
        spec.loader.exec_module(module := module_from_spec(spec))
        hashes[name] = generate._code_hash(module)
    assert hashes["plain"] == hashes["told"] != hashes["other"]


OWN = """
def load(*, data, sizes, seed):
    return (data, sizes, seed)
def narrow(sizes):
    return sizes
world = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of one's own on Python's path, under a name that no other test uses."""
    name = f"own_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_a_function_of_ones_own_is_given_what_params_say(own):
    assert envs.load(f"{own}:load", data="there", sizes="1/2/3", seed=4) == ("there", "1/2/3", 4)


@pytest.mark.parametrize(
    "rest, message",
    [
        (":", "expected my_package.my_module:function"),
        (":laod", "has no function 'laod'; it has load, narrow"),
        (":world", "has no function 'world'"),
        (":narrow", "it is called with data, sizes, seed, each by name"),
        (".inner:load", "there is no module own_.*inner; `pip install` its package, or put the folder"),
    ],
)
def test_a_wrong_plugin_name_is_an_error(own, rest, message):
    with pytest.raises(ParamsError, match=message):
        envs.load(f"{own}{rest}")


@pytest.mark.parametrize(
    "code, message",
    [
        ("import nowhere_to_be_found", "imports nowhere_to_be_found, which is not installed"),
        ("from eefcore import nothing_of_the_kind", "can't be imported: cannot import name"),
        ("def load(", "can't be imported"),
    ],
)
def test_a_plugin_that_can_not_be_imported_is_an_error(own, tmp_path, code, message):
    (tmp_path / f"{own}.py").write_text(code)
    with pytest.raises(ParamsError, match=message):
        envs.load(f"{own}:load")
