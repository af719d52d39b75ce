from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec

import msgspec
import numpy as np
import pytest
from helpers.byte_tokenizer import byte_tokenizer
from helpers.toy_shop import TASKS, ToyShop, shopper
from hypothesis import given
from hypothesis import strategies as st

from eefcore.errors import PolicyError
from eefcore.policies import PolicySettings, load_policy
from eefcore.policies.conditioned import ConditionedPolicy
from eefcore.policies.hf_engine.rng import random_bits, random_uniforms, turn_seed
from eefcore.policies.openai.policy import OpenAIPolicy
from eefcore.policies.scripted import ScriptedPolicy
from eefcore.protocols import Reply, Sampling
from eefcore.rendering.formats import AGENTLITE, COMPACT
from eefcore.rollout.rollout import Start, rollout
from eefcore.testing import PolicyContract, answer_all
from eefcore.types import History, StopReason, Trajectory

BYTES = byte_tokenizer()
HISTORIES = [History("red hat", "buy a red hat. red hat, red sock").then("next", page) for page in "abcde"]


def starts(tasks=TASKS):
    return [Start(History(task, ToyShop().reset(task))) for task in tasks]


class TestScripted(PolicyContract):
    histories = HISTORIES

    def make(self):
        return ScriptedPolicy(lambda h: f"look at {h.observation}")


class TestConditioned(PolicyContract):
    histories = HISTORIES

    def make(self):
        return ConditionedPolicy(
            ScriptedPolicy(lambda h: f"{h.at(0).observation}, {h.observation}", "who"), "Do it right."
        )


def test_a_conditioned_policy_reads_the_phrase_after_the_task_and_its_episodes_do_not_keep_it():
    heard = []

    def act(history):
        heard.append(history)
        return shopper(history)

    policy = ConditionedPolicy(ScriptedPolicy(act, "who"), "Do it right.")
    (played,) = rollout(policy, ToyShop, starts(TASKS[2:3]), max_turns=3)
    task = ToyShop().reset(TASKS[2])
    assert [h.at(0).observation for h in heard] == [f"{task}\nDo it right."] * 2 and played.win
    assert played.history.at(0).observation == task and policy.name == played.source == "who"


def test_the_length_of_a_conditioned_policy_includes_its_phrase():
    class Counting(ScriptedPolicy):
        def length(self, history):
            return len(history.at(0).observation)

    asked = History("t", "task")
    assert ConditionedPolicy(Counting(shopper), "now").length(asked) == len("task\nnow")


def test_a_scripted_shopper_wins_every_task():
    rolled = rollout(ScriptedPolicy(shopper, name="shopper"), ToyShop, starts(), max_turns=9)
    assert [(t.task_id, t.win, t.source) for t in rolled] == [(task, True, "shopper") for task in TASKS]


def test_a_blank_action_is_malformed():
    (rolled,) = rollout(ScriptedPolicy(lambda _: "  "), ToyShop, starts(TASKS[:1]), max_turns=9)
    assert (rolled.stop, len(rolled), rolled.refused_answer) == (StopReason.MALFORMED, 0, "  ")


def test_an_answer_without_an_action_is_kept_beside_the_history_and_read_again():
    """It is there to be read: no later turn shows it, and nothing is trained on it."""

    class Cut(ScriptedPolicy):
        def _reply(self, history):
            if not history.steps:
                return super()._reply(history)
            return Reply("", (1, 2), (-0.5, -0.5), StopReason.MALFORMED, refused_answer="half \ud83d")

    (rolled,) = rollout(Cut(shopper, name="cut"), ToyShop, starts(TASKS[2:3]), max_turns=9)
    assert (rolled.stop, len(rolled), rolled.refused_answer) == (StopReason.MALFORMED, 1, "half \ufffd")
    again = msgspec.json.decode(msgspec.json.encode(rolled), type=Trajectory)
    assert again == rolled and "half" not in str(again.history)
    (won,) = rollout(ScriptedPolicy(shopper), ToyShop, starts(TASKS[2:3]), max_turns=9)
    assert won.refused_answer == "" and b"refused" not in msgspec.json.encode(won)


# Draws.


@given(st.integers(), st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_draw_depends_on_its_seed_and_counter_alone(seed, n, m):
    assert random_bits(seed, n) == random_bits(seed, n)
    assert (random_bits(seed, n) == random_bits(seed, m)) == (n == m)
    assert 0 <= turn_seed(seed, n) < 2**31
    together = random_uniforms(np.full(3, seed & (2**64 - 1), np.uint64), np.array([m, n, m]))
    assert together[1] == random_uniforms(seed, n)
    assert 0 <= together[1] < 1


@pytest.mark.parametrize("by", ["seed", "counter"])
def test_draws_are_uniform_and_independent(by):
    n = np.arange(40_000)
    u = random_uniforms(n, 7) if by == "seed" else random_uniforms(7, n)
    counts = np.histogram(u, 20, (0, 1))[0]
    assert ((counts - 2000) ** 2 / 2000).sum() < 43.8  # chi-squared, 19 degrees, p = 0.001
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.02


# Endpoints.


class Server(ThreadingHTTPServer):
    """An endpoint that echoes the last observation; `trouble` names what goes wrong first, for each question."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[dict] = []
        self.trouble: list[str] = []
        self.headers: list[str | None] = []
        self.together = self.most_together = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.seen.append(body)
            server.headers.append(self.headers["Authorization"])
            server.together += 1
            server.most_together = max(server.most_together, server.together)
            tries = sum(s == body for s in server.seen)
            trouble = server.trouble[tries - 1] if tries <= len(server.trouble) else ""
        time.sleep(0.01)
        response = self.response(body, trouble)
        with server.lock:
            server.together -= 1
        self.reply(*response)

    def response(self, body: dict, trouble: str) -> tuple[int, bytes]:
        if trouble == "slow":
            time.sleep(0.6)
        if trouble.isdigit():
            return int(trouble), b'{"error": "no"}'
        if trouble == "full":
            return 400, b'{"error": {"code": "context_length_exceeded"}}'
        if trouble == "not json":
            return 200, b"<html>"
        if trouble == "not a completion":
            return 200, b'{"choices": []}'
        text = {"blank": " ", "cut": "buy red"}.get(trouble) or f"say {body['seed'] % 100}"
        reason = "length" if trouble == "cut" else "stop"
        choice: dict = {"finish_reason": reason}
        if "messages" in body:
            choice["message"] = {"role": "assistant", "content": text}
        else:
            choice["text"] = text
        if body.get("return_token_ids"):
            ids = BYTES("buy red hat\n")["input_ids"]
            choice["token_ids"] = ids[:-1] if trouble == "lost ids" else ids
            choice["logprobs"] = {"token_logprobs": [-0.5] * len(ids)}
        usage = {"prompt_tokens": 11, "completion_tokens": 12 if "token_ids" in choice else 3}
        return 200, json.dumps({"choices": [choice], "usage": usage}).encode()

    def reply(self, status: int, content: bytes) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except BrokenPipeError:
            pass  # whoever asked has given up

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def endpoint(server: Server, **options) -> OpenAIPolicy:
    options = {"timeout": 0.3, "attempts": 3, "longest_pause": 0.02} | options
    return OpenAIPolicy(server.url, "some-model", options.pop("format", COMPACT), **options)


def ask_one(policy: OpenAIPolicy, history: History = HISTORIES[0]):
    return answer_all(policy, {"e": (history, Sampling(0.7, 3))})["e"]


@pytest.mark.parametrize("chat", [False, True])
class TestEndpoint(PolicyContract):
    histories = HISTORIES

    @pytest.fixture(autouse=True)
    def _serve(self, server, chat):
        self.server, self.chat = server, chat

    def make(self):
        return endpoint(self.server, chat=self.chat, timeout=5.0)


def test_completions_send_the_dialogue_as_the_format_writes_it(server):
    ask_one(endpoint(server))
    (sent,) = server.seen
    assert sent["prompt"] == "buy a red hat. red hat, red sock\n> next\na\n> "
    assert sent["stop"] == ["\n"] and sent["temperature"] == 0.7 and sent["model"] == "some-model"


def test_chat_sends_what_the_policy_wrote_as_the_assistants(server):
    ask_one(endpoint(server, chat=True, format=AGENTLITE))
    roles = [(m["role"], m["content"][-30:]) for m in server.seen[0]["messages"]]
    assert [role for role, _ in roles] == ["user", "assistant", "user"]
    assert roles[1][1] == "next" and roles[2][1] == "Observation: a\nAction:"


def test_with_a_tokenizer_ids_are_sent_and_received(server):
    (end,) = BYTES("\n")["input_ids"]
    history = HISTORIES[0].then("look", "b", tokens=(5, 6, end))
    reply = ask_one(endpoint(server, tokenizer=BYTES), history)
    assert reply.action == "buy red hat" and BYTES.decode(reply.tokens) == "buy red hat\n"
    assert reply.logps == (-0.5,) * 12
    (sent,) = server.seen
    assert sent["prompt"] == [*BYTES("buy a red hat. red hat, red sock\n> next\na\n> ")["input_ids"], 5, 6, end,
                              *BYTES("b\n> ")["input_ids"]]  # fmt: skip
    assert sent["include_stop_str_in_output"]


def test_a_lost_token_id_is_not_stored(server):
    server.trouble = ["lost ids"]
    assert len(ask_one(endpoint(server, tokenizer=BYTES)).tokens) == 12
    assert len(server.seen) == 2


def test_a_chat_endpoint_with_a_tokenizer_is_refused(server):
    with pytest.raises(PolicyError, match="takes messages, not ids"):
        endpoint(server, chat=True, tokenizer=BYTES)


@pytest.mark.parametrize("trouble", ["500", "503", "429", "408", "not json", "not a completion", "slow"])
def test_temporary_errors_are_retried(server, trouble):
    server.trouble = [trouble]
    policy = endpoint(server)
    reply = ask_one(policy)
    assert reply.stop is None and reply.action.startswith("say")
    assert (len(server.seen), policy.failures) == (2, 0)


@pytest.mark.parametrize("trouble", ["500", "not json", "slow"])
def test_lasting_errors_are_model_failures_and_are_counted(server, trouble):
    server.trouble = [trouble] * 9
    policy = endpoint(server)
    assert ask_one(policy).stop is StopReason.MODEL_FAILURE
    assert (len(server.seen), policy.failures) == (3, 1)


def test_an_unreachable_endpoint_is_a_model_failure_and_no_reward():
    policy = OpenAIPolicy("http://127.0.0.1:9/v1", "m", COMPACT, attempts=2, longest_pause=0.01)
    (rolled,) = rollout(policy, ToyShop, starts(["red hat"]), max_turns=3)
    assert rolled.stop is StopReason.MODEL_FAILURE and rolled.stop.infrastructure


@pytest.mark.parametrize("status", ["400", "401", "403", "404"])
def test_a_refusal_is_an_error_that_names_the_endpoint(server, status):
    server.trouble = [status]
    policy = endpoint(server)
    policy.ask("e", HISTORIES[0], Sampling())
    with pytest.raises(PolicyError, match=f"/v1/completions answered {status} for the model 'some-model'"):
        policy.answers()
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("trouble", "stop"),
    [("full", StopReason.CONTEXT_LIMIT), ("cut", StopReason.MALFORMED), ("blank", StopReason.MALFORMED)],
)
def test_a_reply_without_an_action_has_a_stop_reason(server, trouble, stop):
    server.trouble = [trouble]
    assert ask_one(endpoint(server)).stop is stop


def test_each_turn_of_an_episode_has_a_seed_of_its_own(server):
    rollout(
        endpoint(server),
        ToyShop,
        [Start(s.history, Sampling(1.0, 5)) for s in starts(["red hat"])],
        max_turns=4,
    )
    seeds = [body["seed"] for body in server.seen]
    assert len(set(seeds)) == 4 and all(0 <= seed < 2**31 for seed in seeds)


def test_no_more_requests_than_allowed_are_open_at_once(server):
    policy = endpoint(server, concurrency=4, timeout=5.0)
    rolled = rollout(policy, ToyShop, starts(TASKS * 4), max_turns=3)
    assert Counter(t.stop for t in rolled) == {StopReason.TURN_LIMIT: 24}
    assert 1 < server.most_together <= 4
    assert (policy.tokens_read, policy.tokens_written) == (11 * 72, 3 * 72)


def test_the_api_key_is_read_from_the_environment(server, monkeypatch):
    monkeypatch.delenv("SOME_KEY", raising=False)
    policy = endpoint(server, key_variable="SOME_KEY")
    ask_one(policy)
    monkeypatch.setenv("SOME_KEY", "k-123")
    ask_one(policy)
    assert server.headers == [None, "Bearer k-123"]
    assert "k-123" not in repr(vars(policy))


# load_policy.


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("nowhere/at/all", {}, "no policy 'nowhere/at/all': neither a folder"),
        ("gpt:4", {}, "neither a folder from the workspace nor one of hf:"),
        ("openai:http://localhost:8000/v1", {}, "should be openai:<base url>#<model>"),
        ("openai:#m", {}, "should be openai:<base url>#<model>"),
        ("openai:http://localhost/v1#m", {"adapter": "a"}, "an endpoint has its own adapters"),
        ("openai:http://localhost/v1#m", {"format": "yaml"}, "no format 'yaml'"),
        ("openai:http://localhost/v1#m", {"template_args": "a: 1"}, "an endpoint has its own chat template"),
        ("hf:nowhere/at/all", {}, "nowhere/at/all: no model can be read there"),
    ],
)
def test_an_impossible_policy_is_refused(spec, options, message):
    with pytest.raises(PolicyError, match=message):
        load_policy(
            spec,
            PolicySettings(**{k: v for k, v in options.items() if k != "adapter"}),
            adapter=options.get("adapter"),
        )


@pytest.mark.parametrize(("format", "path"), [("agentlite", "completions"), ("chat", "chat/completions")])
def test_an_endpoint_is_named_by_url_and_model(server, format, path):
    policy = load_policy(f"openai:{server.url}#some/model", PolicySettings(format=format))
    assert policy.name == "some/model"
    ask_one(policy)
    assert ("messages" in server.seen[0]) == (path == "chat/completions")


def test_a_named_policy_is_asked_with_a_phrase(server):
    policy = load_policy(
        f"openai:{server.url}#some/model", PolicySettings(format="agentlite"), phrase="Do it right."
    )
    assert policy.name == "some/model"
    ask_one(policy)
    assert "\nDo it right.\nAction:" in server.seen[0]["prompt"]


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vllm is installed here")
def test_without_vllm_the_error_says_how_to_get_it():
    with pytest.raises(PolicyError, match=r"pip install \"eefcore\[vllm\]\""):
        load_policy("vllm:some/model")


def test_importing_policies_loads_nothing_heavy():
    import subprocess
    import sys

    code = (
        "import sys, eefcore.policies; print({'torch', 'transformers', 'vllm', 'httpx'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
