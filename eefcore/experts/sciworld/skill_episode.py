"""Play an episode in ScienceWorld's house, partly at random and partly by a plan, to show a base skill in it."""

from __future__ import annotations

import random

from eefcore.experts.sciworld.scene import HOUSE, Scene, action_text, read_scene
from eefcore.experts.sciworld.thoughts import Plan, conclude, destination, thought
from eefcore.protocols import Environment
from eefcore.types import Example, History, StopReason, Trajectory


class SkillEpisode:
    """An episode that is played from the start of its task, every action with a thought.

    Attributes:
        history: h_t, so far.
        rng: of everything that is done at random.
        known_things: names of things listed in any task so far; those seen at the start are added.
    """

    def __init__(self, env: Environment, task: str, rng: random.Random, known_things: set[str]) -> None:
        self.rng, self.known_things, self._env = rng, known_things, env
        self.restart(task)
        known_things.update(self.scene.things)

    def restart(self, task: str) -> None:
        """Start the task, whatever was done before."""
        self.history = History(task, self._env.reset(task))
        self.reward, self.done = 0.0, False

    @property
    def scene(self) -> Scene:
        """The scene at h_t."""
        return read_scene(self.history)

    @property
    def visited_rooms(self) -> set[str]:
        """The rooms that the episode has been in, the present one among them."""
        return {read_scene(self.history.at(i)).room for i in range(len(self.history) + 1)}

    def act(self, action: str) -> None:
        """Take an action with a thought in it; do nothing once the episode is over."""
        if not self.done:
            observation, self.reward, self.done = self._env.step(action)
            self.history = self.history.then(action, observation)

    def do(self, reason: str, command: str) -> None:
        """Give a command, after a thought that says the reason, which may be empty."""
        self.act(action_text(conclude(*([reason] if reason else []), command=command), command))

    def follow(self, plan: Plan, start: int, end: int) -> None:
        """Take the plan's actions from index `start` up to, not including, `end`."""
        for i, command in enumerate(plan.actions[start:end], start):
            self.act(action_text(thought(plan, i, command, self.scene), command))

    def go_to_a_task_room(self, plan: Plan) -> None:
        """Follow the plan to a random room in which it does something."""
        arrivals = [
            i
            for i, command in enumerate(plan.actions)
            if not destination(command)
            and not command.startswith("open ")
            and (i == 0 or destination(plan.actions[i - 1]))
        ]
        self.follow(plan, 0, self.rng.choice(arrivals or [0]))

    def wander(self) -> None:
        """Go through no, one or two doors."""
        for _ in range(self.rng.choice((0, 0, 1, 1, 2))):
            self.enter_a_new_room()

    def enter_a_new_room(self) -> bool:
        """Go through a random door to a room not yet visited; return False where there is none."""
        scene = self.scene
        rooms = [r for r in HOUSE[scene.room] if r not in self.visited_rooms]
        if not rooms:
            return False
        room = self.rng.choice(rooms)
        if not scene.is_open(room):
            self.do(f"I go to the {room}. The door is closed.", f"open door to {room}")
        self.do(f"I go to the {room}.", f"go to {room}")
        return True

    def any_command(self) -> str:
        """Return a random sensible command, whether it helps or not; none that could end the episode."""
        scene = self.scene
        room = self.rng.choice(HOUSE[scene.room])
        commands = [f"open door to {room}", f"go to {room}", "wait1"]
        if scene.things:
            thing, other = self.rng.choice(scene.things), self.rng.choice(scene.things)
            commands += [f"{verb} {thing}" for verb in ("open", "pick up", "examine", "activate", "mix")]
            commands += [f"move {thing} to {other}", f"pour {thing} in {other}"]
        return self.rng.choice(commands)

    def example(self, first: int, *, source: str) -> Example:
        """Return the episode as an example that trains from a_first on."""
        trajectory = Trajectory(
            history=self.history,
            reward=self.reward,
            n_expert=first,
            source=source,
            stop=StopReason.DONE if self.done else StopReason.TURN_LIMIT,
        )
        return Example(trajectory, first)
