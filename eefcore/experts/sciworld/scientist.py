"""Scripted ScienceWorld experts that follow a plan and think aloud, some of which make mistakes on purpose.

Mistakes are explicit, drawn from a seed, the task and the step of the plan, and marked in the trajectory: an expert leaves
a step out, does something else instead, or does something useless first. It reads the answers: an expert that notices
that this is the wrong room, or that a step did nothing, goes back and repairs it; another goes on with the plan.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from eefcore.envs.sciworld import SciWorldBenchmark
from eefcore.envs.sciworld.env import simulator_command
from eefcore.experts.demonstrate import Strength, find_strength
from eefcore.experts.sciworld.gold import gold_path
from eefcore.experts.sciworld.scene import HOUSE, Scene, action_text, first_scene, next_scene, route
from eefcore.experts.sciworld.thoughts import PREPARATIONS, Plan, conclude, destination, plan_of, thought
from eefcore.types import History, Mistake

LOOK_AHEAD = 8  # steps of the plan among which somebody else's action is searched


class Habits(NamedTuple):
    """The habits of an expert: which helpful things it does without being told."""

    opens: bool  # whether it opens doors and containers
    notices: float  # the share of what goes wrong that it notices and repairs


EXPERT_HABITS = Habits(opens=True, notices=0.2)
NAIVE_HABITS = Habits(opens=False, notices=0.0)


class MistakeRates(NamedTuple):
    """The probability of each mistake, at each step of the plan; a mark in a trajectory has the same name.

    After r repairs a rate p has become p · after_repair^r: an expert that has left the straight way loses the thread, and
    wins what is simple (EEF §3.1).

    Attributes:
        skip_step: leaves the step out.
        wrong_step: does something else instead of the step.
        extra_step: does something useless before the step.
        after_repair: the factor by which every rate grows with each thing that had to be repaired.
    """

    skip_step: float = 0.0
    wrong_step: float = 0.0
    extra_step: float = 0.0
    after_repair: float = 1.0


NO_MISTAKES = MistakeRates()


class _Progress(NamedTuple):
    """How far an expert has come in its plan."""

    next: int = 0  # index of the next step
    # commands to give before it, with the mistakes behind each
    queue: tuple[tuple[str, tuple[str, ...]], ...] = ()
    reached: frozenset[int] = frozenset()  # steps at which a mistake was drawn, or none
    undone: tuple[int, ...] = ()  # steps that were not done
    repairs: int = 0  # what was noticed so far


class _Decision(NamedTuple):
    command: str
    step: int  # of the plan, that it is about
    noticed: str
    mistakes: tuple[str, ...]
    progress: _Progress  # after it


class Scientist:
    """A scripted scientist, h_t -> a_t: a function of the history alone, so that it can start from any state.

    After actions that are not its own it goes on from the step of the plan that they were, or from where it was.

    Args:
        plan: task id -> the plan of the task.
    """

    def __init__(
        self,
        plan: Callable[[str], Plan],
        *,
        name: str = "expert",
        habits: Habits = EXPERT_HABITS,
        rates: MistakeRates = NO_MISTAKES,
        seed: int = 0,
    ) -> None:
        self.name, self.habits, self.rates, self.seed = name, habits, rates, seed
        self.plan = plan

    def act(self, history: History) -> str:
        """Return a_t: a thought and an action, on one line."""
        decision, scene = self._decide_at(history)
        if decision is None:
            reason = conclude("I do not know what else to do.", command="look around")
            return action_text(reason, "look around")
        plan = self.plan(history.task_id)
        reason = thought(plan, decision.step, decision.command, scene, noticed=decision.noticed)
        return action_text(reason, decision.command)

    def mistakes(self, history: History) -> tuple[Mistake, ...]:
        """Return the mistakes in a_t, for analysis only. A step left out is marked on what is done instead."""
        decision, _ = self._decide_at(history)
        return tuple(Mistake(len(history), mistake) for mistake in decision.mistakes) if decision else ()

    def gives_up(self, history: History) -> bool:
        """Return whether nothing is left of the plan, and nothing that it noticed can be repaired."""
        return self._decide_at(history)[0] is None

    def next_step(self, history: History) -> str:
        """Return the next command of the plan, whether its habits allow it or not; empty at the end."""
        plan, (progress, _) = self.plan(history.task_id), self._follow(history)
        return plan.actions[progress.next] if progress.next < len(plan.actions) else ""

    def _decide_at(self, history: History) -> tuple[_Decision | None, Scene]:
        progress, scene = self._follow(history)
        return self._decide(history.task_id, self.plan(history.task_id), progress, scene), scene

    def _follow(self, history: History) -> tuple[_Progress, Scene]:
        """Return how far the expert is in its plan at h_t, and the scene there."""
        plan = self.plan(history.task_id)
        first, *answers = (*(s.observation for s in history.steps), history.observation)
        progress, scene = _Progress(), first_scene(first)
        for step, answer in zip(history.steps, answers, strict=True):
            command = simulator_command(step.action)
            decision = self._decide(history.task_id, plan, progress, scene)
            if decision is not None and decision.command == command:
                progress = decision.progress
            else:
                progress = _after_another(plan, progress, command)
            scene = next_scene(scene, command, answer)
        return progress, scene

    def _decide(self, task_id: str, plan: Plan, progress: _Progress, scene: Scene) -> _Decision | None:
        """Return what to do next; None at the end of the plan."""
        i = progress.next
        if scene.ambiguous and not (i < len(plan.actions) and plan.actions[i].isdecimal()):
            return _Decision("0", i, "", (), progress)
        if progress.queue:
            (command, mistakes), *rest = progress.queue
            return _Decision(command, i, "", mistakes, progress._replace(queue=tuple(rest)))
        return self._repair(task_id, plan, progress, scene) or self._go_on(task_id, plan, progress, scene)

    def _repair(self, task_id: str, plan: Plan, progress: _Progress, scene: Scene) -> _Decision | None:
        """Return what to do about something that is not as the plan expects, if it is noticed."""
        i = progress.next
        if i == len(plan.actions):
            if not progress.undone or not self._notices(task_id, i):
                return None
            # Start again from the first step that was left out; doing a step twice does no harm.
            again = progress._replace(next=progress.undone[0], undone=(), repairs=progress.repairs + 1)
            return self._repair(task_id, plan, again, scene) or self._go_on(task_id, plan, again, scene)
        right_room = plan.scenes[i].room
        if scene.room != right_room and self._notices(task_id, i):
            commands = go_to(route(scene.room, right_room)[0], scene)
            closed = scene.answer.startswith("The door is not open")
            noticed = "The door is not open." if closed else f"This is the {scene.room}."
            return _repairing(commands, i, noticed, progress)
        here = [
            j
            for j in progress.undone
            if plan.scenes[j].room == scene.room and not destination(plan.actions[j])
        ]
        if scene.refused and i and here and self._notices(task_id, i):
            commands = [plan.actions[here[-1]], plan.actions[i - 1]]
            undone = tuple(j for j in progress.undone if j != here[-1])
            return _repairing(commands, i, "That did not work.", progress._replace(undone=undone))
        return None

    def _go_on(self, task_id: str, plan: Plan, progress: _Progress, scene: Scene) -> _Decision | None:
        """Return the next step of the plan, or a mistake."""
        mistakes: tuple[str, ...] = ()
        for i in range(progress.next, len(plan.actions)):
            command = plan.actions[i]
            if command.startswith("open ") and not self.habits.opens:
                continue
            mistake = "" if i in progress.reached else self._draw_mistake(task_id, plan, i, progress.repairs)
            progress = progress._replace(next=i + 1, reached=progress.reached | {i})
            if mistake in ("skip_step", "wrong_step"):
                progress = progress._replace(undone=(*progress.undone, i))
            if mistake == "skip_step":
                mistakes += (mistake,)
                continue
            if mistake:
                mistakes += (mistake,)
                command, *rest = self._wrong_commands(task_id, plan, i, scene, mistake)
                progress = progress._replace(
                    next=i + (mistake == "wrong_step"), queue=tuple((further, (mistake,)) for further in rest)
                )
            return _Decision(command, i, "", mistakes, progress)
        return None

    def _draw_mistake(self, task_id: str, plan: Plan, i: int, repairs: int) -> str:
        """Return the mistake at a step of the plan, or "".

        A step that only looks is not left out or replaced, and the last step is not forgotten.
        """
        growth = self.rates.after_repair**repairs
        skip, wrong, extra = (rate * growth for rate in self.rates[:3])
        if PREPARATIONS.match(plan.actions[i]) and not destination(plan.actions[i]):
            skip = wrong = 0.0
        if i == len(plan.actions) - 1:
            skip, wrong = 0.0, skip + wrong
        draw = self._rng(task_id, i, "slip").random()
        for mistake, rate in (("skip_step", skip), ("wrong_step", wrong), ("extra_step", extra)):
            if draw < rate:
                return mistake
            draw -= rate
        return ""

    def _wrong_commands(self, task_id: str, plan: Plan, i: int, scene: Scene, mistake: str) -> list[str]:
        """Return commands that do not help here: to another room, or about another thing."""
        rng, command = self._rng(task_id, i, "wrong"), plan.actions[i]
        found = _VERB_AND_THING.match(command)
        verb, thing = (found[1], found[2]) if found else ("", "")
        other_things = [t for t in scene.things if t not in command]
        right_rooms = (destination(command), plan.scenes[i + 1].room)
        other_rooms = [r for r in HOUSE[scene.room] if r not in right_rooms]
        if other_rooms and (not other_things or destination(command) or rng.random() < 0.3):
            return go_to(rng.choice(other_rooms), scene)
        if not other_things:
            return ["wait1"]
        other = rng.choice(other_things)
        if verb == "focus on" and mistake == "extra_step":
            return [f"focus on the {thing} and the {other}"]
        if verb in ("focus on", "pick up", "open", "activate"):
            return [f"{verb} {other}"]
        if verb == "move":
            return [f"move {thing} to {other}"]
        return [f"{rng.choice(('examine', 'pick up', 'open', 'activate'))} {other}"]

    def _notices(self, task_id: str, i: int) -> bool:
        return self._rng(task_id, i, "notices").random() < self.habits.notices

    def _rng(self, task_id: str, i: int, purpose: str) -> random.Random:
        # Experts of one strength with other rates draw the same numbers, so that a sweep over a rate compares like with like.
        strength = self.name.partition("?")[0]
        return random.Random(f"{strength}|{self.seed}|{task_id}|{i}|{purpose}")


_VERB_AND_THING = re.compile(r"(focus on|pick up|open|activate|move) (.+?)(?: to .+)?$")


def go_to(room: str, scene: Scene) -> list[str]:
    """Return the commands that go through the door to `room`."""
    return [*([] if scene.is_open(room) else [f"open door to {room}"]), f"go to {room}"]


def _repairing(commands: list[str], i: int, noticed: str, progress: _Progress) -> _Decision:
    """Return the decision to repair something by these commands before step i of the plan."""
    first, *rest = commands
    after = progress._replace(queue=tuple((further, ()) for further in rest), repairs=progress.repairs + 1)
    return _Decision(first, i, noticed, (), after)


def _after_another(plan: Plan, progress: _Progress, command: str) -> _Progress:
    """Return the progress after somebody else's action: past that step of the plan, if it is one."""
    for i in range(progress.next, min(progress.next + LOOK_AHEAD, len(plan.actions))):
        if plan.actions[i] == command:
            return progress._replace(next=i + 1, queue=())
    return progress._replace(queue=())


STRENGTHS = {
    "strong": Strength(
        EXPERT_HABITS,
        MistakeRates(skip_step=0.027, wrong_step=0.021, extra_step=0.006, after_repair=2.0),
        0.03,
    ),
    "weak": Strength(
        EXPERT_HABITS,
        MistakeRates(skip_step=0.054, wrong_step=0.042, extra_step=0.012, after_repair=2.0),
        0.001,
    ),
    "perfect": Strength(Habits(opens=True, notices=1.0), NO_MISTAKES, 0.0),
    "naive": Strength(NAIVE_HABITS, NO_MISTAKES, 0.0),
}
"""The scripted scientists by name.

strong    stands where the demonstrations of EEF's ScienceWorld 2k stand: its rates are fitted to the wins and the length of Table 1
weak      makes twice as many mistakes, thirty times cheaper
perfect   the simulator's own rule-based agent, thinking aloud (99 %)
naive     does what is to be done in the room it is in, and opens nothing; what the tiny base knows
"""


def make_scientist(benchmark: SciWorldBenchmark, strength: str, *, seed: int = 0) -> Scientist:
    """Return the scripted scientist of that strength for this benchmark's tasks, as in `strong` or `strong?skip_step=0.1`.

    Raises:
        ParamsError: there is no such strength, or no such rate.
    """
    habits, rates, _ = find_strength(strength, STRENGTHS)

    @cache
    def plan(task_id: str) -> Plan:
        return plan_of(benchmark.goal(task_id).kind, gold_path(benchmark, task_id))

    return Scientist(plan, name=strength, habits=habits, rates=rates, seed=seed)
