"""A vLLM server that is running serves the models of stages, or the stage says at once why it can't."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec

import httpx
import pytest
import torch
from helpers.served_models import save_base_and_adapter

from eefcore.errors import PolicyError
from eefcore.policies import PolicySettings, load_policy
from eefcore.policies.hf_engine.policy import HFPolicy
from eefcore.policies.openai.policy import OpenAIPolicy
from eefcore.policies.settings import read_engine
from eefcore.protocols import Sampling
from eefcore.rendering.formats import load_format
from eefcore.testing import answer_all, play_turns
from eefcore.training.models import load_model
from eefcore.types import History, StopReason

HISTORIES = tuple(
    History(f"t{i}", "find a " + "soft " * (3 * i % 7) + "towel").then("next", "page 2") for i in range(5)
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    save_base_and_adapter(folder, rank=64)
    return folder


class StandIn(BaseHTTPRequestHandler):
    """Answers as vLLM 0.32 was recorded to: its models, an adapter loaded, and log-likelihoods of a prompt."""

    def do_GET(self) -> None:
        base = {"id": "the-base", "object": "model", "root": self.server.root, "parent": None}
        adapters = [{"id": n, "root": p, "parent": "the-base"} for n, p in self.server.adapters.items()]
        self.reply(200, {"object": "list", "data": [base, *adapters]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, body))
        if self.path.endswith("/load_lora_adapter"):
            if not self.server.loads:
                return self.reply(404, {"detail": "Not Found"})
            self.server.adapters[body["lora_name"]] = body["lora_path"]
            if self.server.raced:
                return self.reply(
                    400,
                    {
                        "error": {
                            "message": f"The lora adapter '{body['lora_name']}' has already been loaded."
                        }
                    },
                )
            return self.reply(200, f"Success: LoRA adapter '{body['lora_name']}' added successfully.")
        model = self.server.weights[self.server.adapters.get(body["model"], self.server.root)]
        ids = torch.tensor([body["prompt"]])
        with torch.no_grad():
            logps = model(ids).logits[0].float().log_softmax(-1)
        scored = [None]
        for i, token in enumerate(body["prompt"][1:]):
            scored.append({str(token): {"logprob": logps[i, token].item(), "rank": 1, "decoded_token": "?"}})
        choice = {"index": 0, "text": "x", "finish_reason": "length", "prompt_logprobs": scored}
        self.reply(200, {"object": "text_completion", "choices": [choice]})

    def reply(self, status: int, content: object) -> None:
        text = content if isinstance(content, str) else json.dumps(content)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(saved) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    server.root, server.adapters, server.seen, server.loads = str(saved / "base"), {}, [], True
    server.raced = False
    paths = (saved / "base", saved / "stage" / "model")
    server.weights = {str(path): load_model(path).model for path in paths}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def settings(server: ThreadingHTTPServer, **options: object) -> PolicySettings:
    url = f"openai:http://127.0.0.1:{server.server_address[1]}/v1?dtype=float32"
    return PolicySettings(engine=read_engine(url), **options)


def test_an_adapter_is_loaded_once_under_a_name_of_its_content(saved, server):
    policies = [load_policy(str(saved / "stage" / "model"), settings(server)) for _ in range(2)]
    loads = [body for path, body in server.seen if path == "/v1/load_lora_adapter"]
    (load,) = loads
    assert load["lora_path"] == str(saved / "stage" / "model") and load["lora_name"].startswith("stage-")
    assert {policy.name for policy in policies} == {load["lora_name"]}


def test_an_adapter_that_another_stage_loads_meanwhile_is_taken(saved, server):
    server.raced = True
    policy = load_policy(str(saved / "stage" / "model"), settings(server))
    assert policy.name in server.adapters


def test_a_base_is_asked_by_the_name_it_has_there(saved, server):
    assert load_policy(str(saved / "base"), settings(server)).name == "the-base"


def test_a_server_of_another_base_is_refused_with_both_names(saved, server):
    server.root = "/models/other"
    with pytest.raises(PolicyError, match=r"expected a server of .*base, got one of /models/other"):
        load_policy(str(saved / "stage" / "model"), settings(server))


def test_a_server_that_loads_no_adapters_is_told_how_to_start(saved, server):
    server.loads = False
    with pytest.raises(PolicyError, match=r"answered 404: .*VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"):
        load_policy(str(saved / "stage" / "model"), settings(server))


def test_a_server_that_answers_with_the_base_is_found_out(saved, server):
    server.weights[str(saved / "stage" / "model")] = server.weights[str(saved / "base")]
    with pytest.raises(PolicyError, match="answers with other weights"):
        load_policy(str(saved / "stage" / "model"), settings(server))


def test_a_request_says_the_limits_and_the_end_tokens_of_the_stage(saved, server):
    """What a stage's own engine would refuse is refused, however long a context the server has."""
    (saved / "base" / "generation_config.json").write_text(json.dumps({"eos_token_id": [0]}))
    short, long = History("t", "a hat"), History("t", "soft " * 60)
    read = load_policy(str(saved / "base"), settings(server)).length(short)
    policy = load_policy(str(saved / "base"), settings(server, context=read + 5, max_new_tokens=24))
    replies = answer_all(policy, {"long": (long, Sampling())})
    assert replies["long"].stop is StopReason.CONTEXT_LIMIT
    request = policy.client.interface.request(short, Sampling(choices=("1", "buy hat")))
    assert request["max_tokens"] == 5 and request["stop_token_ids"] == [0]
    assert request["structured_outputs"] == {"choice": ["1\n", "buy hat\n"]}
    assert policy.chooses


class Lost:
    """A lease of a server that has ended."""

    def check(self) -> None:
        raise PolicyError("the server of base ended")


def test_the_end_of_the_runs_server_ends_the_stage_and_not_its_episodes(saved):
    tokenizer = load_model(saved / "base").tokenizer
    address, format = "http://127.0.0.1:9/v1", load_format("compact", tokenizer)
    policy = OpenAIPolicy(address, "base", format, tokenizer=tokenizer, attempts=1, lease=Lost())
    with pytest.raises(PolicyError, match="the server of base ended"):
        answer_all(policy, {"e": (HISTORIES[0], Sampling())})


def test_nobody_there_is_a_clear_error(saved):
    nobody = PolicySettings(engine=read_engine("openai:http://127.0.0.1:9/v1"))
    with pytest.raises(PolicyError, match="expected a vLLM server, got"):
        load_policy(str(saved / "base"), nobody)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("openai:", "expected the base url of a vLLM server"),
        ("openai:localhost:8000/v1", "expected the base url"),
        ("openai:http://localhost:8000/v1#model", "so that none is named"),
        ("openai:http://me:secret@localhost/v1", "expected the base url"),
        ("openai:http://localhost/v1?dtyp=float32", "did you mean 'dtype'"),
        ("openai:http://localhost/v1?timeout=0", "> 0"),
    ],
)
def test_a_wrong_address_is_refused_before_anything_starts(text, message):
    with pytest.raises(PolicyError, match=message):
        read_engine(text)


@pytest.fixture(scope="module")
def vllm_server(saved) -> Iterator[str]:
    """The address of vLLM's own server, on the base, which loads adapters of rank 64."""
    # A server takes from here what a request leaves out, and then truncates the draw.
    truncated = {"top_k": 1, "top_p": 0.1, "min_p": 0.5, "repetition_penalty": 1.5, "temperature": 0.2}
    (saved / "base" / "generation_config.json").write_text(json.dumps(truncated))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = f"-m vllm.entrypoints.openai.api_server --model {saved / 'base'} --port {port} --enable-lora"
    command += " --max-lora-rank 64 --dtype float32 --enforce-eager --max-model-len 256 --block-size 32"
    command += " --no-enable-chunked-prefill --max-num-batched-tokens 4096 --max-num-seqs 8"
    command += " --logprobs-mode raw_logprobs"
    environment = os.environ | {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [sys.executable, *command.split()],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        address = f"http://127.0.0.1:{port}/v1"
        for _ in range(600):
            assert process.poll() is None
            try:
                httpx.get(f"{address}/models")
                break
            except httpx.TransportError:
                time.sleep(0.5)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


@pytest.mark.vllm
@pytest.mark.skipif(
    find_spec("vllm") is None, reason="vllm is not installed; `make test-vllm` has an environment of its own"
)
@pytest.mark.parametrize("name", ["base", "stage/model"])
def test_vllms_server_says_what_transformers_says(saved, vllm_server, name):
    engine = read_engine(f"openai:{vllm_server}?dtype=float32")
    theirs = load_policy(str(saved / name), PolicySettings(engine=engine, max_new_tokens=24))
    ours = HFPolicy.load(saved / name, max_new_tokens=24)
    greedy = [Sampling()] * len(HISTORIES)
    found, expected = (play_turns(p, HISTORIES, greedy, turns=3) for p in (theirs, ours))
    for i, history in expected.items():
        assert found[i].actions == history.actions
        for a, b in zip(found[i].steps[1:], history.steps[1:], strict=True):
            assert a.tokens == b.tokens and a.logps == pytest.approx(b.logps, abs=1e-4)
    warm = {i: (h, Sampling(temperature=0.8, seed=i)) for i, h in enumerate(HISTORIES)}
    replies = answer_all(theirs, warm)
    assert all(reply.tokens for reply in replies.values())
    assert any(replies[i].tokens != expected[i].steps[len(h)].tokens for i, h in enumerate(HISTORIES))
    choices = ("1", "2", "buy red hat", "buy hat")
    for temperature in (0.0, 1.0):
        asked = {i: (h, Sampling(temperature, i, choices)) for i, h in enumerate(HISTORIES)}
        chosen = answer_all(theirs, asked).values()
        assert {reply.action for reply in chosen} <= {*choices} and {reply.stop for reply in chosen} == {None}
