"""Scripted shoppers that write composite actions, and the base skills of a base that is its own critic."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import msgspec
import pytest

from eefcore import envs
from eefcore.actions import command
from eefcore.envs.composite import CompositeBenchmark
from eefcore.experts import registry
from eefcore.experts.base_skills import rewrite_trajectory
from eefcore.experts.demonstrate import demonstrate_tasks
from eefcore.experts.webshop import experts as shop
from eefcore.experts.webshop.composite import CompositeShopper, to_calls, to_composite
from eefcore.experts.webshop.composite_base_skills import ACTING_SHARES
from eefcore.experts.webshop.view import BACK, write_call
from eefcore.protocols import Reply
from eefcore.rendering.critic_prompts import parse_choice
from eefcore.types import Trajectory


@pytest.fixture(scope="module")
def world() -> CompositeBenchmark:
    return envs.load("webshop_mini+composite", sizes="30/3/3", seed=1)


@pytest.mark.parametrize("strength", ["strong", "naive"])
def test_a_composite_shopper_does_what_the_shopper_does(world, strength):
    """Same commands, same rewards, and the mistakes are marked where they are made; the way back is the way there."""
    shopper = shop.make_shopper(world.inner, strength)
    plain = [*demonstrate_tasks(world.inner, shopper, world.tasks("train")[:12])]
    mine = [*demonstrate_tasks(world, CompositeShopper(shopper), world.tasks("train")[:12])]
    assert [t.reward for t in mine] == [t.reward for t in plain]
    for a, b in zip(mine, plain, strict=True):
        assert to_composite(b.history) == a.history
        assert to_calls(a.history) == b.history
        assert {m.kind for m in a.marks} == {m.kind for m in b.marks}


def test_each_base_skill_is_one_action_and_verdicts_are_right(world):
    examples = registry.base_skill_examples(world, world.tasks("train"), n=240, seed=0)
    assert {len(s.example.trained_indices) for s in examples} == {1}
    assert {s.name for s in examples} >= {"shop", "page", "rank", "options", "verdict"}
    for s in examples:
        if s.name == "verdict":
            action = s.example.trajectory.actions[-1]
            of_the_last = " ".join(s.example.trajectory.actions[:-1]).rpartition("Went back.")[2]
            assert command(action) == (
                "2" if "closest" in of_the_last or "there is no " in of_the_last else "1"
            )


ID = r"B0[A-Z]{8}"


def listed(t: Trajectory) -> list[tuple[str, str]]:
    """Product ids and titles, of all the results pages that were seen."""
    seen = "\n".join([*(s.observation for s in t.history.steps), t.history.observation])
    return re.findall(rf"\[({ID})\] \n(.*) \n", seen)


def in_the_shops_ids(t: Trajectory, world: CompositeBenchmark) -> Trajectory:
    """Return a trajectory of other ids with those of the products with these titles."""
    catalogue = world.inner.shop.catalogue
    by_title = {catalogue[asin].title: asin for asin in catalogue.asins}
    shop_ids = {id: by_title[title] for id, title in listed(t)}
    return rewrite_trajectory(
        t, lambda text: re.sub(ID, lambda found: shop_ids.get(found[0], found[0]), text)
    )


def test_verdicts_show_wins_and_failures_of_episodes_that_turned_the_page(world):
    """A base that saw failures alone would tell an episode by its Next."""
    examples = registry.base_skill_examples(world, world.tasks("train"), n=800, seed=3)
    episodes = [s.example.trajectory.actions for s in examples if s.name == "verdict"]
    judged = Counter(command(a[-1]) for a in episodes if "Next >" in " ".join(map(command, a)))
    assert min(judged["1"], judged["2"]) > 0.25 * judged.total()


def test_a_rank_skill_names_the_best_offered_action_by_its_words(world):
    """The way out where nothing fits, if it is among what is offered; else what is left."""
    perfect, ways = CompositeShopper(shop.make_shopper(world.inner, "perfect")), 0
    for s in registry.base_skill_examples(world, world.tasks("train"), n=400, seed=2):
        if s.name != "rank":
            continue
        t = in_the_shops_ids(s.example.trajectory, world)
        question = t.history.at(s.example.first)
        page, listed = question.observation.split("\nDo not act yet.")
        options = re.findall(r"^\d\. (.*)$", listed, re.M)
        named = command(t.actions[-1])
        assert options[parse_choice(Reply(t.actions[-1]), options)] == named
        out = command(perfect.act(msgspec.structs.replace(question, observation=page)))
        if out in options and out in (write_call("click", "Next >"), write_call("click", BACK)):
            assert named == out
            ways += 1
    assert ways > 20


def test_product_ids_can_only_be_copied_from_the_page(world):
    """Most are not of the shop, two dialogues rarely give a product the same one, and what is clicked was seen."""
    catalogue, ids = world.inner.shop.catalogue, defaultdict(list)
    for s in registry.base_skill_examples(world, world.tasks("train"), n=200, seed=0):
        history, i = s.example.trajectory.history, s.example.first
        for id, title in listed(s.example.trajectory):
            ids[title].append(id)
        if s.name != "refused" and (clicked := re.search(ID, command(history.actions[i]))):
            assert clicked[0] in history.steps[i].observation
    met = [id for each in ids.values() for id in each]
    assert sum(id in catalogue for id in met) < 0.5 * len(met)
    assert len({*met}) > 0.5 * len(met)


def test_a_way_out_is_shown_now_and_then_where_nothing_fits(world):
    """And nowhere else: `Next >` and `Back to Search` after a judgement that nothing here is right."""
    settled = tried = 0
    for s in registry.base_skill_examples(world, world.tasks("train"), n=900, seed=1):
        if s.name in ACTING_SHARES:
            action = s.example.trajectory.actions[s.example.first]
            out = command(action) in (write_call("click", "Next >"), write_call("click", BACK))
            tried += out
            settled += "closest" in action or ("there is no " in action and not out)
            assert not (out and "fits. I should" in action.replace("None fits. I should", ""))
    assert 0.1 < tried / (tried + settled) < 0.3
