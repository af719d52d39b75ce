"""The booking benchmark: the contract, panels of any size, its card, and what its name may say."""

import pytest
from helpers.booking_tasks import SITE

from eefcore import envs
from eefcore.envs.booking.benchmark import SIZES, BookingBenchmark
from eefcore.envs.panels import PanelSizes
from eefcore.envs.registry import card_name
from eefcore.errors import DataError, ParamsError
from eefcore.experts.registry import experts_of
from eefcore.testing import BenchmarkContract
from eefcore.types import History

pytest.importorskip("starlette")
pytest.importorskip("selectolax")
pytest.importorskip("ada_url")


class TestBooking(BenchmarkContract):
    def load(self):
        return envs.load("booking", sizes="12/4/6", seed=3)


class TestMini(BenchmarkContract):
    def load(self):
        return envs.load("booking_mini", sizes="12/4/6")


class TestComposite(BenchmarkContract):
    def load(self):
        return envs.load("booking_mini+composite_status", sizes="6/2/2")


def test_a_larger_panel_begins_with_the_tasks_of_a_smaller_one():
    small, large = (envs.load("booking", sizes=sizes) for sizes in ("5/2/3", "20/2/3"))
    assert large.tasks("train")[:5] == small.tasks("train") and large.tasks("test") == small.tasks("test")


def test_another_seed_has_other_tasks_and_another_card():
    one, other = (envs.load("booking", sizes="5/2/3", seed=seed) for seed in (0, 1))
    assert not {*one.tasks("train")} & {*other.tasks("train")}
    assert one.card.key != other.card.key and one.card.name == other.card.name == card_name("booking")


def test_the_card_tells_the_sizes_apart():
    keys = {envs.load(name, sizes="5/2/3").card.key for name in ("booking", "booking_mini")}
    assert len(keys) == 2


@pytest.mark.parametrize(
    "name, sizes, error, message",
    [
        ("booking?driver=firefox", "4/1/1", ParamsError, "no driver 'firefox'; choose one of in_process, chromium"),
        ("booking?drivers=chromium", "4/1/1", ParamsError, "no option 'drivers'; there is driver, as in booking\\?driver=chromium"),
        ("booking", "", ParamsError, "needs sizes"),
        ("booking_mini", "200000/1/1", DataError, "a panel has at most 100000"),
    ],
)  # fmt: skip
def test_what_it_does_not_have_is_refused_before_anything_is_drawn(name, sizes, error, message):
    with pytest.raises(error, match=message):
        envs.load(name, sizes=sizes)


def test_thousands_of_tasks_are_drawn_by_one_parameter():
    benchmark = BookingBenchmark(SIZES["booking"], PanelSizes(2000, 0, 0), max_turns=45)
    assert len({*benchmark.tasks("train")}) == 2000


def test_skills_count_questions_scrolls_and_refusals():
    env, task = SITE.make(), SITE.tasks("train")[0]
    history = History(task, env.reset(task))
    for action in ("SCROLL [DOWN]", "ask user help [Where?]", "CLICK [999]", "Think: hm", "GOTO [/]"):
        history = history.then(action, env.step(action).observation)
    found = {name: [*skill(history)] for name, skill in SITE.skills.items()}
    assert found == {"Ask": [1], "Scroll": [0], "Refused": [0, 2]}


def test_its_experts_are_found_by_its_card():
    assert {*experts_of(SITE).strengths} == {"strong", "weak", "naive", "perfect"}
    assert {*experts_of(SITE).kinds(SITE).values()} == {"book", "change", "cancel"}
