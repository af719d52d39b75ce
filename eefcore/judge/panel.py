"""Judge the episodes of an evaluation set, and compare the verdicts with the exact grader's rewards."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from eefcore.evaluation.agreement import Agreement, agreement
from eefcore.evaluation.panel import Run, panel_tasks, score_matrix
from eefcore.judge.judge import Judge
from eefcore.judge.prompt import Evidence
from eefcore.judge.verdict import Judgement, Verdict
from eefcore.protocols import Benchmark, Environment, Pictured
from eefcore.rollout.rollout import restore
from eefcore.types import StopReason, Trajectory


def judge_panel(
    benchmark: Benchmark,
    episodes: Sequence[Trajectory],
    judge: Judge | None,
    on_verdict: Callable[[], None] = lambda: None,
) -> list[Judgement]:
    """Return a judgement of each episode that the infrastructure did not spoil; none without a judge.

    An episode that a limit cut short is judged like any other, by the page that it had reached. Where the environment has
    pictures, the episode is played again to its last page for one.
    """
    if judge is None:
        return []
    env = benchmark.make()
    evidence = [
        Evidence(benchmark.instruction(t.task_id), t.history, last_picture(env, t))
        for t in episodes
        if not t.stop.infrastructure
    ]
    return judge.ask_all(evidence, on_verdict)


def last_picture(env: Environment, trajectory: Trajectory) -> bytes | None:
    """Return the picture of a trajectory's last page; None where the environment has none.

    Raises:
        ReplayMismatch: the environment shows other pages than the trajectory recorded.
    """
    if not isinstance(env, Pictured):
        return None
    history = trajectory.history
    if trajectory.stop is StopReason.DONE and history.steps:
        restore(env, history.at(len(history) - 1))
        env.step(history.actions[-1])
    else:
        restore(env, history)
    return env.screenshot()


def panel_agreement(runs: Sequence[Run], judgements: Sequence[Sequence[Judgement]]) -> Agreement:
    """Return how well verdicts agree with the exact grader, over the seeds of a panel; one list of each a seed."""
    panel = panel_tasks(runs)
    exact = score_matrix(runs, lambda t: float(t.win), panel)
    said = [{j.task_id: j.verdict for j in of_seed} for of_seed in judgements]
    judged = np.vstack(
        [
            score_matrix([run], lambda t, by_task=by_task: _said(by_task.get(t.task_id)), panel)
            for run, by_task in zip(runs, said, strict=True)
        ]
    )
    return agreement(judged, exact)


def agreement_metrics(episodes: Run, judgements: Sequence[Judgement]) -> dict[str, float | int]:
    """Return a judge's agreement on a panel by the keys that evaluations log (results/README.md); nothing if none judged."""
    if not judgements:
        return {}
    found = panel_agreement([episodes], [judgements])
    return {
        "judge/asked": len(judgements),
        "judge/no_verdict": found.no_verdict,
        "judge/win_rate": found.judged.value,
        "judge/precision": found.precision.value,
        "judge/recall": found.recall.value,
        "judge/kappa": found.kappa.value,
    }


def _said(verdict: Verdict | None) -> float:
    """Return a verdict as a number; NaN if there is none."""
    return np.nan if verdict is None else float(verdict.success)
