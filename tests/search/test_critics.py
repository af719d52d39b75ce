"""Critics that a parameter names, the endpoints among them: they answer in every stage, or the plan refuses them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest
from helpers.search_toys import HAT, Dice, grown, ranked, roots
from helpers.toy_shop import ToyShop
from helpers.workspaces import write_params

from eefcore import policies
from eefcore.errors import ParamsError, PolicyError
from eefcore.policies import PolicySettings
from eefcore.runs.planning import plan_run
from eefcore.search import critics
from eefcore.search.scheduler import run_requests
from eefcore.types import History

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
    """14_tune measures with `judges.model`, whatever it trains."""
    critic = critics.critic_from_model(named(server), READS, seed=3)
    (ranking,) = ranked(critic, [(History(HAT, "a page"), ["next", f"buy {HAT}"])])
    assert ranking.scores == [0.0, 1.0]


def test_nobody_there_leaves_the_ranking_neutral_and_is_counted(monkeypatch):
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


@pytest.mark.parametrize("format", ["agentgym", "composite_chat", "yaml"])
def test_an_endpoint_writes_with_no_template_of_ours(format):
    with pytest.raises(PolicyError, match="format '"):
        critics.check_critic("openai:http://localhost:8000/v1#m", format=format)


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vllm is installed here")
def test_without_vllm_the_plan_says_how_to_get_it(demo):
    write_params(demo.parents[1], AGENT_Q.format("{critic: 'vllm:some/model'}", "{}", ""))
    with pytest.raises(ParamsError, match=r"A.search: critic: engine 'vllm': vLLM is not installed here"):
        plan_run(demo)


def test_a_saved_model_is_found_from_wherever_the_notebook_stands(demo, monkeypatch):
    folder = demo.parents[1] / "results" / "r" / "train-1" / "model"
    folder.mkdir(parents=True)
    loaded = []
    monkeypatch.setattr(
        "eefcore.policies.hf_engine.policy.HFPolicy.load",
        lambda path, **_: loaded.append(Path(path).resolve()),
    )
    monkeypatch.chdir("notebooks")
    policies.load_policy("results/r/train-1/model")
    policies.load_policy(str(folder))
    assert loaded == [folder.resolve()] * 2
