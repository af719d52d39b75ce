"""ScienceWorld as an environment: what ends an episode, what is refused, how a state is restored."""

import pytest
from helpers.sciworld_gold import GOLDEN_FILE, read

from eefcore import envs
from eefcore.envs.sciworld.env import UNKNOWN, SciWorld, simulator_command, to_transition
from eefcore.envs.sciworld.simulator import Response
from eefcore.envs.sciworld.simulator_pool import ResponseCache, SimulatorState, shared_pool
from eefcore.envs.sciworld.tasks import Task
from eefcore.errors import EpisodeOver, ReplayMismatch
from eefcore.testing import BenchmarkContract, EnvironmentContract
from eefcore.types import State, Transition

simulated = [pytest.mark.java, pytest.mark.xdist_group("jvm"), pytest.mark.usefixtures("simulators")]

GOLD = {gold.task.kind: gold for gold in read(GOLDEN_FILE)}
EASY = GOLD["find-non-living-thing"]  # which begins in the kitchen, and has 8 points for it
NONE_KNOWN = "No known action matches that input."


def won(gold):
    """What wins: the simulator's own agent goes on afterwards."""
    return gold.actions[: gold.scores.index(100) + 1]


def environment(gold, max_turns=40):
    """One that knows a single task, "t", and remembers nothing."""
    return SciWorld({"t": gold.task}, shared_pool(), ResponseCache(), max_turns)


def play(env, *actions):
    return [env.reset("t"), *(env.step(action) for action in actions)]


class TestShort(EnvironmentContract):
    """One memory for all: what was played once is remembered."""

    pytestmark = simulated
    task, script = "t", tuple(won(EASY))
    memory = ResponseCache()

    def make(self):
        return SciWorld({"t": EASY.task}, shared_pool(), self.memory, 40)


class TestForgetful(EnvironmentContract):
    """A memory for each: everything is played in the simulator. And thoughts before each action."""

    pytestmark = simulated
    gold = GOLD["lifespan-longest-lived"]
    task, script = "t", tuple(f"Thought: let me see. Action: {action}" for action in won(gold))

    def make(self):
        return environment(self.gold)


class TestBenchmark(BenchmarkContract):
    pytestmark = simulated

    def load(self):
        return envs.load("sciworld_mini", sizes="3/2/2")


@pytest.mark.parametrize(
    "action, command",
    [
        ("go to kitchen", "go to kitchen"),
        ("Thought: the kitchen.\nAction: go to  kitchen \n", "go to kitchen"),
        ("Thought: no Action: yet. Action: 0", "0"),
        ("Action:", ""),
        ("reset task", UNKNOWN),
        ("Thought: I lost. Action: Reset  the Task", UNKNOWN),
        ("RESETTASK", UNKNOWN),
        ("reset a an the task", UNKNOWN),
        ("read task", "read task"),
        ("\ud800", "?"),
    ],
)
def test_the_simulator_gets_what_follows_the_last_action_mark(action, command):
    assert simulator_command(action) == command


@pytest.mark.parametrize(
    "seen, last, expected",
    [
        (Response("x", 40, False), False, Transition("x")),
        (Response("x", 100, True), False, Transition("x", 1.0, True)),
        (Response("x", 100, True), True, Transition("x", 1.0, True)),
        (Response("x", 100, False), False, Transition("x")),
        (Response("x", 100, False), True, Transition("x", 0.99, True)),
        (Response("x", 40, True), False, Transition("x", 0.4, True)),
        (Response("x", 40, False), True, Transition("x", 0.4, True)),
        (Response("x", 0, False), True, Transition("x", 0.0, True)),
        (Response("x", -100, False), False, Transition("x", 0.0, True)),
        (Response("x", -100, True), False, Transition("x", 0.0, True)),
        (Response("x", -1, False), True, Transition("x", 0.0, True)),
    ],
)
def test_a_win_is_completed_with_a_score_of_100_and_nothing_else(seen, last, expected):
    assert to_transition(seen, last=last) == expected


class TestEpisodes:
    pytestmark = simulated

    def test_the_gold_path_wins_and_shows_the_recorded_observations(self):
        first, *answers = play(environment(EASY), *EASY.actions)
        assert first == EASY.first and first.startswith("Your task is to find a(n) non-living thing.")
        assert answers[-1] == Transition(EASY.observations[-1], 1.0, True)
        assert [a.observation for a in answers] == EASY.observations

    def test_a_wrong_focus_ends_the_episode(self):
        env = environment(GOLD["boil"])
        assert play(env, "focus on the agent")[1] == Transition("You focus on the agent.", 0.0, True)
        with pytest.raises(EpisodeOver, match="step of t after its end, 1 actions in; call reset or restore"):
            env.step("reset task")

    def test_a_state_past_the_end_can_not_be_restored(self):
        with pytest.raises(EpisodeOver):
            environment(GOLD["boil"]).restore(State("t", ("focus on the agent", "look around")))

    def test_reset_task_does_not_undo_a_failure(self):
        """`reset task` would clear the score, and the right focus would win after it."""
        words = ("reset task", "Reset the task", "Thought: again. Action: reset task", "teleport to kitchen")
        _, *answers = play(environment(EASY), *words)
        assert {a.observation for a in answers} == {NONE_KNOWN}

    def test_reset_task_does_not_undo_unfinished_work(self):
        gold = GOLD["power-component"]
        done = gold.actions.index("focus on red light bulb") + 1
        *_, last = play(environment(gold), *won(gold)[:done], "reset task", *won(gold)[done:])
        assert last.reward == 1.0

    def test_teleport_is_not_an_action(self):
        for gold in (EASY, GOLD["boil"]):
            _, teleported, there = play(environment(gold), "teleport to greenhouse", "look around")
            assert teleported.observation == NONE_KNOWN
            assert there.observation == gold.first.partition("\n")[2]

    def test_max_turns_ends_an_episode_and_counts_refused_actions(self):
        env = environment(EASY, max_turns=3)
        _, *answers, last = play(env, "", "look around", "no such thing")
        assert not any(a.done for a in answers)
        assert last == Transition(NONE_KNOWN, 0.08, True)

    def test_the_last_action_may_win(self):
        assert play(environment(EASY, max_turns=len(EASY.actions)), *EASY.actions)[-1].reward == 1.0
        short = play(environment(EASY, max_turns=len(EASY.actions) - 1), *EASY.actions[:-1])[-1]
        assert short.done and 0 < short.reward < 1

    def test_a_new_episode_does_not_keep_the_score_of_the_last_win(self):
        """The simulator's `load` keeps the score of the episode before, until something is done."""
        assert play(environment(EASY), *EASY.actions)[-1].reward == 1.0
        for free in ("task", "help", "objects"):
            _, answer = play(environment(EASY), free)
            assert not answer.done and answer.reward == 0

    def test_a_question_of_the_simulator_is_a_state_like_any_other(self):
        """A question waits for its number, in whatever world it is asked again."""
        env = environment(EASY)
        _, asked, chosen = play(env, "open door", "2")
        assert asked.observation.startswith("Ambiguous request: Please enter the number")
        assert [line for line in asked.observation.split("\n") if line.startswith("2:")] == [
            "2:\topen door between kitchen and outside"
        ]
        assert chosen.observation == "The door is now open."
        for other in (env, environment(EASY)):
            other.restore(State("t", ("look around",)))
            assert other.restore(State("t", ("open door",))) == asked.observation
            assert other.step("2") == chosen
            assert other.step("go to outside").observation == "You move to the outside."

    def test_a_number_without_a_question_chooses_nothing(self):
        assert play(environment(EASY), "2")[1].observation == NONE_KNOWN

    def test_words_cancel_a_question_and_are_not_executed(self):
        _, _, cancelled, after = play(environment(EASY), "open door", "open door to outside", "go to outside")
        assert cancelled.observation.startswith("Unknown action.")
        assert after.observation == "The door is not open."

    def test_reset_task_cancels_a_question_as_any_words_do(self):
        _, _, cancelled, after = play(environment(EASY), "open door", "reset task", "2")
        assert cancelled.observation.startswith("Unknown action.")
        assert after.observation == NONE_KNOWN

    def test_other_thoughts_make_another_state_and_the_same_simulator_state(self):
        env = environment(EASY)
        _, answer = play(env, "Thought: hm. Action: look around")
        assert env.snapshot() == State("t", ("Thought: hm. Action: look around",))
        assert play(environment(EASY), "look around")[1] == answer

    def test_a_forged_response_is_a_replay_mismatch(self, simulators):
        first, second = (SimulatorState(EASY.task, ("examine fridge", "open fridge")[:n]) for n in (1, 2))
        seen = simulators.response(first, ResponseCache())
        for forged in (seen._replace(observation="a kettle"), seen._replace(score=99)):
            memory = ResponseCache()
            memory.add(first, forged)
            with pytest.raises(
                ReplayMismatch, match=r"find-non-living-thing 2: after \[.*\] the simulator shows"
            ):
                simulators.response(second, memory)

    def test_a_benchmark_says_what_is_asked_for(self):
        world = envs.load("sciworld", sizes="1/1/1")
        task = world.task_id_of(Task("boil", 0))
        assert world.instruction(task).startswith("Your task is to boil water.")
        assert world.make().reset(task).startswith(world.instruction(task) + "\nThis room is called the ")
