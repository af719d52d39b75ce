"""Replace an environment's reward by a judge's verdict, as Agent Q §6 does where no exact grader is.

The judge is asked when an episode ends, with the pages that were seen on the way. R(τ) is 1 if it calls the episode a success,
and 0 if not. Where it gives no verdict there is no reward: the episode is an environment failure, and in no denominator.
"""

from __future__ import annotations

from collections.abc import Callable

from eefcore import protocols
from eefcore.errors import EpisodeOver, NoVerdict
from eefcore.judge.judge import Judge
from eefcore.judge.prompt import Evidence
from eefcore.protocols import Benchmark, Environment, Pictured
from eefcore.types import History, State, Step, Transition


def reward_by_judge(benchmark: Benchmark, judge: Judge | None) -> Callable[[], Environment]:
    """Return what makes environments whose reward is the judge's verdict; without a judge it is the benchmark's own `make`."""
    if judge is None:
        return benchmark.make
    pages: dict[State, str] = {}
    return lambda: JudgedEnvironment(benchmark.make(), benchmark.instruction, judge, pages)


class JudgedEnvironment:
    """An environment whose reward is a judge's verdict.

    Args:
        pages: the observation of each state that was seen; environments of one benchmark share it.
    """

    def __init__(
        self, env: Environment, instruction: Callable[[str], str], judge: Judge, pages: dict[State, str]
    ) -> None:
        self._env, self._instruction, self._judge, self._pages = env, instruction, judge, pages
        self._state: State | None = None

    def reset(self, task_id: str) -> str:
        """Start the task; return o_0."""
        return self._see(State(task_id), self._env.reset(task_id))

    def step(self, action: str) -> Transition:
        """Take an action; the reward, if the episode ends, is the judge's verdict.

        Raises:
            NoVerdict: the judge gives none.
        """
        transition = self._env.step(action)
        if (state := self._state) is None:
            raise EpisodeOver("step was called before reset; call reset or restore first")
        self._see(State(state.task_id, (*state.actions, action)), transition.observation)
        return transition._replace(reward=self._reward()) if transition.done else transition

    def irreversible(self, action: str) -> bool:
        """Return whether `action` can't be undone in the present state."""
        return isinstance(self._env, protocols.Irreversible) and self._env.irreversible(action)

    def snapshot(self) -> State:
        """Return s_t."""
        return self._env.snapshot()

    def restore(self, state: State) -> str:
        """Restore the environment to `state`, and return the observation there."""
        for i in range(len(state.actions)):  # pages that another process saw
            before = State(state.task_id, state.actions[:i])
            if before not in self._pages:
                self._pages[before] = self._env.restore(before)
        return self._see(state, self._env.restore(state))

    def _see(self, state: State, observation: str) -> str:
        """Remember the observation of a state, which is the present one, and return it."""
        self._state, self._pages[state] = state, observation
        return observation

    def _reward(self) -> float:
        """Return 1 if the judge calls the episode a success, else 0."""
        assert self._state is not None  # an episode that ended was started
        task_id, taken = self._state.task_id, self._state.actions
        seen = [self._pages[State(task_id, taken[:i])] for i in range(len(taken) + 1)]
        history = History(task_id, seen[-1], tuple(map(Step, seen[:-1], taken)))
        picture = self._env.screenshot() if isinstance(self._env, Pictured) else None
        judgement = self._judge.ask(Evidence(self._instruction(task_id), history, picture))
        if judgement.verdict is None:
            raise NoVerdict(f"{task_id}: the judge {self._judge.model} gave no verdict: {judgement.reason}")
        return float(judgement.verdict.success)
