"""Contract test classes for environments, benchmarks and policies: subclass one, and pytest checks the rules.

    class TestToyShop(EnvironmentContract):
        task, script = "lamp", ("click[Next]", "click[D]", "buy")
        make = ToyShop

    class TestToyShops(BenchmarkContract):
        load = ToyShops

    class TestMyPolicy(PolicyContract):
        ...  # give `make` and `histories`

They test what `eefcore.protocols` asks for; pytest has to be installed. `docs/howto/environment.md` shows a whole test file.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import chain

import pytest

from eefcore.errors import EpisodeOver, PolicyError, UnknownTask
from eefcore.protocols import Benchmark, Environment, Irreversible, Policy, Reply, Sampling
from eefcore.types import History, State, Transition

Questions = dict[Hashable, tuple[History, Sampling]]
"""What a policy is asked, by episode."""

SPLITS = ("train", "dev", "test")

NONSENSE = (
    "",
    " ",
    "\n",
    "\x00",
    "\ud800",
    "🛒" * 2000,
    "x" * 10_000,
    *"[ ] [] a[b] {} click[ Action:".split(),
)
"""Texts that a policy may write, and that every environment has to answer."""


class EnvironmentContract:
    """Test an environment against `eefcore.protocols.Environment`; a subclass gives one task and a script that ends it.

    Attributes:
        task: the id of a task.
        script: actions of which the last one ends the episode, and none before.
    """

    task: str
    script: tuple[str, ...]

    def make(self) -> Environment:
        """Return a new environment; or set `make` to its class."""
        raise NotImplementedError

    def test_the_same_actions_give_the_same_observations(self):
        assert self.play(self.make()) == self.play(self.make())

    def test_one_environment_can_be_played_again(self):
        env = self.make()
        assert self.play(env) == self.play(env)

    def test_observations_are_text_and_transitions_are_typed(self):
        first, rest = self.play(self.make())
        assert isinstance(first, str)
        assert all(isinstance(t, Transition) and isinstance(t.observation, str) for t in rest)
        assert all(isinstance(t.reward, float) and isinstance(t.done, bool) for t in rest)

    def test_restore_continues_as_if_never_left(self):
        first, answers = self.play(self.make())
        observations = [first, *(t.observation for t in answers)]
        for i in range(len(self.script)):
            other = self.make()
            assert other.restore(State(self.task, self.script[:i])) == observations[i]
            assert [other.step(a) for a in self.script[i:]] == answers[i:]

    def test_restore_to_a_snapshot_shows_what_was_seen_there(self):
        env = self.make()
        seen, states = [env.reset(self.task)], [env.snapshot()]
        for action in self.script[:-1]:
            seen.append(env.step(action).observation)
            states.append(env.snapshot())
        for state, observation in reversed([*zip(states, seen, strict=True)]):
            assert env.restore(state) == observation
            assert env.snapshot() == state
            assert self.make().restore(state) == observation

    def test_two_episodes_do_not_touch_each_other(self):
        _, alone = self.play(self.make())
        one, other = self.make(), self.make()
        one.reset(self.task)
        other.reset(self.task)
        for action, expected in zip(self.script, alone, strict=True):
            assert one.step(action) == expected
            assert other.step(action) == expected

    def test_a_snapshot_is_the_task_and_the_actions(self):
        env = self.make()
        env.reset(self.task)
        assert env.snapshot() == State(self.task)
        if len(self.script) > 1:
            env.step(self.script[0])
            assert env.snapshot() == State(self.task, self.script[:1])

    def test_reward_is_zero_until_done_and_in_the_unit_interval(self):
        *before, last = self.play(self.make())[1]
        assert last.done and 0 <= last.reward <= 1
        assert all(t.reward == 0 and not t.done for t in before)

    def test_stepping_past_the_end_is_an_error_that_says_what_to_do(self):
        env = self.make()
        self.play(env)
        with pytest.raises(EpisodeOver, match="reset"):
            env.step(self.script[0])
        env.reset(self.task)
        env.step(self.script[0])

    def test_stepping_before_reset_is_an_error_that_says_what_to_do(self):
        with pytest.raises(EpisodeOver, match="reset"):
            self.make().step(self.script[0])

    def test_an_unknown_task_is_named(self):
        with pytest.raises(UnknownTask, match="no such task"):
            self.make().reset("no such task")

    def test_any_text_is_answered(self):
        env = self.make()
        env.reset(self.task)
        for action in NONSENSE:
            answer = env.step(action)
            assert isinstance(answer.observation, str) and not answer.done and answer.reward == 0

    def test_asking_what_can_not_be_undone_changes_nothing(self):
        env = self.make()
        if not isinstance(env, Irreversible):
            return
        _, alone = self.play(self.make())
        env.reset(self.task)
        for action, expected in zip(self.script, alone, strict=True):
            answers = [env.irreversible(a) for a in (action, *NONSENSE)]
            assert answers == [env.irreversible(a) for a in (action, *NONSENSE)]
            assert all(isinstance(a, bool) for a in answers) and not any(answers[1:])
            assert env.step(action) == expected

    def play(self, env: Environment) -> tuple[str, list[Transition]]:
        """Return o_0 and the answer to each action of the script."""
        return env.reset(self.task), [env.step(action) for action in self.script]


class BenchmarkContract:
    """Test a benchmark against `eefcore.protocols.Benchmark`; a subclass loads it in `load`."""

    def load(self) -> Benchmark:
        """Return a benchmark with tasks in every split, the same one each time; or set `load` to its class."""
        raise NotImplementedError

    def test_a_task_is_in_one_split_and_once(self):
        benchmark = self.load()
        ids = [*chain.from_iterable(map(benchmark.tasks, SPLITS))]
        assert all(benchmark.tasks(split) for split in SPLITS) and len(set(ids)) == len(ids)

    def test_loaded_again_it_is_the_same(self):
        one, other = self.load(), self.load()
        assert one.card == other.card and one.card.key == other.card.key
        assert [*map(one.tasks, SPLITS)] == [*map(other.tasks, SPLITS)]
        task = one.tasks("test")[0]
        assert one.instruction(task) == other.instruction(task)
        assert one.make().reset(task) == other.make().reset(task)

    def test_every_task_can_be_started_and_says_what_it_asks_for(self):
        benchmark = self.load()
        env = benchmark.make()
        for task in chain.from_iterable(map(benchmark.tasks, SPLITS)):
            assert env.reset(task) and benchmark.instruction(task)
            assert env.snapshot() == State(task)

    def test_an_episode_is_limited(self):
        assert isinstance(self.load().max_turns, int) and self.load().max_turns > 0

    def test_skills_name_actions_of_the_history_each_once_and_in_order(self):
        benchmark = self.load()
        env, task = benchmark.make(), benchmark.tasks("train")[0]
        history = History(task, env.reset(task))
        for action in NONSENSE[: benchmark.max_turns]:
            history = history.then(action, env.step(action).observation)
        for name, skill in benchmark.skills.items():
            assert name and not [*skill(history.at(0))]
            found = [*skill(history)]
            assert found == sorted({*found} & {*range(len(history))})


def answer_all(policy: Policy, questions: Questions) -> dict[Hashable, Reply]:
    """Ask all `questions` together and return the answers; each episode is closed once it is answered."""
    for episode, (history, sampling) in questions.items():
        policy.ask(episode, history, sampling)
    replies: dict[Hashable, Reply] = {}
    while answers := policy.answers():
        for episode, reply in answers:
            assert episode not in replies, f"{episode!r} was answered twice"
            replies[episode] = reply
            policy.close(episode)
    return replies


def play_turns(
    policy: Policy, starts: Sequence[History], samplings: Sequence[Sampling], turns: int
) -> dict[int, History]:
    """Play all starts together for `turns` more actions, or fewer where an answer held none; return the histories by index."""
    histories = dict(enumerate(starts))
    for i, history in histories.items():
        policy.ask(i, history, samplings[i])
    while answers := policy.answers():
        for i, reply in answers:
            assert isinstance(i, int), f"{i!r} is no episode that was asked"
            if reply.stop is None:
                observation = f"you said: {reply.action[:12]}"
                histories[i] = histories[i].then(reply.action, observation, reply.tokens, reply.logps)
            if reply.stop is not None or len(histories[i]) - len(starts[i]) == turns:
                policy.close(i)
            else:
                policy.ask(i, histories[i], samplings[i])
    return histories


class PolicyContract:
    """Test a policy against `eefcore.protocols.Policy`; a subclass gives the policy and histories that it can answer.

    Attributes:
        turns: the number of actions that each episode is played for.
    """

    turns = 3

    def make(self) -> Policy:
        """Return a new policy, the same one each time."""
        raise NotImplementedError

    @property
    def histories(self) -> Sequence[History]:
        """Return histories that the policy can answer, all of them different."""
        raise NotImplementedError

    def samplings(self, n: int, temperature: float = 1.0) -> list[Sampling]:
        return [Sampling(temperature, 1000 + i) for i in range(n)]

    def questions(self) -> Questions:
        asked = zip(self.histories, self.samplings(len(self.histories)), strict=True)
        return {f"e{i}": question for i, question in enumerate(asked)}

    def test_it_has_a_name(self):
        assert self.make().name

    def test_without_questions_there_are_no_answers(self):
        assert list(self.make().answers()) == []

    def test_every_question_is_answered_once_and_none_is_invented(self):
        policy, questions = self.make(), self.questions()
        assert answer_all(policy, questions).keys() == questions.keys()
        assert list(policy.answers()) == []

    def test_an_answer_holds_an_action_or_says_why_not(self):
        for reply in answer_all(self.make(), self.questions()).values():
            assert reply.stop is not None or reply.action.strip()
            assert len(reply.logps) in (0, len(reply.tokens))
            assert all(p <= 0 for p in reply.logps)

    def test_equal_seeds_draw_equal_actions(self):
        first, again = (answer_all(self.make(), self.questions()) for _ in range(2))
        assert sampled_actions(first) == sampled_actions(again)

    def test_an_answer_does_not_depend_on_the_rest_of_the_batch(self):
        together = answer_all(self.make(), self.questions())
        alone = self.make()
        for episode, question in reversed(self.questions().items()):
            answer = answer_all(alone, {episode: question})
            assert sampled_actions(answer) == sampled_actions({episode: together[episode]})

    def test_an_episode_goes_on_after_its_answer(self):
        starts = self.histories
        samplings = self.samplings(len(starts))
        together = play_turns(self.make(), starts, samplings, self.turns)
        for i, start in enumerate(starts):
            alone = play_turns(self.make(), [start], [samplings[i]], self.turns)
            assert alone[0].actions == together[i].actions

    def test_a_cache_between_turns_changes_no_answer(self):
        starts, samplings = self.histories, self.samplings(len(self.histories))
        for i, history in play_turns(self.make(), starts, samplings, self.turns).items():
            for t in range(len(starts[i]), len(history)):
                step = history.steps[t]
                fresh = answer_all(self.make(), {"fresh": (history.at(t), samplings[i])})["fresh"]
                assert (fresh.action, fresh.tokens) == (step.action, step.tokens)
                assert fresh.logps == pytest.approx(step.logps, abs=1e-4)

    def test_a_history_has_a_length_that_grows_with_it(self):
        policy = self.make()
        for history in self.histories:
            longer = history.then("a", "b")
            assert 0 <= policy.length(history) <= policy.length(longer)

    def test_a_closed_episode_is_forgotten(self):
        policy, (history, *_) = self.make(), self.histories
        policy.ask("gone", history, Sampling())
        policy.close("gone")
        assert list(policy.answers()) == []
        policy.close("never seen")
        assert answer_all(policy, {"gone": (history, Sampling())}).keys() == {"gone"}

    def test_a_second_open_question_is_an_error(self):
        policy, (history, *_) = self.make(), self.histories
        policy.ask("e", history, Sampling())
        with pytest.raises(PolicyError, match="twice"):
            policy.ask("e", history, Sampling())


def sampled_actions(replies: Mapping[Hashable, Reply]) -> dict[Hashable, tuple[object, ...]]:
    """Return what was sampled, without log-likelihoods, whose last bits may differ."""
    return {e: (r.action, r.tokens, r.stop) for e, r in replies.items()}
