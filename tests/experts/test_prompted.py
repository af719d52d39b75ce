"""Language models as experts: their names, prompts, journals, costs and failures, at recorded endpoints and as weights."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from helpers.paths import ROOT
from helpers.recorded_endpoint import Answer, Endpoint, completion, prompt_text, recorded_endpoint

from eefcore import envs
from eefcore.errors import DataError, ParamsError, PolicyError
from eefcore.evaluation.metrics import win_rate
from eefcore.evaluation.panel import Evaluation
from eefcore.experts import collect
from eefcore.experts.prompted import (
    PromptedExperts,
    as_demonstration,
    check_experts,
    check_planned,
    expert_name,
    language_models,
    split_experts,
)
from eefcore.experts.registry import experts_of_card
from eefcore.policies import ScriptedPolicy
from eefcore.policies.settings import PolicySettings
from eefcore.rendering import prompts
from eefcore.runs.planning import plan_run
from eefcore.storage.journal import Journal
from eefcore.types import History, Step, StopReason, Trajectory

GPT4 = "openai:http://localhost:1/v1#gpt-4"


class Bar:
    """A progress bar that counts."""

    def __init__(self) -> None:
        self.total, self.done = 0, 0

    def __call__(self, n: int = 1) -> None:
        self.done += n

    def more(self, n: int) -> None:
        self.total += n


@pytest.fixture(scope="module")
def world():
    return envs.load("webshop_mini", sizes="6/2/4", seed=3)


@pytest.fixture
def recorded(world):
    return [
        t for split in ("train", "test") for t in collect.demonstrations(world, ["strong"], split, seed=0)
    ]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Answers are kept in a folder of the test's own."""
    monkeypatch.setenv("EEF_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def make(tmp_path):
    """Return a function that makes the language models of a stage whose journals lie in a folder."""

    def make(folder="stage", bar=None, **options):
        (tmp_path / folder).mkdir(exist_ok=True)
        settings = PolicySettings(
            context=options.pop("context", 4096), slots=4, max_new_tokens=options.pop("max_new_tokens", 64)
        )
        return PromptedExperts(
            settings,
            journal=lambda name: Journal(tmp_path / folder / f"{name}.jsonl", Trajectory),
            progress=lambda total, what: bar or Bar(),
            **options,
        )

    return make


# Names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, names",
    [
        ("strong", ["strong"]),
        ("strong+weak", ["strong", "weak"]),
        ("strong + weak", ["strong", "weak"]),
        (f"{GPT4} + strong+weak", [GPT4, "strong", "weak"]),
        ("openai:http://a/v1+x#m+n + hf:a+b", ["openai:http://a/v1+x#m+n", "hf:a+b"]),
        ("results/a+b/model + smollm2", ["results/a+b/model", "smollm2"]),
        ("smollm2+tiny", ["smollm2", "tiny"]),
    ],
)
def test_experts_are_joined_by_a_plus_that_no_address_loses(text, names):
    assert split_experts(text) == names


@pytest.mark.parametrize(
    "spec, name",
    [
        (GPT4, "gpt-4"),
        (f"{GPT4}?prices=30/60&budget=2", "gpt-4"),
        ("openai:http://h/v1#meta-llama/Llama-3", "meta-llama/Llama-3"),
        ("hf:meta-llama/Meta-Llama-3-8B-Instruct", "Meta-Llama-3-8B-Instruct"),
        ("vllm:models/mine", "mine"),
        ("smollm2", "smollm2"),
        ("results/lab/train.2-0a1b/model", "train.2-0a1b"),
        ("model", "model"),
    ],
)
def test_an_expert_is_recorded_under_a_name_that_says_which_model_it_is(spec, name):
    assert expert_name(spec) == name


def test_language_models_are_what_is_no_scripted_expert_of_the_benchmark():
    assert language_models(f"strong+weak + {GPT4} + smollm2", "webshop_mini") == [GPT4, "smollm2"]
    assert language_models("strong+tiny", "webshop_mini+composite") == ["tiny"]
    assert language_models("strong+tiny", "webshop?arrows=false") == ["tiny"]
    assert language_models(f"strong + {GPT4} + tiny", "my_module:load") == [GPT4, "tiny"]


@pytest.mark.parametrize(
    "names, prompt, message",
    [
        (
            ["strog"],
            None,
            "no expert 'strog' for webshop; choose one of strong, weak, perfect, naive, or a language model",
        ),
        ([""], None, "no expert '' for webshop"),
        (["strong+openai:http://h/v1#m"], None, r"no expert 'strong\+openai:http://h/v1#m'"),
        (["openai:localhost#m"], None, "should be openai:<base url>#<model>"),
        ([f"{GPT4}?prise=30/60"], None, "did you mean 'prices'"),
        ([GPT4], "no_such_format", "no format 'no_such_format'"),
        (["results/nowhere/model"], None, "neither a folder from the workspace"),
        ([GPT4, f"{GPT4}?prices=30/60"], None, "two experts are called 'gpt-4'"),
        (["strong", "strong"], None, "two experts are called 'strong'"),
    ],
)
def test_an_expert_that_can_not_play_is_refused_before_anything_starts(names, prompt, message):
    with pytest.raises(ParamsError, match=message):
        check_experts(names, experts_of_card("webshop"), "webshop", prompt)


def test_an_environment_of_ones_own_needs_a_prompt_of_its_own():
    with pytest.raises(ParamsError, match="the papers prompt no agent of house; name a prompt"):
        check_experts([GPT4], None, "house", None)
    check_experts([GPT4], None, "house", "chat")


GIVEN = {
    "benchmark": "webshop_mini", "expert": GPT4, "prompt": None, "samples": 1, "temperature": 0.0, "budget": None,
    "context": None,
}  # fmt: skip


@pytest.mark.parametrize(
    "given, message",
    [
        ({"samples": 0}, "samples 0 at temperature 0"),
        ({"samples": 3}, "at temperature 0 every time alike"),
        ({"budget": 5.0, "context": 4096}, r"a budget of \$5 needs to know .* give prices"),
        ({"budget": 5.0, "expert": f"{GPT4}?prices=30/60"}, "give context"),
        ({"expert": "strog"}, "no expert 'strog'"),
        ({"benchmark": "my_module:load"}, "prompt no agent of my_module:load"),
    ],
)
def test_a_plan_refuses_an_expert_stage_that_would_fail(given, message):
    check_planned(SimpleNamespace(**GIVEN))
    with pytest.raises(ParamsError, match=message):
        check_planned(SimpleNamespace(**GIVEN | given))


def test_a_params_file_with_an_expert_that_can_not_play_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    file = tmp_path / "x.yaml"
    for expert, message in (
        ("strog", "no expert 'strog' for webshop"),
        ("openai:host#m", "should be openai:"),
    ):
        file.write_text(f"run: x\nmethods: {{EEF: {{iterations: 1, expert: {{expert: '{expert}'}}}}}}\n")
        with pytest.raises(ParamsError, match=rf"methods.EEF.expert: .*{message}"):
            plan_run(file)


# Prompts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "benchmark, prompt, roles, opening",
    [
        ("webshop_mini", None, ["user"], prompts.SHOP.format()),
        ("webshop_mini", "agentlite", None, prompts.SHOP.format()),
        ("webshop_mini", "chat", ["user", "assistant", "user"], prompts.SHOP.format()),
        (  # the plan is asked for at the first step alone
            "webshop_mini+composite",
            None,
            ["user"],
            prompts.COMPOSITE_SHOP.replace(prompts.PLAN_LINE, "").format(),
        ),
        ("webshop_mini", "agentgym", ["user", "assistant", "user", "assistant", "user"], prompts.SCIENCE),
    ],
)
def test_a_model_is_prompted_as_in_the_papers_or_as_asked(benchmark, prompt, roles, opening, make):
    world = envs.load(benchmark, sizes="2/1/1", seed=3)
    recorded = collect.demonstrations(world, ["strong"], "train", seed=0)
    with recorded_endpoint(recorded) as endpoint:
        spec = f"openai:{endpoint.url}#gpt-4"
        played = collect.demonstrations(world, [spec], "train", seed=0, models=make(prompt=prompt))
    assert [(t.actions, t.reward) for t in played] == [(t.actions, t.reward) for t in recorded]
    second = next(r.body for r in endpoint.requests if recorded[0].actions[0].strip() in prompt_text(r.body))
    assert prompt_text(second).startswith(opening)
    assert ([m["role"] for m in second["messages"]] if "messages" in second else None) == roles
    assert {(r.body["temperature"], r.body["max_tokens"]) for r in endpoint.requests} == {(0.0, 64)}


# Demonstrations ------------------------------------------------------------------------------------------


def test_a_model_plays_the_training_tasks_and_the_test_panel_with_its_cost(world, recorded, make):
    bar = Bar()
    with recorded_endpoint(recorded) as endpoint:
        models = make(bar=bar)
        names = [f"openai:{endpoint.url}#gpt-4?prices=30/60", "weak"]
        train, test = (
            collect.demonstrations(world, names, split, seed=0, models=models) for split in ("train", "test")
        )
    assert [t.source for t in train] == ["gpt-4"] * 6 + ["weak"] * 6
    played = [t for t in (*train, *test) if t.source == "gpt-4"]
    assert [(t.task_id, t.actions, t.reward) for t in played] == [
        (t.task_id, t.actions, t.reward) for t in recorded
    ]
    assert all(t.n_expert == len(t) and not any(s.tokens or s.logps for s in t.history.steps) for t in played)
    assert bar.total == bar.done == 10
    usages = [completion(r, "").body["usage"]["prompt_tokens"] for r in endpoint.requests]
    assert sum(t.tokens_read for t in played) == sum(usages)
    assert sum(t.tokens_written for t in played) == sum(len(a.split()) for t in played for a in t.actions)
    for t in played:
        assert t.money == pytest.approx((30 * t.tokens_read + 60 * t.tokens_written) / 1e6)
    cost = collect.expert_cost(train)
    assert cost.money == pytest.approx(sum(t.money for t in train))
    assert (cost.tokens_read, cost.episodes) == (sum(t.tokens_read for t in train), 0)
    assert len(Evaluation("expert: gpt-4", world.card, (played[6:],), (0,)).runs[0]) == 4


def test_several_samples_of_a_task_are_drawn_with_seeds_of_their_own(world, recorded, make):
    with recorded_endpoint(recorded) as endpoint:
        spec = f"openai:{endpoint.url}#gpt-4"
        models = make(samples=2, temperature=0.7)
        train = collect.demonstrations(world, [spec], "train", seed=0, models=models)
        test = collect.demonstrations(world, [spec], "test", seed=0, models=models)
    assert sorted((t.task_id, t.sample) for t in train) == sorted(
        (task, sample) for task in world.tasks("train") for sample in (0, 1)
    )
    assert [t.sample for t in test] == [0] * 4 and {t.temperature for t in (*train, *test)} == {0.7}
    first = [
        r.body
        for r in endpoint.requests
        if prompt_text(r.body).endswith(f"{world.instruction(world.tasks('train')[0])}\nAction:")
    ]
    assert len({body["seed"] for body in first}) == 2 and {body["temperature"] for body in first} == {0.7}


def test_a_killed_stage_goes_on_where_it_stopped_and_asks_nothing_twice(world, recorded, make):
    """The endpoint breaks for good in the second chunk of two tasks."""
    with recorded_endpoint(recorded) as endpoint:
        replay, spec = endpoint.answer, f"openai:{endpoint.url}#gpt-4?cache=false&attempts=1"
        starts = [world.instruction(task) for task in world.tasks("train")[:2]]

        def broken(received):
            whole = any(start in prompt_text(received.body) for start in starts)
            return replay(received) if whole else Answer({"error": "down"}, 500)

        endpoint.answer = broken
        with pytest.raises(
            PolicyError, match=r"failed in all 2 episodes that were begun last.* run this again"
        ):
            collect.demonstrations(world, [spec], "train", seed=0, models=make(chunk=2))
        asked, endpoint.answer = len(endpoint.requests), replay
        bar = Bar()
        train = collect.demonstrations(world, [spec], "train", seed=0, models=make(chunk=2, bar=bar))
    assert [t.actions for t in train] == [t.actions for t in recorded[:6]]
    assert len(endpoint.requests) - asked == sum(map(len, recorded[2:6]))
    assert bar.total == bar.done == 6


def test_an_episode_that_the_model_failed_is_left_out_and_counted(world, recorded, make):
    lost = world.instruction(world.tasks("train")[1])
    with recorded_endpoint(recorded) as endpoint:
        replay = endpoint.answer
        endpoint.answer = lambda r: Answer({}, 503) if lost in prompt_text(r.body) else replay(r)
        spec = f"openai:{endpoint.url}#gpt-4?attempts=1"
        played = collect.demonstrations(world, [spec], "train", seed=0, models=make())
    judged = collect.judged(played)
    assert [t.task_id for t in judged] == [t for i, t in enumerate(world.tasks("train")) if i != 1]
    ((*row, reason),) = [r for r in collect.count_outcomes(train=played) if r[2] == "model_failure"]
    assert row == ["gpt-4", "train", "model_failure", 1] and "503" in reason
    with pytest.raises(DataError, match="all 1 demonstrations ended by a failure of the model"):
        collect.judged([t for t in played if t not in judged])


def test_an_answer_that_is_no_action_is_a_loss_of_the_expert(world, make):
    with Endpoint(lambda received: completion(received, "")) as endpoint:
        played = collect.demonstrations(
            world, [f"openai:{endpoint.url}#gpt-4"], "train", seed=0, models=make()
        )
    assert [(t.stop, t.reward, len(t)) for t in played] == [(StopReason.MALFORMED, 0.0, 0)] * 6
    assert collect.judged(played) == played


def test_a_budget_is_never_overdrawn_by_a_model(world, recorded, make):
    """An episode may cost 20 × (1000 × 30 + 50 × 60) / 10⁶ = $0.66 and costs about a tenth of it."""
    with recorded_endpoint(recorded) as endpoint:
        spec = f"openai:{endpoint.url}#gpt-4?prices=30/60"

        def buy(budget, folder, names=(spec,), allocation="each"):
            models = make(folder, context=1000, max_new_tokens=50)
            return collect.demonstrations(
                world, names, "train", seed=0, models=models, budget=budget, allocation=allocation
            )

        everything = buy(100.0, "all")
        some = buy(0.75, "some")
        assert some == everything[: len(some)] and 0 < len(some) < 6
        assert 0.75 - 0.66 < sum(t.money for t in some) <= 0.75
        assert buy(0.75, "some") == some  # journals are read again
        with pytest.raises(ParamsError, match=r"pays for no demonstration, which may cost \$0.66 \(gpt-4\)"):
            buy(0.5, "none")
        both = buy(None, "both", ("weak", spec), "cheap_first")
        lost = [t.task_id for t in both if t.source == "weak" and not t.win]
        assert lost and [t.task_id for t in both if t.source == "gpt-4"] == lost


def test_what_is_left_of_the_budget_pays_for_the_test_panel(world, recorded, make):
    """The panel keeps its tasks, so that rows stay comparable, and those that were not paid for are in no rate."""
    with recorded_endpoint(recorded) as endpoint:
        names = ["weak", f"openai:{endpoint.url}#gpt-4?prices=30/60"]

        def panel(budget, folder):
            models = make(folder, context=1000, max_new_tokens=50)
            asked = len(endpoint.requests)
            played = collect.panel_data(world, names, train, budget, seed=0, models=models)
            assert [(t.source, t.task_id) for t in played] == [
                (source, task) for source in ("weak", "gpt-4") for task in world.tasks("test")
            ]
            assert not any(t.stop is StopReason.BUDGET for t in played if t.source == "weak")
            return collect.by_expert(played, "gpt-4"), len(endpoint.requests) - asked

        train = collect.demonstrations(
            world, names, "train", seed=0, models=make("train", context=1000, max_new_tokens=50)
        )
        spent = sum(t.money for t in train)
        everything, _ = panel(None, "all")
        assert [t.actions for t in everything] == [t.actions for t in recorded[6:]]
        some, _ = panel(spent + 0.75, "some")
        paid = [t for t in some if t.stop is not StopReason.BUDGET]
        assert paid == everything[: len(paid)] and 0 < len(paid) < 4
        assert 0.0 < sum(t.money for t in some) <= 0.75
        (reason,) = {t.reason for t in some if t.stop is StopReason.BUDGET}
        assert reason == f"the budget was spent after {len(paid)} of 4 test tasks"
        none, asked = panel(spent, "none")
        assert [t.outcome for t in none] == ["budget"] * 4 and asked == 0
    assert collect.judged(some) == paid
    rate = win_rate(some)
    assert (rate.n, rate.value) == (len(paid), sum(t.win for t in paid) / len(paid))


def test_a_model_needs_the_settings_of_a_stage(world):
    with pytest.raises(ParamsError, match="is a language model; 02_expert plays it"):
        collect.demonstrations(world, [GPT4], "train", seed=0)


# Weights on this machine ---------------------------------------------------------------------------------


def test_the_tiny_base_plays_as_an_expert_and_its_ids_are_kept_without_likelihoods(world, make):
    models = make(prompt="compact", context=1024)
    played = collect.demonstrations(world, ["tiny"], "train", seed=0, models=models)
    assert {t.source for t in played} == {"tiny"} and all(t.n_expert == len(t) for t in played)
    steps = [s for t in played for s in t.history.steps]
    assert steps and all(s.tokens and s.tokenizer and not s.logps for s in steps)
    assert len({s.tokenizer for s in steps}) == 1
    for t in played:
        assert t.tokens_written == sum(len(s.tokens) for s in t.history.steps)
        assert t.tokens_read > 0 and t.money == 0.0


def test_ids_without_a_tokenizer_are_not_kept():
    t = Trajectory(history=History("t", "o", (Step("o", "a", (1, 2), (-0.5, -0.5)),)), reward=1.0)
    kept = as_demonstration(t, ScriptedPolicy(lambda h: "a"), "one")
    assert kept.history.steps == (Step("o", "a"),) and (kept.source, kept.n_expert) == ("one", 1)
