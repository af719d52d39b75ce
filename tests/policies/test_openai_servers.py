"""Servers that take token ids, each by a stand-in of the documented shape of its answers; the real ones are not run here."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.recorded_endpoint import Answer, Endpoint, Received
from helpers.toy_shop import ToyShop

from eefcore.errors import PolicyError
from eefcore.policies import PolicySettings, load_policy
from eefcore.policies.loading import check_policy, model_path
from eefcore.protocols import Reply, Sampling, Usage
from eefcore.rendering.renderer import make_renderer
from eefcore.rollout.rollout import Start, rollout
from eefcore.storage.cost import rollout_cost
from eefcore.testing import PolicyContract, answer_all
from eefcore.training.models import load_tokenizer
from eefcore.types import History, StopReason

TOKENIZER = load_tokenizer(model_path("tiny"))
ACTIONS = ("next", "buy red hat", "look at the blue sock")
HISTORIES = [History("red hat", "buy a red hat. red hat, red sock").then("next", page) for page in "abcde"]


def written(prompt: list[int], seed: int, limit: int) -> tuple[list[int], list[float], bool]:
    """Return the ids that the stand-in's model writes, their log-likelihoods, and whether it came to the end mark."""
    ids = TOKENIZER(ACTIONS[(seed + sum(prompt)) % len(ACTIONS)] + "\n", add_special_tokens=False)[
        "input_ids"
    ]
    return ids[:limit], [-0.25 - i / 8 for i in range(len(ids))][:limit], len(ids) <= limit


def vllm(received: Received) -> Answer:
    body = received.body
    assert (
        received.path == "/v1/completions" and body["return_token_ids"] and body["include_stop_str_in_output"]
    )
    ids, logps, ended = written(body["prompt"], body["seed"], body["max_tokens"])
    choice = {
        "index": 0,
        "text": TOKENIZER.decode(ids),
        "logprobs": {"tokens": [f"token_id:{i}" for i in ids], "token_logprobs": logps, "top_logprobs": [], "text_offset": []},
        "finish_reason": "stop" if ended else "length",
        "stop_reason": "\n" if ended else None,
        "token_ids": ids,
        "prompt_token_ids": body["prompt"],
    }  # fmt: skip
    usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": len(ids)}
    return Answer({"object": "text_completion", "model": body["model"], "choices": [choice], "usage": usage})


def sglang(received: Received) -> Answer:
    body, params = received.body, received.body["sampling_params"]
    assert received.path == "/generate" and body["return_logprob"] and params["no_stop_trim"]
    ids, logps, ended = written(body["input_ids"], params["sampling_seed"], params["max_new_tokens"])
    heat = params["temperature"] or 1.0
    reason: dict[str, Any] = (
        {"type": "stop", "matched": "\n"} if ended else {"type": "length", "length": len(ids)}
    )
    meta = {
        "id": "5f0e",
        "finish_reason": reason,
        "prompt_tokens": len(body["input_ids"]),
        "completion_tokens": len(ids),
        "cached_tokens": 0,
        "input_token_logprobs": [],
        "output_token_logprobs": [[p / heat, i, None] for p, i in zip(logps, ids, strict=True)],
    }
    return Answer({"text": TOKENIZER.decode(ids), "output_ids": ids, "meta_info": meta})


def llamacpp(received: Received, *, by_end_of_turn: bool = False) -> Answer:
    body = received.body
    assert received.path == "/completion" and body["return_tokens"] and body["samplers"] == ["temperature"]
    ids, logps, ended = written(body["prompt"], body["seed"], body["n_predict"])
    entries = [
        {"id": i, "token": TOKENIZER.decode([i]), "bytes": [], "logprob": p, "top_logprobs": []}
        for i, p in zip(ids, logps, strict=True)
    ]
    by_word = ended and not by_end_of_turn
    return Answer({
        "index": 0,
        "content": TOKENIZER.decode(ids).removesuffix("\n"),
        "tokens": ids,
        "stop": True,
        "stop_type": "limit" if not ended else "word" if by_word else "eos",
        "stopping_word": "\n" if by_word else "",
        "tokens_evaluated": len(body["prompt"]),
        "tokens_predicted": len(ids),
        "truncated": False,
        # the tokens of a stop word are left out
        "completion_probabilities": entries[:-1] if by_word else entries,
    })  # fmt: skip


SERVERS = {"vllm": vllm, "sglang": sglang, "llamacpp": llamacpp}
every = pytest.mark.parametrize("server", SERVERS)


def load(endpoint: Endpoint, server: str, **settings):
    return load_policy(
        f"openai:{endpoint.url}#tiny?server={server}&tokenizer=tiny&attempts=1", PolicySettings(**settings)
    )


def ask(server: str, answer=None, temperature: float = 1.0, **settings) -> tuple[Reply, dict]:
    with Endpoint(answer or SERVERS[server]) as endpoint:
        policy = load(endpoint, server, **settings)
        reply = answer_all(policy, {"e": (HISTORIES[0], Sampling(temperature, 3))})["e"]
    (request,) = endpoint.requests
    return reply, request.body


@every
class TestTokenServers(PolicyContract):
    histories = HISTORIES

    @pytest.fixture(autouse=True)
    def _serve(self, server):
        with Endpoint(SERVERS[server]) as endpoint:
            self.endpoint, self.server = endpoint, server
            yield

    def make(self):
        return load(self.endpoint, self.server)


@every
@pytest.mark.parametrize("format", ["compact", "agentlite"])
def test_ids_go_out_as_the_renderer_writes_them_and_come_back_as_they_were_sampled(server, format):
    reply, body = ask(server, format=format)
    renderer = make_renderer(TOKENIZER, format)
    prompt = body.get("prompt", body.get("input_ids"))
    assert prompt == renderer.encode(HISTORIES[0]).tokens
    assert reply.action in ACTIONS and TOKENIZER.decode(reply.tokens) == reply.action + "\n"
    longer = HISTORIES[0].then(reply.action, "b", reply.tokens, reply.logps)
    start, stop = renderer.encode(longer).spans[-1]
    assert renderer.encode(longer).tokens[start:stop] == list(reply.tokens)


@pytest.mark.parametrize(
    ("server", "temperature", "kept"),
    [
        *(("vllm", heat, True) for heat in (0.0, 0.5, 1.0)),
        ("sglang", 0.0, True),
        ("sglang", 0.5, False),
        ("sglang", 1.0, True),
    ],
)
def test_log_likelihoods_are_those_at_temperature_1_or_left_out(server, temperature, kept):
    reply, _ = ask(server, temperature=temperature)
    assert reply.logps == (tuple(-0.25 - i / 8 for i in range(len(reply.tokens))) if kept else ())
    assert reply.tokens


@pytest.mark.parametrize("by_end_of_turn", [False, True])
def test_llama_cpp_gives_no_likelihood_of_a_stop_word(by_end_of_turn):
    reply, _ = ask("llamacpp", lambda received: llamacpp(received, by_end_of_turn=by_end_of_turn))
    assert reply.action in ACTIONS and (len(reply.logps) == len(reply.tokens)) == by_end_of_turn
    assert bool(reply.logps) == by_end_of_turn


@every
def test_an_action_cut_at_the_limit_is_malformed_and_costs_its_tokens(server):
    reply, _ = ask(server, max_new_tokens=2)
    assert (reply.action, reply.stop, len(reply.tokens)) == ("", StopReason.MALFORMED, 2)


@every
def test_the_cost_of_ids_counts_the_tokens_and_not_the_servers_own_counts(server):
    with Endpoint(SERVERS[server]) as endpoint:
        policy = load(endpoint, server)
        starts = [
            Start(History(task, ToyShop().reset(task)), Sampling(1.0, 5)) for task in ("red hat", "blue sock")
        ]
        played = rollout(policy, ToyShop, starts, max_turns=3)
    cost = rollout_cost(played, policy.length)
    ids = sum(len(step.tokens) for t in played for step in t.history.steps)
    assert cost.tokens_written == ids == policy.tokens_written
    assert cost.tokens_read == sum(policy.length(t.history) for t in played) - ids > 0
    assert policy.tokens_read > cost.tokens_read  # each turn's prompt anew


@every
@pytest.mark.parametrize("lost", [-1, 1])
def test_ids_that_are_not_as_many_as_the_server_counted_are_not_stored(server, lost):
    def answer(received: Received) -> Answer:
        body = SERVERS[server](received).body
        counts = body.get("usage") or body.get("meta_info") or body
        name = "tokens_predicted" if server == "llamacpp" else "completion_tokens"
        counts[name] += lost
        return Answer(body)

    reply, _ = ask(server, answer)
    assert reply.stop is StopReason.MODEL_FAILURE and "not an answer" in reply.reason
    assert reply.tokens == () and reply.usage == Usage()


@every
def test_the_server_in_v1_or_beside_it_is_the_same(server):
    with Endpoint(SERVERS[server]) as endpoint:
        root = endpoint.url if server == "vllm" else endpoint.url.removesuffix("/v1")
        policy = load_policy(f"openai:{root}/#tiny?server={server}&tokenizer=tiny", PolicySettings())
        assert answer_all(policy, {"e": (HISTORIES[0], Sampling())})["e"].action in ACTIONS


@every
@pytest.mark.parametrize(("option", "asked"), [("", 2), ("&cache=true", 1), ("&prices=1/2", 1)])
def test_weights_behind_a_server_of_ones_own_may_change_so_its_answers_are_not_kept(server, option, asked):
    with Endpoint(SERVERS[server]) as endpoint:
        spec = f"openai:{endpoint.url}#tiny?server={server}&tokenizer=tiny{option}"
        replies = [
            answer_all(load_policy(spec, PolicySettings()), {"e": (HISTORIES[0], Sampling())})
            for _ in range(2)
        ]
    assert len(endpoint.requests) == asked and replies[0] == replies[1]


@pytest.mark.parametrize("format", ["chat", "agentgym", "web", "composite_chat"])
def test_any_format_can_be_sent_as_ids(format):
    check_policy("openai:http://localhost:8000/v1#m?server=vllm&tokenizer=tiny", format=format)
    with pytest.raises(PolicyError, match="chat template"):
        load_policy(
            "openai:http://localhost:8000/v1#m?server=vllm&tokenizer=tiny", PolicySettings(format=format)
        )
