"""The ranking critic, and the critics that a parameter names: each answers in every stage, or the plan refuses it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest
from helpers.search_toys import FAILED, HAT, MALFORMED, Dice, grown, ranked, roots
from helpers.toy_shop import ToyShop
from helpers.workspaces import write_params
from hypothesis import given
from hypothesis import strategies as st

from eefcore import policies
from eefcore.errors import ParamsError, PolicyError
from eefcore.policies import PolicySettings
from eefcore.protocols import Reply, Sampling
from eefcore.rendering.critic_prompts import BEST_ACTION, critic_question, parse_choice, possible_answers
from eefcore.runs.planning import plan_run
from eefcore.search import critic as critics
from eefcore.search import mcts
from eefcore.search.critic import RankingCritic, by_rank
from eefcore.search.scheduler import run_requests
from eefcore.search.tree import Tally
from eefcore.types import History, Step

H = History("t", "page 2", (Step("page 1", "next"),))
WORTH = {"nap": 0, "look": 1, "walk": 2, "run": 3, "fly": 4}


def options(history: History) -> list[str]:
    """What a question offers."""
    return re.findall(r"^\d+\. (.*)$", history.observation, re.MULTILINE)


def knows(history: History, sampling: Sampling) -> Reply:
    """A critic model that names the worthiest by number."""
    offered = options(history)
    return Reply(str(1 + offered.index(max(offered, key=WORTH.__getitem__))), (5,), (-0.1,))


def ranking(actions, say=knows, **rest):
    model = Dice(say)
    (result,) = ranked(RankingCritic(model, **rest), [(H, actions)])
    return result, model


def test_the_critic_ranks_by_choosing_the_best_of_the_remaining_actions():
    (scores, tally), model = ranking(["look", "fly", "nap", "walk", "run"])
    assert scores == [0.25, 1.0, 0.0, 0.5, 0.75]
    assert tally == Tally(critic_asked=4, tokens_written=4)
    assert [options(h) for h, _ in model.asked] == [
        ["look", "fly", "nap", "walk", "run"],
        ["look", "nap", "walk", "run"],
        ["look", "nap", "walk"],
        ["look", "nap"],
    ]
    assert all(s.temperature == 0.0 for _, s in model.asked)


def test_one_action_is_the_best_without_a_question():
    (scores, tally), model = ranking(["fly"])
    assert (scores, tally, model.asked) == ([1.0], Tally(), [])


def test_the_question_is_the_last_observation_of_the_same_history():
    asked = critic_question(H, ["go\n on", "stop"], BEST_ACTION)
    assert asked.steps == H.steps and asked.task_id == "t"
    assert asked.observation.startswith("page 2\n") and "\n1. go on\n2. stop\n" in asked.observation


def test_a_question_whose_answer_names_nothing_is_asked_again_with_another_seed():
    said = iter([Reply("hm"), MALFORMED, Reply("2")])
    (scores, tally), model = ranking(["a", "b"], lambda *_: next(said), temperature=0.5)
    assert scores == [0.0, 1.0]
    assert (tally.critic_asked, tally.unparseable, tally.neutral) == (3, 2, 0)
    samplings = [s for _, s in model.asked]
    assert [s.temperature for s in samplings] == [0.0, 0.5, 0.5]
    assert len({s.seed for s in samplings}) == 3


def held(say=lambda history, sampling: Reply(sampling.choices[-1]), *, actions=("a", "b", "c"), **rest):
    """A critic model that gives one of the answers that it may give, if it is held to any."""
    model = Dice(say)
    model.chooses = True
    (result,) = ranked(RankingCritic(model, **rest), [(H, list(actions))])
    return result, model


def test_a_model_that_chooses_can_only_name_what_is_offered():
    (scores, tally), model = held()
    assert scores == [0.0, 0.5, 1.0]  # always the last of the offered words
    assert (tally.critic_asked, tally.unparseable, tally.neutral) == (2, 0, 0)
    assert [s.choices for _, s in model.asked] == [("1", "2", "3", "a", "b", "c"), ("1", "2", "a", "b")]


def test_a_model_that_chooses_may_think_before_it_names_a_composite_action():
    actions = [f"THOUGHT: I think.\nCOMMAND: {c}" for c in "abc"]
    says = iter(["THOUGHT: Best is b.\nCOMMAND: b", "THOUGHT: I wonder.\nCOMMAND: go", None])

    def say(history, sampling):
        said = next(says)
        assert bool(sampling.choices) is (said is None) and not sampling.temperature
        return Reply(said or sampling.choices[0])

    (scores, tally), model = held(say, actions=actions)
    assert scores == [0.5, 1.0, 0.0]
    assert (tally.critic_asked, tally.unparseable, tally.neutral) == (3, 1, 0)
    assert model.asked[-1][1].choices == ("COMMAND: 1", "COMMAND: 2", "COMMAND: a", "COMMAND: c")


@given(st.lists(st.text("ab1. [", min_size=1).filter(str.strip), min_size=2, max_size=5), st.booleans())
def test_every_answer_that_a_model_may_choose_names_an_option(offered, composite):
    for i, answer in enumerate(possible_answers(offered, composite=composite)[: len(offered)]):
        assert (
            parse_choice(Reply(answer), offered) == i
        )  # the numbers; of two equal options words name neither


def test_actions_without_a_rank_are_neutral_and_counted():
    said = iter([Reply("3"), *[Reply("no idea")] * 3])
    (scores, tally), _ = ranking(["a", "b", "c", "d"], lambda *_: next(said))
    assert scores == [0.5, 0.5, 1.0, 0.5]
    assert (tally.critic_asked, tally.unparseable, tally.neutral) == (4, 3, 1)
    (scores, tally), _ = ranking(["a", "b"], lambda *_: FAILED, attempts=2)
    assert scores == [0.5, 0.5] and tally == Tally(critic_asked=2, unparseable=2, neutral=1)


def test_the_prompt_is_what_the_critic_reads():
    (_, tally), _ = ranking(["nap", "fly"], length=lambda h: len(h.observation))
    assert tally.critic_read == len(critic_question(H, ["nap", "fly"], BEST_ACTION).observation) - len(
        H.observation
    )


@given(st.permutations(range(6)), st.integers(0, 6))
def test_scores_are_linear_in_rank_and_unranked_actions_never_score_highest(order, named):
    scores = by_rank(order if named >= 5 else order[:named], 6)
    assert all(0.0 <= q <= 1.0 for q in scores)
    if named >= 5:
        assert sorted(scores) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    if named:
        assert scores[order[0]] == 1.0
        assert scores[order[named - 1]] >= max((scores[i] for i in order[named:]), default=0.0)
    else:
        assert scores == [0.5] * 6


@pytest.mark.parametrize(
    "said, named",
    [
        ("2", 1),
        (" 2. because it is cheap", 1),
        ("(3)", 2),
        ("Action 2", 1),
        ("The best is number 3.", 2),
        ("CLICK[B07]", 2),
        ("I would click[next] of these 3", 0),
        ("4", None),
        ("0", None),
        ("-", None),
        ("2.5", None),
        ("between 1 and 2", None),
        ("3 of them cost $5.0", 2),
        ("it costs $2", None),
        ("B07", None),
        ("2nd", None),
        ("", None),
    ],
)
def test_the_option_that_an_answer_names(said, named):
    assert parse_choice(Reply(said), ["click[next]", "search[red hat]", "click[B07]"]) == named


def test_failed_answers_name_nothing():
    assert parse_choice(FAILED, ["a"]) is None and parse_choice(MALFORMED._replace(action="1"), ["a"]) is None


@given(st.lists(st.lists(st.sampled_from(sorted(WORTH)), unique=True, min_size=1), max_size=5), st.booleans())
def test_many_histories_at_once_are_each_as_if_alone(actions, reverse):
    histories = [History(f"t{i}", "page") for i in range(len(actions))]
    model = Dice(knows, reverse=reverse)
    together = ranked(RankingCritic(model), [*zip(histories, actions, strict=True)])
    assert [r.scores for r in together] == [ranking(a)[0].scores for a in actions]
    assert model.most <= len(actions)
    if sum(len(a) > 1 for a in actions) > 1:
        assert model.most > 1


def test_a_verdict_is_a_choice_between_two_sentences():
    def judge(say):
        critic = RankingCritic(Dice(say))
        (result,) = run_requests([critic.verdict(H)], critic.policy)
        return result.scores

    assert judge(lambda *_: Reply("1")) == [1.0]
    assert judge(lambda *_: Reply("2")) == [0.0]
    assert judge(lambda *_: Reply("well")) == [0.5]


def test_in_a_tree_the_critic_may_be_the_policy_itself_or_another():
    def both(history, sampling):
        if "Do not act yet" in history.observation:
            return Reply("1", (1,), (-0.1,))
        return Reply(f"buy {'green hat' if sampling.seed % 2 else 'red hat'}", (2, 3), (-0.1, -0.2))

    one, other = Dice(both), Dice(both)
    (same,) = grown(roots(("green hat",), alpha=0.5), 6, one, RankingCritic(one))
    (apart,) = grown(roots(("green hat",), alpha=0.5), 6, Dice(both), RankingCritic(other), sessions=2)
    assert same == apart and list(mcts.contradictions(same)) == []
    assert same.tally.critic_asked == len(other.asked) > 0
    assert {e.q_hat for e in same.nodes[0].edges} == {0.0, 1.0}
    assert same.tally.tokens_written == 2 * same.tally.asked + same.tally.critic_asked


# ------------------------------------------------------------------------------ critics by their names

READS = PolicySettings(format="compact", slots=4, max_new_tokens=16, context=1024)
"""What 11_search, 13_decide and 14_tune give."""


class Endpoint(BaseHTTPRequestHandler):
    """Answers as vLLM's server was recorded to: the option that buys what the task asks for, and usage as it counts."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, body))
        asked = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
        options = [line for line in asked.splitlines() if line[:1].isdigit() and ". " in line]
        best = next((o for o in options if f"buy {HAT}" in o), options[0])
        number = best.partition(".")[0]
        choice: dict = {"index": 0, "finish_reason": "stop", "logprobs": None, "stop_reason": None}
        if "messages" in body:
            choice["message"] = {"role": "assistant", "content": number, "reasoning_content": None}
        else:
            choice["text"] = f" {number}"
        usage = {
            "prompt_tokens": 40,
            "total_tokens": 42,
            "completion_tokens": 2,
            "prompt_tokens_details": None,
        }
        said = {
            "id": "cmpl-1",
            "object": "text_completion",
            "model": "judge",
            "choices": [choice],
            "usage": usage,
        }
        content = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    server.daemon_threads, server.seen = True, []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def named(server: ThreadingHTTPServer) -> str:
    return f"openai:http://127.0.0.1:{server.server_address[1]}/v1#judge"


@pytest.mark.parametrize(
    ("format", "path"),
    [
        ("compact", "completions"),
        ("agentlite", "completions"),
        ("composite", "completions"),
        ("chat", "chat/completions"),
    ],
)
def test_an_endpoint_ranks_and_judges(server, format, path):
    critic = critics.load_critic(named(server), Dice(), msgspec.structs.replace(READS, format=format), seed=3)
    history = History(HAT, ToyShop().reset(HAT))
    (ranking,) = ranked(critic, [(history, ["next", f"buy {HAT}", "back"])])
    assert ranking.scores == [0.5, 1.0, 0.0]
    assert (ranking.tally.critic_asked, ranking.tally.unparseable) == (2, 0)
    (verdict,) = run_requests([critic.verdict(history.then(f"buy {HAT}", "bought"))], critic.policy)
    assert verdict.scores == [1.0]
    assert {p for p, _ in server.seen} == {f"/v1/{path}"}
    assert {body["max_tokens"] for _, body in server.seen} == {16}
    assert (critic.policy.tokens_read, critic.policy.tokens_written) == (40 * 3, 2 * 3)


def test_trees_grow_with_an_endpoint_as_the_critic(server):
    """As 11_search and 13_decide grow them: nothing fails, and the ranking is what guides."""
    critic = critics.load_critic(named(server), Dice(), READS, seed=3)
    (tree,) = grown(roots([HAT], K=4), 6, critic=critic)
    assert len(tree.simulations) == 6
    assert tree.tally.critic_asked > 0 and not tree.tally.unparseable
    scored = [
        e for node in tree.nodes for e in node.edges if e.reply.action == f"buy {HAT}" and len(node.edges) > 1
    ]
    assert scored and all(e.q_hat == 1.0 for e in scored)


def test_a_critic_that_was_tuned_or_measured_is_asked_by_the_same_function(server):
    """14_tune measures with `critic_from_model`, whatever it trains."""
    critic = critics.critic_from_model(named(server), READS, seed=3)
    (ranking,) = ranked(critic, [(History(HAT, "a page"), ["next", f"buy {HAT}"])])
    assert ranking.scores == [0.0, 1.0]


def test_an_endpoint_that_does_not_answer_leaves_the_ranking_neutral_and_is_counted(monkeypatch):
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    critic = critics.load_critic("openai:http://127.0.0.1:9/v1#judge", Dice(), READS, seed=3)
    (ranking,) = ranked(critic, [(History(HAT, "a page"), ["next", f"buy {HAT}"])])
    assert ranking.scores == [0.5, 0.5] and ranking.tally.unparseable == 3
    assert critic.policy.failures == 3


# What can't work is refused by the plan -----------------------------------------------------------------

AGENT_Q = "run: a\nmethods: {{A: {{iterations: 2, learn: dpo, search: {}, pairs: {{}}, decide: {}{}}}}}"
REFUSED = [
    ("openai:http://localhost:8000/v1", "should be openai:<base url>#<model>"),
    ("openai:#m", "should be openai:<base url>#<model>"),
    ("openai:gpt-4", "should be openai:<base url>#<model>"),
    ("openai:localhost:8000/v1#m", "should be openai:<base url>#<model>"),
    ("openai:ftp://localhost/v1#m", "should be openai:<base url>#<model>"),
    ("openai:http://localhost:port/v1#m", "should be openai:<base url>#<model>"),
    ("openai:http:///v1#m", "should be openai:<base url>#<model>"),
    ("hf:", "'hf:' names no model"),
    ("vllm:", "'vllm:' names no model"),
    ("gpt-4", "no policy 'gpt-4'"),
    ("results/nowhere/model", "no policy 'results/nowhere/model'"),
    ("", "no policy ''"),
]


@pytest.mark.parametrize(("critic", "says"), REFUSED)
@pytest.mark.parametrize("stage", ["search", "decide"])
def test_a_critic_that_no_stage_could_ask_is_refused_before_anything_starts(demo, stage, critic, says):
    entries = {"search": "{}", "decide": "{}", stage: f"{{critic: '{critic}'}}"}
    write_params(demo.parents[1], AGENT_Q.format(entries["search"], entries["decide"], ""))
    with pytest.raises(ParamsError, match=f"methods.A.{stage}: critic: .*{says}"):
        plan_run(demo)


@pytest.mark.parametrize(("critic", "says"), REFUSED)
def test_the_loader_and_the_plan_refuse_the_same(critic, says):
    with pytest.raises(PolicyError, match=says):
        critics.check_critic(critic, format="compact")
    with pytest.raises(PolicyError, match=says):
        critics.load_critic(critic, Dice(), READS, seed=3)


@pytest.mark.parametrize(
    "critic",
    ["self", "none", "tiny", "hf:some/model", "openai:https://host/v1#m", "openai:http://127.0.0.1:8/v1#a/b"],
)
def test_a_critic_that_can_be_asked_is_planned(demo, critic):
    entry = f"{{critic: '{critic}'}}"
    write_params(demo.parents[1], AGENT_Q.format(entry, entry, ""))
    assert {n.params["critic"] for n in plan_run(demo) if "critic" in n.params} == {critic}


def test_a_variable_may_name_the_endpoint(demo, monkeypatch):
    monkeypatch.setenv("EEF_TEST_JUDGE", "openai:http://127.0.0.1:8/v1#m")
    write_params(demo.parents[1], AGENT_Q.format("{critic: '${EEF_TEST_JUDGE}'}", "{}", ""))
    assert plan_run(demo)
    monkeypatch.setenv("EEF_TEST_JUDGE", "openai:nothing")
    with pytest.raises(ParamsError, match=r"A.search: critic: .*should be openai"):
        plan_run(demo)


@pytest.mark.parametrize("critic", ["openai:http://localhost:8000/v1#m", "vllm:some/model", "self", "none"])
def test_a_critic_without_weights_here_is_not_tuned(demo, critic):
    entry = f"{{critic: '{critic}'}}"
    write_params(demo.parents[1], AGENT_Q.format(entry, entry, f", tune: {entry}"))
    with pytest.raises(ParamsError, match="has no weights of its own to tune"):
        plan_run(demo)
    with pytest.raises(ParamsError, match="can't be tuned"):
        critics.critic_weights(critic)


@pytest.mark.parametrize("base", ["openai:http://localhost:8000/v1#m", "vllm:some/model"])
def test_a_base_that_is_only_asked_is_not_trained(demo, base):
    from helpers.workspaces import KNOBS, write_notebook

    knobs = KNOBS["04_train"] + "\nbase: str = 'tiny'  # what training starts from"
    write_notebook(demo.parents[1], "04_train", parameters=knobs)
    write_params(demo.parents[1], f"run: a\nmethods: {{A: {{iterations: 1, train: {{base: '{base}'}}}}}}")
    with pytest.raises(ParamsError, match=r"A.train: base .* is only asked"):
        plan_run(demo)


@pytest.mark.parametrize("format", ["chat", "agentgym", "composite_chat"])
def test_an_endpoint_takes_the_formats_of_a_chat_template_as_messages(format, server):
    critic = critics.load_critic(named(server), Dice(), msgspec.structs.replace(READS, format=format), seed=3)
    ranked(critic, [(History(HAT, "a page"), ["next", f"buy {HAT}"])])
    assert server.seen and all("messages" in body for _, body in server.seen)


def test_a_format_that_nobody_knows_is_refused_for_an_endpoint_too():
    with pytest.raises(PolicyError, match="no format 'yaml'"):
        critics.check_critic("openai:http://localhost:8000/v1#m", format="yaml")


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vllm is installed here")
def test_without_vllm_the_plan_says_how_to_get_it(demo):
    write_params(demo.parents[1], AGENT_Q.format("{critic: 'vllm:some/model'}", "{}", ""))
    with pytest.raises(ParamsError, match=r"A.search: critic: engine 'vllm': vLLM is not installed here"):
        plan_run(demo)


def test_a_saved_model_is_found_from_wherever_the_notebook_stands(demo, monkeypatch):
    folder = demo.parents[1] / "results" / "r" / "train-1" / "model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    loaded = []
    monkeypatch.setattr(
        "eefcore.policies.hf_engine.policy.HFPolicy.load",
        lambda path, **_: loaded.append(Path(path).resolve()),
    )
    monkeypatch.chdir("notebooks")
    policies.load_policy("results/r/train-1/model")
    policies.load_policy(str(folder))
    assert loaded == [folder.resolve()] * 2
