from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from helpers.recorded_endpoint import Answer, Endpoint, Received, completion, prompt_text, recorded_endpoint
from helpers.toy_shop import TASKS, ToyShop, shopper

from eefcore import envs
from eefcore.errors import PolicyError
from eefcore.experts.collect import demonstrations, task_starts
from eefcore.policies import PolicySettings, load_policy
from eefcore.policies.openai.policy import OpenAIPolicy
from eefcore.policies.scripted import ScriptedPolicy
from eefcore.protocols import Sampling, Usage
from eefcore.rendering.formats import AGENTLITE
from eefcore.rollout.rollout import Start, rollout
from eefcore.storage.cost import rollout_cost
from eefcore.storage.disk import LineCodec
from eefcore.testing import answer_all
from eefcore.types import History, Step, StopReason, Trajectory

FORMATS = ("chat", "agentlite", "compact", "composite")


def toy_episodes(tasks=TASKS):
    starts = [Start(History(task, ToyShop().reset(task))) for task in tasks]
    return rollout(ScriptedPolicy(shopper, "shopper"), ToyShop, starts, max_turns=9)


@pytest.mark.parametrize("format", FORMATS)
def test_a_recorded_endpoint_plays_the_episodes_of_an_expert_again(format):
    world = envs.load("webshop_mini", sizes="6/2/2", seed=3)
    recorded = demonstrations(world, ["strong"], "train", seed=0)
    with recorded_endpoint(recorded) as endpoint:
        policy = load_policy(f"openai:{endpoint.url}#some-model", PolicySettings(format=format))
        starts = [Start(h) for h in task_starts(world, world.tasks("train"))]
        played = rollout(policy, world.make, starts, max_turns=world.max_turns)
    assert [(t.actions, t.reward) for t in played] == [(t.actions, t.reward) for t in recorded]
    assert len(endpoint.requests) == sum(map(len, recorded))


def test_a_recorded_endpoint_refuses_a_dialogue_that_it_has_not_recorded():
    with recorded_endpoint(toy_episodes(TASKS[:1])) as endpoint:
        policy = load_policy(f"openai:{endpoint.url}#some-model", PolicySettings(format="chat"))
        with pytest.raises(PolicyError, match="this dialogue was not recorded"):
            rollout(policy, ToyShop, [Start(History(TASKS[3], ToyShop().reset(TASKS[3])))], max_turns=3)


@pytest.mark.parametrize("format", ["chat", "agentlite"])
def test_an_episode_records_the_tokens_that_the_endpoint_counted(format):
    with recorded_endpoint(recorded := toy_episodes()) as endpoint:
        policy = load_policy(f"openai:{endpoint.url}#some-model", PolicySettings(format=format))
        starts = [Start(History(task, ToyShop().reset(task))) for task in TASKS]
        played = rollout(policy, ToyShop, starts, max_turns=9)
    for t in played:
        prompts = [
            prompt_text(r.body)
            for r in endpoint.requests
            if t.history.at(0).observation in prompt_text(r.body)
        ]
        assert t.tokens_written == sum(len(action.split()) for action in t.actions)
        assert len(prompts) == len(t) and t.tokens_read == sum(len(prompt.split()) for prompt in prompts)
    cost = rollout_cost(played, policy.length)
    assert (cost.tokens_read, cost.tokens_written) == (policy.tokens_read, policy.tokens_written)
    assert cost.env_steps == sum(map(len, recorded))


# What servers answer -------------------------------------------------------------------------------------

ACTION = 'search[{"product": "red shirt"}]'
ASKED = History("t", "WEB PAGE: x", (Step("buy a red shirt", ACTION),))


def message(content, finish: str | None = "stop", usage=True, **fields) -> Answer:
    choice = {"message": {"role": "assistant", "content": content, **fields}, "finish_reason": finish}
    counts = {"prompt_tokens": 10, "completion_tokens": 5} if usage is True else usage
    return Answer({"choices": [choice], "usage": counts})


def ask(answer: Answer | list[Answer], *, chat: bool = True, history: History = ASKED, **options):
    """Return the reply to one question, the policy, and the requests that it sent; the last answer goes on for ever."""
    left = [*answer] if isinstance(answer, list) else [answer]
    with Endpoint(lambda _: left.pop(0) if len(left) > 1 else left[0]) as endpoint:
        options = {"attempts": 3, "longest_pause": 0.01, "concurrency": 1} | options
        policy = OpenAIPolicy(endpoint.url, "m", AGENTLITE, chat=chat, **options)
        reply = answer_all(policy, {"e": (history, Sampling(0.7, 2**47))})["e"]
    return reply, policy, endpoint.requests


@pytest.mark.parametrize(
    "answer",
    [
        message(ACTION),
        message("\n\n" + ACTION),
        message("Action:" + ACTION),
        message("Action: " + ACTION + "\nObservation: none of the model's business"),
        message([{"type": "text", "text": ACTION}]),
        message([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": ACTION}]),
        message("<think>\nI look for it\n</think>\n\n" + ACTION),
        message("I look for it\n</think>\n\n" + ACTION),
        message(ACTION, reasoning_content="I look for it"),
        message(ACTION + "\n", "length"),
        *(message(ACTION, reason) for reason in ("eos", "eos_token", "end_turn", "stop_sequence", None)),
        *(message(ACTION, usage=usage) for usage in (None, {}, {"prompt_tokens": None})),
        Answer(b"\xef\xbb\xbf" + json.dumps(message(ACTION).body).encode()),
    ],
    ids=str,
)
def test_an_action_is_read_from_any_shape_of_message(answer):
    reply, _, requests = ask(answer)
    assert (reply.action, reply.stop, len(requests)) == (ACTION, None, 1)


@pytest.mark.parametrize(
    ("answer", "thought"),
    [
        (message(ACTION), 0),
        (message("<think>so</think>" + ACTION), 1),
        (message(ACTION, reasoning_content="so"), 1),
        (message([{"type": "reasoning"}, {"type": "text", "text": ACTION}]), 1),
        (message("<think>never done", "length"), 1),
    ],
)
def test_answers_with_thoughts_are_counted_and_pay_for_them(answer, thought):
    reply, policy, _ = ask(answer)
    assert policy.thoughts == thought and "so" not in reply.action
    assert reply.usage == Usage(10, 5) and (policy.tokens_read, policy.tokens_written) == (10, 5)


@pytest.mark.parametrize(
    ("answer", "stop", "kept"),
    [
        (message(None, "length", reasoning_content="thinking…"), StopReason.MALFORMED, "thinking…"),
        (message(None, "stop"), StopReason.MALFORMED, ""),
        (message("<think>red? blue?", "length"), StopReason.MALFORMED, "<think>red? blue?"),
        (message(ACTION, "length"), StopReason.MALFORMED, ACTION),
        (message(ACTION, "max_tokens"), StopReason.MALFORMED, ACTION),
        (message(None, "tool_calls", tool_calls=[{"type": "function"}]), StopReason.MALFORMED, ""),
        (
            Answer({"choices": [{"message": {"role": "assistant"}, "finish_reason": "length"}]}),
            StopReason.MALFORMED,
            "",
        ),
        (message("I can't", "content_filter"), StopReason.MODEL_FAILURE, ""),
    ],
    ids=str,
)
def test_an_answer_without_an_action_ends_its_episode_at_once(answer, stop, kept):
    reply, policy, requests = ask(answer)
    assert (reply.action, reply.stop, len(requests)) == ("", stop, 1)
    assert reply.refused_answer == kept
    assert policy.failures == (stop is StopReason.MODEL_FAILURE) == bool(reply.reason)


FULL = [
    (400, {"message": "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"}),
    (400, {"error": {"message": "Input length (5000) exceeds the model's context window of 4096 tokens"}}),
    (400, {"error": {"type": "exceed_context_size_error", "message": "the request exceeds the available context size"}}),
    (400, {"error": {"message": "The input (5000 tokens) is longer than the model's context length (4096 tokens)."}}),
    (400, {"error": {"message": "prompt is too long: 210000 tokens > 200000 maximum"}}),
    (413, {"error": {"message": "Request too large for model"}}),
    (422, {"error": "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000"}),
    (200, {"error": {"code": "context_length_exceeded", "message": "maximum context length is 4096"}}),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body"), FULL, ids=str)
def test_a_full_context_ends_one_episode(status, body):
    reply, policy, requests = ask(Answer(body, status))
    assert (reply.stop, len(requests), policy.failures) == (StopReason.CONTEXT_LIMIT, 1, 0)
    assert str(status) in reply.reason or status == 200


@pytest.mark.parametrize(
    "answer",
    [
        Answer({"error": {"message": "overloaded"}}),
        Answer({"error": {"message": "overloaded", "code": 529}}),
        Answer(b"<html>gateway</html>"),
        Answer({"choices": []}),
        Answer([1, 2]),
        message("half", "error"),
        Answer({}, 503),
        Answer({"error": {"message": "slow down"}}, 429),
    ],
    ids=str,
)
def test_a_failure_that_may_pass_is_asked_again_and_its_reason_is_kept(answer):
    reply, policy, requests = ask([answer, message(ACTION)])
    assert (reply.action, len(requests), policy.failures) == (ACTION, 2, 0)
    reply, policy, requests = ask(answer)
    assert (reply.stop, len(requests), policy.failures) == (StopReason.MODEL_FAILURE, 3, 1)
    assert reply.reason


def test_a_failed_episode_keeps_its_reason_in_the_record():
    with Endpoint(lambda _: Answer({"error": "the model has gone"}, 503)) as endpoint:
        policy = OpenAIPolicy(endpoint.url, "m", AGENTLITE, attempts=1)
        (t,) = rollout(policy, ToyShop, [Start(History(TASKS[0], ToyShop().reset(TASKS[0])))], max_turns=3)
    assert t.stop is StopReason.MODEL_FAILURE and "answered 503" in t.reason and "has gone" in t.reason
    assert LineCodec(Trajectory).decode(LineCodec(Trajectory).encode(t, "f:1"), "f:1") == t


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, {}, "answered 401.*the key in OPENAI_API_KEY"),
        (403, {}, "answered 403"),
        (404, {"error": "no model m"}, "answered 404.*no model m.*check the address"),
        (400, {"error": "messages must not be empty"}, "answered 400"),
        (429, {"error": {"code": "insufficient_quota"}}, "answered 429.*no money left"),
    ],
)
def test_what_would_fail_every_time_stops_the_stage_at_once(status, body, message):
    with Endpoint(lambda _: Answer(body, status)) as endpoint:
        policy = OpenAIPolicy(endpoint.url, "m", AGENTLITE)
        policy.ask("e", ASKED, Sampling())
        with pytest.raises(PolicyError, match=message):
            policy.answers()
    assert len(endpoint.requests) == 1


def test_after_a_refusal_the_queue_is_not_sent_and_the_policy_can_be_asked_again():
    allowed = []

    def answer(received: Received) -> Answer:
        time.sleep(0.02)
        return completion(received, "look") if allowed else Answer({"error": "no key"}, 401)

    with Endpoint(answer) as endpoint:
        policy = OpenAIPolicy(endpoint.url, "m", AGENTLITE, concurrency=2)
        questions = {i: (History(str(i), f"page {i}"), Sampling()) for i in range(200)}
        with pytest.raises(PolicyError, match="no key"):
            answer_all(policy, questions)
        refused = len(endpoint.requests)
        time.sleep(0.3)
        assert len(endpoint.requests) <= refused + 2 < len(questions)
        allowed.append(True)
        assert {r.action for r in answer_all(policy, questions).values()} == {"look"}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": "bad text"}),
        (422, {"detail": "bad text"}),
        (400, {"error": {"code": "content_filter"}}),
    ],
)
def test_a_request_refused_among_others_that_were_answered_ends_one_episode(status, body):
    def answer(received: Received) -> Answer:
        return Answer(body, status) if "bad page" in received.body["prompt"] else completion(received, "look")

    with Endpoint(answer) as endpoint:
        policy = OpenAIPolicy(endpoint.url, "m", AGENTLITE)
        answer_all(policy, {0: (ASKED, Sampling())})
        replies = answer_all(
            policy,
            {i: (History(str(i), f"{kind} page"), Sampling()) for i, kind in enumerate(("good", "bad"))},
        )
    assert replies[0].action == "look" and replies[1].stop is StopReason.MODEL_FAILURE
    assert f"answered {status}" in replies[1].reason and policy.failures == 1


# Pauses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "shortest", "longest"),
    [
        ("7", 7.0, 7.0),
        ("0", 0.0, 0.0),
        ("a date in 300 seconds", 200.0, 300.0),
        ("soon", 0.0, 0.01),
        (None, 0.0, 0.01),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_that_the_server_asks_for_is_kept(monkeypatch, header, shortest, longest, status):
    if header == "a date in 300 seconds":  # workers have to collect the same names
        header = format_datetime(datetime.now(UTC) + timedelta(seconds=300))
    pauses = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    headers = {} if header is None else {"Retry-After": header}
    reply, _, requests = ask([Answer({}, status, headers), message(ACTION)])
    assert reply.action == ACTION and len(requests) == 2
    assert len(pauses) == 1 and shortest <= pauses[0] <= longest


def test_a_pause_of_hours_is_a_model_failure_now():
    reply, _, requests = ask(Answer({}, 429, {"Retry-After": "7200"}))
    assert reply.stop is StopReason.MODEL_FAILURE and len(requests) == 1
    assert reply.reason == "the server asks for a pause of 7200 seconds"


# Sampling fields -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("chat", [False, True])
def test_every_sampling_field_is_said(chat):
    _, _, (request,) = ask(
        message(ACTION) if chat else Answer({"choices": [{"text": ACTION, "finish_reason": "stop"}]}),
        chat=chat,
    )
    body = request.body
    fields = {name: body[name] for name in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")}
    assert fields == {"temperature": 0.7, "top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
    assert 0 <= body["seed"] < 2**31


REFUSALS = [
    ("top_k", "Unrecognized request argument supplied: top_k"),
    ("top_k", 'Invalid JSON payload received. Unknown name "top_k": Cannot find field.'),
    ("min_p", "property 'min_p' is unsupported"),
    ("repetition_penalty", {"detail": [{"loc": ["body", "repetition_penalty"], "msg": "Extra inputs are not permitted"}]}),
    ("seed", "Unsupported parameter: 'seed' is not supported with this model."),
    ("max_tokens", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead. Your prompt is not too long."),
    ("temperature", "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is supported."),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*it is left out")
@pytest.mark.parametrize(("field", "words"), REFUSALS)
@pytest.mark.parametrize("status", [400, 422])
def test_a_field_that_an_api_refuses_is_left_out_from_then_on(field, words, status):
    def answer(received: Received) -> Answer:
        if field in received.body:
            return Answer({"error": words}, status)
        return message(ACTION)

    with Endpoint(answer) as endpoint:
        policy = OpenAIPolicy(endpoint.url, "m", AGENTLITE, chat=True)
        for _ in range(2):
            assert answer_all(policy, {"e": (ASKED, Sampling(0.7, 1))})["e"].action == ACTION
    first, *others = [request.body for request in endpoint.requests]
    assert field in first and len(others) == 2 and not any(field in body for body in others)
    assert all(("max_completion_tokens" in body) == (field == "max_tokens") for body in others)
    assert all(("top_p" in body and body["messages"] == first["messages"]) for body in others)


def test_many_questions_at_once_all_survive_a_refused_field():
    def answer(received: Received) -> Answer:
        if "top_k" in received.body:
            return Answer({"error": "Unrecognized request argument supplied: top_k"}, 400)
        return completion(received, "look")

    with Endpoint(answer) as endpoint:
        policy = OpenAIPolicy(endpoint.url, "m", AGENTLITE, concurrency=8)
        questions = {i: (History(str(i), f"page {i}"), Sampling(0.7, i)) for i in range(24)}
        assert {r.action for r in answer_all(policy, questions).values()} == {"look"}


def test_a_refused_field_that_changes_the_draw_is_said():
    def answer(received: Received) -> Answer:
        refused = "temperature" in received.body
        return Answer({"error": "Unsupported value: 'temperature'"}, 400) if refused else message(ACTION)

    with Endpoint(answer) as endpoint, pytest.warns(UserWarning, match="takes no temperature .*left out"):
        policy = OpenAIPolicy(endpoint.url, "m", AGENTLITE, chat=True)
        answer_all(policy, {"e": (ASKED, Sampling(0.7, 1))})


def test_a_message_of_several_lines_is_cut_here_and_not_by_the_server():
    _, _, (request,) = ask(message("<think>\nso\n</think>\n" + ACTION))
    assert "stop" not in request.body
