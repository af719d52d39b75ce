"""Base skills of booking: what a tiny base is pretrained on, so that it knows the pages and not the strategy.

    book       a whole visit, naively: in the city where the site starts, without a question, any time near the one that is asked for
    table      the same from the restaurant's page, where somebody else went
    details    the same from a table that somebody else asked for
    wander     the same after somebody else did things at random
    rank       which of several actions helps most, answered by its words: the base is its own critic (Agent Q §5.1.1)
    verdict    whether a visit that is over did what the user asked for

An example trains from its `first` action on; what leads there is only read. Of what makes a task hard, the naive concierge's
visits show the right choice now and then (`mistakes.STRENGTHS`), so that the base tries it sometimes and never greedily.

A language model knows what `Guests` and `Party size` mean, and copies names that it never saw. So that a base of a million
parameters can, its tasks are drawn in both looks and phrasings of the site and in worlds of invented names: no task and no
name of an experiment is among them.
"""

from __future__ import annotations

from calendar import month_name
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import NamedTuple

from eefcore.envs.booking.benchmark import BookingBenchmark
from eefcore.envs.booking.env import BookingSite, SnapshotCache
from eefcore.envs.booking.looks import LABELS, LOOKS, Labels
from eefcore.envs.booking.phrasing import SEEN_PHRASING, UNSEEN_PHRASING
from eefcore.envs.booking.tables import LARGEST_PARTY
from eefcore.envs.booking.tasks import Mix, Source, Task, draw_task
from eefcore.envs.booking.words import CUISINES, SEEN, CityName, Vocabulary
from eefcore.envs.booking.world import World, make_world
from eefcore.experts.base_skills import SkillEpisode, SkillExample, draw_skill
from eefcore.experts.booking.concierge import ASK_PHONE, ASK_SEATING, DOWN, UP, Concierge
from eefcore.experts.booking.mistakes import STRENGTHS
from eefcore.experts.booking.view import read_observation
from eefcore.rendering.critic_prompts import BEST_ACTION, EPISODE_OVER, TASK_SOLVED, VERDICTS, critic_question
from eefcore.types import Example, History, Trajectory

SHARES = {"book": 0.36, "table": 0.18, "details": 0.2, "wander": 0.06, "rank": 0.14, "verdict": 0.06}

_ONSETS = (
    "",
    *"bcdfghjklmnprstvwyz",
    "br",
    "ch",
    "cl",
    "dr",
    "fl",
    "gr",
    "pl",
    "qu",
    "sh",
    "st",
    "th",
    "tr",
    "x",
)
_VOWELS = (*"aeiou", "a", "e", "i", "o", "ea", "ie", "oo", "ou")
_CODAS = ("", "", "", *"dlmnrstx", "ck", "ll", "nd", "ng", "rn", "rt", "ss", "th")
_ZONES = tuple(dict.fromkeys(city.zone for city in SEEN.cities))


def base_skill_examples(
    benchmark: BookingBenchmark, tasks: Iterable[str], *, n: int, seed: int
) -> Iterator[SkillExample]:
    """Yield `n` examples of base skills, in the proportions of `SHARES`, on tasks with the factors of the benchmark's.

    Args:
        tasks: not played themselves: all of them have the look and the names of train.
    """
    del tasks
    rng = Random(f"booking skills {seed}")
    mix = benchmark.sources["train"].mix
    for _ in range(n):
        name = draw_skill(SHARES, rng)
        task, world = _draw(rng, mix)
        yield SkillExample(name, _Visit(task, world, rng, benchmark.max_turns).play(name))


def _draw(rng: Random, mix: Mix) -> tuple[Task, World]:
    """Draw a task in a small world of invented names, in a look and a phrasing of the site."""
    vocabulary = _invent(rng)
    world = make_world(vocabulary, cities=3, restaurants=10, seed=rng.randrange(1 << 30))
    look = rng.choice(list(LOOKS.values()))
    phrasing = rng.choice((SEEN_PHRASING, UNSEEN_PHRASING))
    source = Source(world, world.restaurants, vocabulary, phrasing, look, mix)
    while (task := draw_task(rng, source)) is None:
        pass
    return task, world


def _invent(rng: Random) -> Vocabulary:
    """Return a vocabulary of invented names."""
    return Vocabulary(
        tuple(CityName(_name(rng, two=0.4), rng.choice(_ZONES)) for _ in range(3)),
        tuple(_name(rng, two=0.8) for _ in range(6)),
        tuple({_name(rng): None for _ in range(30)}),
        tuple(_name(rng) for _ in range(4)),
        tuple(_name(rng) for _ in range(4)),
    )


def _name(rng: Random, *, two: float = 0.0) -> str:
    words = 2 if rng.random() < two else 1
    return " ".join(
        "".join(_syllable(rng) for _ in range(rng.randint(1, 3))).capitalize() for _ in range(words)
    )


def _syllable(rng: Random) -> str:
    return rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS)


class _Visit(SkillEpisode[Concierge]):
    """A visit to the site."""

    def __init__(self, task: Task, world: World, rng: Random, max_turns: int) -> None:
        self.task, self._worlds, self._max_turns = task, {task.world: world}, max_turns
        site = BookingSite({task.id: task}, self._worlds, SnapshotCache(1))
        super().__init__(site, task.id, self._concierge("naive", rng), rng)

    def play(self, skill: str) -> Example:
        """Play the visit that shows a skill."""
        if skill == "verdict":
            return self._verdict()
        if skill == "rank":
            self._go_to(self.rng.choice(("book", "table", "details")))
            return self._rank()
        self._go_to(skill)
        if self.done:  # the naive concierge gave up on the way
            self.restart(self.task.id)
        first = len(self.history)
        self._play_on()
        return self.example(first)

    def _concierge(self, strength: str, rng: Random) -> Concierge:
        habits, rates, _ = STRENGTHS[strength]
        seed = rng.randrange(1 << 30)
        return Concierge(
            {self.task.id: self.task}, self._worlds, name=strength, habits=habits, rates=rates, seed=seed
        )

    def _play_on(self, until: Callable[[], bool] = lambda: False) -> None:
        while not self.done and not until() and len(self.history) < self._max_turns:
            self.act_naively()

    def _go_to(self, skill: str) -> None:
        """Go to where a skill begins."""
        target = self.task.goal.target
        if skill == "wander":
            for _ in range(self.rng.randint(0, 5)):
                self.act_naively()
            for _ in range(self.rng.randint(1, 2)):
                self.act(self._any_action(safe=True))
        elif skill in ("table", "details") and target is not None and self.task.kind == "book":
            address = f"/r/{target.restaurant}"
            if skill == "details":
                seating = self.rng.choice(("", target.seating))
                address += f"?date={target.day}&party={target.party}&time={self.task.asked:%H%%3A%M}&seating={seating}"
            self.act(f"GOTO [{address}]")

    def _rank(self) -> Example:
        """Ask which of several actions helps most, at a random state of the visit from here on."""
        perfect, start = self._concierge("perfect", self.rng), self.history
        self._play_on()
        at = self.rng.randrange(len(start), len(self.history))
        history = self.history.at(at)
        options = {perfect.act(history): None, self.history.actions[at]: None}
        right, self.history = next(iter(options)), history
        for _ in range(self.rng.randint(1, 3)):
            options[self._any_action(safe=False)] = None
        offered = self.rng.sample([*options], min(len(options), self.rng.randint(2, 4)))
        if right not in offered:
            offered[0] = right
            self.rng.shuffle(offered)
        return _answer(critic_question(history, offered, BEST_ACTION), right)

    def _verdict(self) -> Example:
        """Ask whether the visit did what the user asked for; half of the visits are a perfect concierge's."""
        if self.rng.random() < 0.4:
            self.naive = self._concierge("perfect", self.rng)
        self._go_to(self.rng.choice(("book", "table")))
        self._play_on()
        over = History(self.task.id, EPISODE_OVER, self.history.steps)
        return _answer(critic_question(over, VERDICTS, TASK_SOLVED), "1" if self.reward == 1 else "2")

    def _any_action(self, *, safe: bool) -> str:
        """Return an action that can be done on the page; a `safe` one leaves no form and ends no visit."""
        view = read_observation(self.history.observation)
        controls = [c for c in view.controls if c.kind == "link" or not safe]
        actions = [DOWN] * view.more + [UP] * view.before + ["GOTO [/]"]
        if not safe:
            actions += [ASK_SEATING, ASK_PHONE]
        actions += [f"CLICK [{c.id}]" for c in controls if c.kind in ("link", "button") for _ in range(3)]
        guest = self.task.guest
        actions += [
            f"TYPE [{c.id}] [{self.rng.choice((guest.name, guest.phone, guest.email, '7:00 PM', '2 people'))}]"
            for c in controls
            if c.kind not in ("link", "button")
        ]
        return self.rng.choice(actions)


def _answer(question: History, answer: str) -> Example:
    """Return the example that trains the answer to a question alone."""
    history = question.then(answer, "")
    trajectory = Trajectory(history=history, reward=0.0, n_expert=len(question), source="critic")
    return Example(trajectory, len(question), len(history))


# Phrases ------------------------------------------------------------------------------------------------------


class _Kinds(NamedTuple):
    """The labels of a look by the kind of control that they stand on."""

    link: tuple[str, ...]
    button: tuple[str, ...]
    select: tuple[str, ...]
    field: tuple[str, ...]


def _by_kind(labels: Labels) -> _Kinds:
    of = labels
    return _Kinds(
        link=(
            of.brand, of.my_reservations, of.next_page, of.previous_page, of.previous_day, of.next_day, of.calendar,
            of.previous_month, of.next_month, of.other_time, of.change, of.cancel,
        ),
        button=(
            of.change_city, of.finish, of.search, of.apply, of.find_table, of.complete, of.complete_change,
            of.confirm_cancel, of.keep, of.accept_cookies, of.refuse_cookies, of.close_offer,
        ),
        select=(of.city, of.cuisine, of.district, of.price, of.sort, of.party, of.time, of.seating),
        field=(of.find_restaurant, of.name, of.phone, of.email),
    )  # fmt: skip


def _control_phrases(labels: Labels) -> Iterator[str]:
    for kind, of in _by_kind(labels)._asdict().items():
        yield from (f"] {'email' if label == labels.email else kind} {label}" for label in of)


PHRASES = tuple(
    dict.fromkeys(
        (
            *(phrase for labels in LABELS.values() for phrase in _control_phrases(labels)),
            *(
                clause
                for phrasing in (SEEN_PHRASING, UNSEEN_PHRASING)
                for clauses in (phrasing.nearest, phrasing.any_seating, *phrasing.seating.values())
                for clause in clauses
            ),
            *(
                "\n[",
                "] link ",
                "] button ",
                " (empty)",
                ": Any (11 choices)",
                ": Any (7 choices)",
                " (43 choices)",
            ),
            *(
                ": Any ($, $$, $$$, $$$$)",
                " (Lowest price, Name)",
                " (1 to 8)",
                " stars)",
                "## Most stars in ",
            ),
            *(
                "\nTables from ",
                "\nDate: ",
                "\nTIME ",
                "\nPAGE ",
                "USER ",
                "\nNOTICE ",
                "?date=",
                "&party=",
                "&time=",
            ),
            *(
                "%3A00",
                "%3A30",
                "&seating=",
                "/search?q=",
                "/details/",
                "/calendar",
                "@example.com",
                "-555-01",
            ),
            " is not available. The nearest times come first; of two as near, the earlier.",
            *("\n-- lines ", "; SCROLL DOWN for more --", "; SCROLL UP for more --"),
            *(
                f"{minute // 60 % 12 or 12}:{minute % 60:02} {'AP'[minute >= 720]}M"
                for minute in range(690, 1321, 15)
            ),
            *(
                f"{n} {labels.people[n > 1]}"
                for labels in LABELS.values()
                for n in range(1, LARGEST_PARTY + 1)
            ),
            *(
                f"{of} "
                for of in ("My name is", "It is for", "Put it under", "Guest:", "phone", "Tel.:", "Mail:")
            ),
            *(
                "my phone number is ",
                "my e-mail is ",
                "e-mail ",
                " in ",
                " at ",
                " into ",
                " for ",
                ", ",
                ": ",
            ),
            *("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
            *("Mon ", "Tue ", "Wed ", "Thu ", "Fri ", "Sat ", "Sun ", "2024", "2025", "2026"),
            *(f"{first} " for firsts in CUISINES.values() for first in firsts),
            *CUISINES,
            *(f" AM{after}" for after in ("", " in ")),
            *(f" PM{after}" for after in ("", " in ")),
            *(f"{month} " for month in month_name[1:]),
            *("PAGE Book a table in ", "PAGE Restaurants in ", "PAGE Your details: ", "PAGE Reservation "),
            *("# Book a table in ", "# Your details", "# 1 restaurant", " restaurants", "## Did you mean"),
            *(
                "# Your table is reserved",
                "Book a table at ",
                "Please reserve a table for ",
                "I need a reservation at ",
            ),
            *(
                "Could you get ",
                "We would like to eat at ",
                "Find us a spot at ",
                "No restaurant in ",
                " matches.",
            ),
            *(" | /", " | /r/", " stars\n", " closed", ".\n", "\n"),
            *("CLICK [", "TYPE [", "SUBMIT [", "GOTO [", "] [", DOWN, UP, ASK_SEATING, ASK_PHONE),
            *(
                text
                for text in (
                    "\n" + BEST_ACTION.partition("{options}")[0] + "1. ",
                    BEST_ACTION.partition("{options}")[2],
                )
            ),
            f"{EPISODE_OVER}\n{TASK_SOLVED.partition('{options}')[0]}1. {VERDICTS[0]}\n2. {VERDICTS[1]}",
            TASK_SOLVED.partition("{options}")[2],
        )
    )
)
"""What observations and actions of the site repeat; one token each keeps a visit short."""
