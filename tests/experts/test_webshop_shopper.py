"""The scripted shop expert: what it sees, that it does what it says, and that its mistakes are marked."""

import random
import re
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eefcore.errors import ParamsError
from eefcore.experts.demonstrate import demonstrate_tasks
from eefcore.experts.webshop import experts as shop
from eefcore.experts.webshop.shopper import EXPERT_HABITS, Habits, MistakeRates, Request, Shopper
from eefcore.experts.webshop.view import Listing, Page, read_call, read_view, write_call
from eefcore.types import History, Mistake, StopReason, Trajectory

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
BACK = write_call("click", "Back to Search")


def visit(benchmark, task, *actions):
    """The history of `actions` on the real pages."""
    env = benchmark.make()
    history = History(task, env.reset(task))
    for action in actions:
        history = history.then(action, env.step(action).observation)
    return history


def everyone(benchmark, strengths=tuple(shop.STRENGTHS), seeds=(0, 1)):
    return [
        t
        for strength in strengths
        for seed in seeds
        for t in demonstrate_tasks(
            benchmark, shop.make_shopper(benchmark, strength, seed=seed), benchmark.goals, price=0.5
        )
    ]


def imperfect(benchmark, mistakes, habits=EXPERT_HABITS, seed=0):
    """A shopper with these mistakes."""
    shopper = shop.make_shopper(benchmark, "perfect", seed=seed)
    shopper.name, shopper.rates, shopper.habits = "clumsy", mistakes, habits
    return shopper


@pytest.fixture(scope="module")
def trajectories(mini):
    """What shoppers of all strengths do on all tasks."""
    return everyone(mini)


# Actions as words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, argument, action",
    [
        ("search", "red hat", 'search[{"product": "red hat"}]'),
        ("click", "Buy Now", 'click[{"button": "Buy Now"}]'),
        ("Think", "I should click X.", 'Think[{"response": "I should click X."}]'),
        ("Finish", "done", 'Finish[{"response": "done"}]'),
    ],
)
def test_calls_are_written_and_read(name, argument, action):
    assert write_call(name, argument) == action
    assert read_call(action) == (name, argument)


@pytest.mark.parametrize("text", ["", "click[Buy Now", 'click["button": "X"]', "click[{}]", "hello"])
def test_text_that_is_no_call_has_no_name_and_argument(text):
    assert read_call(text) == ("", "")


# Pages --------------------------------------------------------------------------------------------------


def query(benchmark, task):
    goal = benchmark.goal(task)
    return write_call("search", " ".join((*goal.attributes, goal.query)))


@pytest.fixture
def task(mini):
    return mini.tasks("train")[0]


def test_the_start_page_is_read_back(mini, task):
    v = read_view(visit(mini, task))
    assert (v.page, v.turn, v.after_thought, v.opened) == (Page("start"), 0, False, ())


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_a_results_page_is_read_back(mini, turns):
    for task in mini.tasks("train"):
        v = read_view(visit(mini, task, query(mini, task), *[write_call("click", "Next >")] * turns))
        goal, catalogue = mini.goal(task), mini.shop.catalogue
        ids = catalogue.search(" ".join((*goal.attributes, goal.query)))[3 * turns : 3 * turns + 3]
        listings = tuple(Listing(i, catalogue[i].title, catalogue[i].price_tag) for i in ids)
        assert v.page == Page("results", listings, next_button="Next >")
        assert (v.next_clicks, v.turn) == (turns, turns + 1)


def test_an_item_page_is_read_back(mini):
    for task in mini.tasks("train"):
        h = visit(mini, task, query(mini, task))
        asin = read_view(h).page.listings[0].asin
        v = read_view(visit(mini, task, query(mini, task), write_call("click", asin)))
        options = mini.shop.catalogue[asin].options
        assert v.page == Page("item", options=tuple(x for values in options.values() for x in values))
        assert (v.asin, v.opened, v.chosen, v.turn) == (asin, (asin,), (), 2)


def test_a_view_holds_the_chosen_options_and_opened_products(mini, task):
    first = read_view(visit(mini, task, query(mini, task))).page.listings[0].asin
    opened = (query(mini, task), write_call("Think", "hm"), write_call("click", first))
    value = read_view(visit(mini, task, *opened)).page.options[0]

    v = read_view(visit(mini, task, *opened, write_call("click", value)))
    assert (v.chosen, v.turn, v.after_thought, v.asin) == ((value,), 2, False, first)
    v = read_view(visit(mini, task, *opened, write_call("click", value), write_call("Think", "so")))
    assert (v.chosen, v.turn, v.after_thought, v.page.kind) == ((value,), 2, True, "item")
    v = read_view(visit(mini, task, *opened, BACK))
    assert (v.page.kind, v.opened, v.asin, v.next_clicks, v.turn) == ("start", (first,), "", 0, 3)
    v = read_view(visit(mini, task, *opened, BACK, query(mini, task), write_call("click", "Next >")))
    assert (v.page.kind, v.opened, v.next_clicks, v.turn) == ("results", (first,), 1, 5)
    v = read_view(
        visit(mini, task, *opened, write_call("click", "Description"), write_call("click", "< Prev"))
    )
    assert (v.page.kind, v.asin, v.opened) == ("item", first, (first,))
    v = read_view(visit(mini, task, *opened, write_call("click", "< Prev")))
    assert (v.page.kind, v.asin, v.opened) == ("results", "", (first,))


@pytest.mark.parametrize(
    "where, action",
    [
        (0, write_call("click", "Buy Now")),
        (0, write_call("click", "Next >")),
        (0, BACK),
        (0, "buy it"),
        (1, write_call("click", "Buy Now")),
        (1, write_call("click", "B0NOSUCHID")),
        (1, write_call("search", "something else")),
        (2, write_call("click", "no such value")),
        (2, write_call("search", "something else")),
        (2, write_call("click", "Next >")),
        (2, "click[Buy Now"),
    ],
)
def test_a_refusal_leaves_the_page_as_it_was(mini, task, where, action):
    first = read_view(visit(mini, task, query(mini, task))).page.listings[0].asin
    path = (query(mini, task), write_call("click", first))[:where]
    before, after = read_view(visit(mini, task, *path)), read_view(visit(mini, task, *path, action))
    assert after == before._replace(refused=True, turn=before.turn + 1)
    thought = read_view(visit(mini, task, *path, action, write_call("Think", "hm")))
    assert (thought.refused, thought.after_thought, thought.page) == (False, True, before.page)


# What it says and what it does --------------------------------------------------------------------------


def plan(thought):
    """The actions a thought decides on."""
    verb, arguments = re.fullmatch(r".*I should (search for|click) (.+)\.", thought).groups()
    return (
        [write_call("search", arguments)]
        if verb == "search for"
        else [write_call("click", a) for a in arguments.split(", ")]
    )


def check_thoughts(trajectory):
    """Every page is thought about first, and exactly what was decided is done."""
    decided = []
    for action in trajectory.actions:
        name, argument = read_call(action)
        if name == "Think":
            assert decided == [], (trajectory.actions, action)
            decided = plan(argument)
        else:
            assert decided and action == decided.pop(0), (trajectory.actions, action)
    assert decided == [] or trajectory.stop is StopReason.TURN_LIMIT


def test_a_shopper_does_what_it_thinks(trajectories):
    for t in trajectories:
        check_thoughts(t)


@FEW
@given(st.data())
def test_a_shopper_with_many_mistakes_does_what_it_thinks(mini, data):
    rate = st.floats(0, 1)
    mistakes = MistakeRates(*(data.draw(rate) for _ in MistakeRates._fields))
    habits = Habits(data.draw(st.integers(0, 4)), data.draw(st.booleans()))
    clumsy = imperfect(mini, mistakes, habits, seed=data.draw(st.integers(0, 99)))
    task = data.draw(st.sampled_from(mini.tasks("train")))
    (t,) = demonstrate_tasks(mini, clumsy, [task])
    check_thoughts(t)
    check_marks(t)


@pytest.mark.parametrize("strength", shop.STRENGTHS)
def test_a_shopper_goes_on_from_any_state_of_its_own(mini, strength):
    expert = shop.make_shopper(mini, strength, seed=3)
    for t in demonstrate_tasks(mini, expert, mini.tasks("train")):
        for i, action in enumerate(t.actions):
            assert expert.act(t.history.at(i)) == action


def test_a_shopper_starts_from_any_state(mini):
    """On pages that chance led to, of any kind, every shopper knows something to do."""
    env = mini.make()
    for n in range(200):
        rng, task = random.Random(n), mini.tasks("train")[n % 24]
        expert = shop.make_shopper(mini, rng.choice(list(shop.STRENGTHS)))
        history, done = History(task, env.reset(task)), False
        while not done and len(history) < 24:
            v = read_view(history)
            buttons = [
                "Next >",
                "< Prev",
                "Back to Search",
                "Description",
                *[x.asin for x in v.page.listings],
            ]
            odd = write_call("click", rng.choice([*buttons, *v.page.options]))
            words = write_call("search", rng.choice(("a/b", "zzz", "desk lamp")))
            action = expert.act(history) if len(history) > 8 else rng.choice((odd, odd, words, "what?"))
            seen = env.step(action)
            history, done = history.then(action, seen.observation), seen.done
        assert len(history) > 8


@pytest.mark.parametrize("strength", ["strong", "weak"])
def test_equal_seeds_make_equal_mistakes(mini, strength):
    def demonstrated(seed):
        expert = shop.make_shopper(mini, strength, seed=seed)
        return list(demonstrate_tasks(mini, expert, mini.goals))

    assert demonstrated(5) == demonstrated(5)
    assert [t.actions for t in demonstrated(5)] != [t.actions for t in demonstrated(6)]


# How good it is -----------------------------------------------------------------------------------------


def test_strengths_are_ordered(generated):
    shop_ = generated("200/0/0", seed=3)
    won = Counter(t.source for t in everyone(shop_, seeds=(0,)) if t.win)
    assert won["perfect"] == 200
    assert 0 < won["weak"] < won["strong"] < won["perfect"]
    direct = sum(kind == "direct" for kind in shop.task_kinds(shop_).values())
    assert won["naive"] == direct


def test_long_tasks_fail_more(generated):
    """By themselves: each further page is a further chance of a mistake."""
    shop_ = generated("200/0/0", seed=3)
    kinds = shop.task_kinds(shop_)
    strong = everyone(shop_, ["strong"], (0, 1, 2))

    def share(*which):
        own = [t.win for t in strong if kinds[t.task_id] in which]
        return sum(own) / len(own)

    assert share("direct") > share("next", "back") > share("far", "back_next")


def test_mistakes_become_more_frequent_after_next_and_after_back(generated):
    """Each factor acts on what follows its own button: wins by that button become rare, and those by the other hardly change."""
    shop_ = generated("200/0/0", seed=3)

    def won(name):
        played = everyone(shop_, [name], (0, 1))
        wins = [t for t in played if t.win]
        return {skill: sum(bool(uses(t.history)) for t in wins) for skill, uses in shop_.skills.items()}

    steady = won("strong?after_next=1&after_back=1")
    lost_after_next = won("strong?after_next=20&after_back=1")
    lost_after_back = won("strong?after_next=1&after_back=20")
    assert lost_after_next["Next"] < 0.3 * steady["Next"] and lost_after_next["Back"] > 0.5 * steady["Back"]
    assert lost_after_back["Back"] < 0.3 * steady["Back"] and lost_after_back["Next"] > 0.7 * steady["Next"]


def test_an_expert_with_rates_of_its_own_draws_the_numbers_of_its_strength(mini):
    """What is left as it is makes no other mistakes, so that a sweep over one rate changes nothing else."""
    same = f"strong?give_up={shop.STRENGTHS['strong'].rates.give_up}"
    strong, renamed = (everyone(mini, [name], (0,)) for name in ("strong", same))
    assert [t.actions for t in strong] == [t.actions for t in renamed]
    assert {t.source for t in renamed} == {same}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("strong?mood=1", "no rate 'mood'; choose one of pick_wrong"),
        ("strong?giveup=1", "no rate 'giveup'; did you mean 'give_up'"),
        ("strong?give_up=often", "give_up is a finite number from 0, got 'often'"),
        ("strong?give_up=nan", "got 'nan'"),
        ("strong?give_up=-1", "got '-1'"),
        ("strong?give_up=inf", "got 'inf'"),
        ("strong?give_up", "bad query field"),
    ],
)
def test_rates_that_an_expert_does_not_have_are_refused(mini, name, message):
    with pytest.raises(ParamsError, match=re.escape(message)):
        shop.make_shopper(mini, name)
    with pytest.raises(ParamsError, match=re.escape(message)):
        shop.EXPERTS.check(name)


def test_the_naive_one_never_navigates(mini, trajectories):
    naive = [t for t in trajectories if t.source == "naive"]
    assert len(naive) == 80
    for uses in mini.skills.values():
        assert not [t for t in naive if uses(t.history)]


def test_the_perfect_one_makes_no_mistakes(trajectories):
    perfect = [t for t in trajectories if t.source == "perfect"]
    assert all(t.win and not t.marks for t in perfect)


# Marks --------------------------------------------------------------------------------------------------


def check_marks(t):
    """A mistake is marked on a thought and on the last of the actions it led to, unless the turn limit cut those."""
    assert all(0 <= m.step < len(t) for m in t.marks)
    thoughts = [i for i, a in enumerate(t.actions) if read_call(a)[0] == "Think"]
    for mistake in t.marks:
        thought = max(i for i in thoughts if i <= mistake.step)
        last = min((i for i in thoughts if i > thought), default=len(t)) - 1
        cut = last == len(t) - 1 and t.stop is StopReason.TURN_LIMIT
        assert mistake.step in (thought, last) and Mistake(thought, mistake.kind) in t.marks
        assert cut or Mistake(last, mistake.kind) in t.marks


def test_marks_lie_on_thoughts_and_on_what_they_led_to(trajectories):
    marked = [t for t in trajectories if t.marks]
    assert {t.source for t in marked} == {"strong", "weak"}
    for t in marked:
        check_marks(t)
        assert {m.kind for m in t.marks} <= set(MistakeRates._fields) - {"after_next", "after_back"}
        assert list(t.marks) == sorted(t.marks, key=lambda m: m.step)


def test_an_expert_that_loses_has_made_a_mistake(trajectories):
    """An expert knows enough to win: nothing but a mistake, or the turn limit, can cost it a task."""
    for t in trajectories:
        if t.source in ("strong", "weak") and t.stop is StopReason.DONE and not t.win:
            assert t.marks, t.actions


@pytest.mark.parametrize(
    "kind", ["pick_wrong", "misread_price", "overlook", "give_up", "forget_option", "buy_anyway"]
)
def test_each_mistake_is_marked_by_its_name(mini, kind):
    clumsy = imperfect(mini, MistakeRates(**{kind: 1.0}))
    marks = [m for t in demonstrate_tasks(mini, clumsy, mini.goals) for m in t.marks]
    assert marks and {m.kind for m in marks} == {kind}


def test_a_forgotten_option_is_not_chosen(mini):
    forgets = imperfect(mini, MistakeRates(forget_option=1.0))
    for t in demonstrate_tasks(mini, forgets, mini.goals):
        values = mini.goal(t.task_id).options
        assert not any(write_call("click", v) in t.actions for v in values)
        bought = read_call(t.actions[-1])[1] == "Buy Now"
        last = max(i for i, a in enumerate(t.actions) if read_call(a)[0] == "Think")
        steps = (last, len(t) - 1)  # the thought, and the purchase
        assert bought and t.marks == tuple(Mistake(i, "forget_option") for i in steps for _ in values)


# What it is made of -------------------------------------------------------------------------------------


def shopper_of(judged, wanted=("red",), **rest):
    return Shopper(lambda task: Request("hat", wanted), lambda task, asin: judged[asin], **rest)


def results(*listings):
    seen = "WEB PAGE: {\n[Back to Search] \nPage 1 (Total results: 15) \n[Next >] "
    seen += "".join(f"\n[{a}] \nA hat \n$9.0 " for a in listings) + "}"
    return History("t", "buy a hat").then(write_call("search", "hat"), seen)


IDS = ("B0AAAAAAAA", "B0BBBBBBBB", "B0CCCCCCCC")


@pytest.mark.parametrize(
    "reasons, habits, thought, button",
    [
        ((None, None, None), EXPERT_HABITS, "The first fits.", IDS[0]),
        (
            ("too expensive", None, None),
            EXPERT_HABITS,
            "The first is too expensive. The second fits.",
            IDS[1],
        ),
        (
            ("not blue", "too expensive", "not a hat"),
            EXPERT_HABITS,
            "The first is not blue. The second is too expensive. The third is not a hat. None fits.",
            "Next >",
        ),
        (
            ("not blue", "too expensive", "not a hat"),
            Habits(0, False),
            "The first is not blue. The second is too expensive. The third is not a hat. None fits. The first is closest.",
            IDS[0],
        ),
    ],
)
def test_its_thought_about_a_results_page(reasons, habits, thought, button):
    expert = shopper_of(dict(zip(IDS, reasons, strict=True)), habits=habits)
    h = results(*IDS)
    said = write_call("Think", f"{thought} I should click {button}.")
    assert expert.act(h) == said
    assert expert.act(h.then(said, "OK")) == write_call("click", button)


def test_it_goes_back_from_an_empty_page():
    expert = shopper_of({})
    assert expert.act(results()) == write_call("Think", "Nothing is listed. I should click Back to Search.")


ITEM = "WEB PAGE: {\n[Back to Search] \n[< Prev] \ncolor [blue][red]\nA hat \nPrice: $9.0 \n[Buy Now] }"


@pytest.mark.parametrize(
    "reason, wanted, thought, buttons",
    [
        (None, ("red",), "I need red, there is red. I should click red, Buy Now.", ("red", "Buy Now")),
        (None, (), "I should click Buy Now.", ("Buy Now",)),
        (
            None,
            ("pink",),
            "I need pink, there is no pink. I should click Back to Search.",
            ("Back to Search",),
        ),
        ("too small", ("red",), "It is too small. I should click Back to Search.", ("Back to Search",)),
    ],
)
def test_its_thought_about_a_product(reason, wanted, thought, buttons):
    expert = shopper_of({IDS[0]: reason}, wanted)
    h = results(IDS[0]).then(write_call("click", IDS[0]), ITEM)
    assert expert.act(h) == write_call("Think", thought)
    h = h.then(expert.act(h), "OK")
    for button in buttons:
        assert expert.act(h) == write_call("click", button)
        h = h.then(expert.act(h), f"WEB PAGE: {{You have clicked {button}.}}")


def test_after_a_refusal_it_acts_at_once():
    expert = shopper_of({IDS[0]: None})
    h = results(IDS[0]).then(write_call("click", "Buy Now"), "WEB PAGE: {There is no [Buy Now] button}")
    assert expert.act(h) == write_call("click", IDS[0])
    assert expert.mistakes(h) == ()


def test_unknown_strengths_are_refused(mini):
    with pytest.raises(ParamsError, match="no expert 'mighty'; choose one of strong, weak, perfect, naive"):
        shop.make_shopper(mini, "mighty")


def test_only_generated_shops_have_kinds_of_tasks(mini, tmp_path):
    assert set(shop.task_kinds(mini)) == set(mini.goals)
    elsewhere = type(mini)(tmp_path, mini.shop, mini.interface, list(mini.goals.values()), {}, {})
    assert shop.task_kinds(elsewhere) == dict.fromkeys(mini.goals, "any")


# Demonstrations -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "buttons, page",
    [
        ([], 1),
        (["Next >"], 2),
        (["Next", "Next"], 3),
        (["Next >", "Back to Search"], 1),
        (["Back to Search", "Next >", "Next Day Delivery"], 2),
    ],
)
def test_the_page_of_a_solution_is_counted_since_the_last_search(buttons, page):
    history = History("t", "a task").then(write_call("Think", "I should click Next >."), "OK")
    for button in buttons:
        history = history.then(write_call("click", button), "a page")
    assert shop.solution_page(Trajectory(history=history, reward=1.0)) == page


def test_every_action_of_a_demonstration_is_the_experts(trajectories):
    for t in trajectories:
        assert t.n_expert == len(t)
        assert t.money == pytest.approx(0.5 * len(t))
        assert t.stop is StopReason.DONE or len(t) == 20
    assert Counter(t.source for t in trajectories) == dict.fromkeys(shop.STRENGTHS, 80)


def test_a_demonstration_is_cut_at_the_turn_limit(mini):
    class Impatient:
        skills, max_turns, card = {}, 3, mini.card

        def make(self):
            return mini.make()

    (t,) = demonstrate_tasks(Impatient(), shop.make_shopper(mini, "perfect"), mini.tasks("train")[:1])
    assert (len(t), t.stop, t.reward) == (3, StopReason.TURN_LIMIT, 0.0)
