"""Any answer of a model ends at most its own episode: the others finish, and a second run is equal.

The policies are the real ones. The local one runs with a model whose likeliest tokens are those of the answer; the
endpoint's client is answered by a function.
"""

from __future__ import annotations

import json

import httpx
import numpy as np
import pytest
import torch
from helpers.byte_tokenizer import CHATML, byte_tokenizer
from helpers.search_toys import Dice, ranked
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from eefcore.errors import FormatError, MaskError, PolicyError
from eefcore.policies.beam import BeamPolicy
from eefcore.policies.conditioned import ConditionedPolicy
from eefcore.policies.hf_engine.policy import HFPolicy
from eefcore.policies.openai.policy import OpenAIPolicy
from eefcore.policies.scripted import ScriptedPolicy
from eefcore.protocols import Reply, Sampling
from eefcore.rendering.critic_prompts import parse_choice
from eefcore.rendering.formats import (
    AGENTLITE,
    COMPACT,
    COMPOSITE,
    COMPOSITE_COMPACT,
    ChatFormat,
    LastPageChatFormat,
    can_show,
)
from eefcore.rendering.renderer import Renderer
from eefcore.rollout.rollout import Start, rollout
from eefcore.search.critic import RankingCritic
from eefcore.storage.disk import LineCodec
from eefcore.training.rows import make_rows
from eefcore.types import Example, History, State, Step, StopReason, Trajectory, Transition
from eefcore.unicode import well_formed

MARKS = ("<|im_start|>", "<|im_end|>", "<|bos|>", "<|eot|>")
TRIMS = (
    "{% for m in messages %}{{ '<|bos|>' if loop.first }}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|eot|>"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DROPS_THOUGHTS = CHATML.replace(
    "{{ m.content }}", "{{ m.content if loop.last else m.content.split('</think>')[-1] }}"
)
REFUSES = (
    "{% for m in messages %}{% if 'bomb' in m.content %}{{ raise_exception('no') }}{% endif %}{% endfor %}"
    + CHATML
)
TEMPLATES = {"chat": CHATML, "trims": TRIMS, "drops_thoughts": DROPS_THOUGHTS, "refuses": REFUSES}


def renderers() -> dict[str, Renderer]:
    made = {}
    for name, template in TEMPLATES.items():
        tokenizer = byte_tokenizer(template, special=MARKS)
        made[name] = Renderer(tokenizer, ChatFormat(tokenizer, prompt="Shop.\n"))
    tokenizer = made["trims"].tokenizer
    made["composite_chat"] = Renderer(tokenizer, LastPageChatFormat(tokenizer, prompt="Shop.\n"))
    for format in (AGENTLITE, COMPACT, COMPOSITE, COMPOSITE_COMPACT):
        made[format.name] = Renderer(tokenizer, format)
    return made


RENDERERS = renderers()
every = pytest.mark.parametrize("name", RENDERERS)
NASTY = (
    "look ", " look", "look\t", "\nlook\n", "look\u00a0", "look\x1f", "", " ", "\n", "\x00", "\x85", "\u2028",
    "\ud83d", "look \ud83d", "\ude00\ud83d", "\ud83d\ude42", "\ufffd", "<think>red?</think>look", "</think>", "<think>",
    "bomb", "9" * 5000, "COMMAND:", "COMMAND: \n", "COMMAND: " + "7" * 5000, "PLAN: \n\n", "{", "{0}", "{{ x }}",
    "{% raw %}", "%s", "look<|im_end|>", "<|im_end|>", "<|eot|>look", "<|im_start|>user\n", "look\n\nlook", "\U0010fffe0\U0010ffff",
)  # fmt: skip
nasty = st.one_of(
    st.sampled_from(NASTY),
    st.lists(st.sampled_from([*NASTY, "look", "buy"]), max_size=3).map("".join),
    st.text(st.characters(), max_size=12),
)
scripts = st.lists(st.lists(nasty, min_size=3, max_size=3), min_size=1, max_size=3)
TURNS = 3


class Corridor:
    """An environment of three rooms that any action walks through to a win."""

    def reset(self, task_id: str) -> str:
        return self.restore(State(task_id))

    def restore(self, state: State) -> str:
        self._state = state
        return f"room {len(state.actions)}"

    def snapshot(self) -> State:
        return self._state

    def step(self, action: str) -> Transition:
        self.restore(State(self._state.task_id, (*self._state.actions, action)))
        done = len(self._state.actions) == TURNS
        return Transition(f"room {len(self._state.actions)}", float(done), done)


def scripted_answer(script: list[list[str]], history: History) -> str:
    """Return the script's text for a turn of a dialogue; the last task is always played well."""
    task = int(history.task_id)
    return script[task][len(history)] if task < len(script) else "look"


def played(policy, script) -> list[Trajectory]:
    starts = [Start(History(str(i), "room 0"), Sampling(0.0, i)) for i in range(len(script) + 1)]
    return rollout(policy, Corridor, starts, max_turns=9)


def check(make, script, renderer: Renderer, *, knows_the_end: bool = True) -> list[Trajectory]:
    """Play twice, and check the trajectories.

    A policy that knows no end mark may write it inside an action, which is shown as words and is not trained on.
    """
    played_once, again = played(make(script), script), played(make(script), script)
    assert played_once == again
    *bad, good = played_once
    assert (good.stop, good.reward, good.actions) == (StopReason.DONE, 1.0, ("look",) * TURNS)
    for t in bad:
        assert t.stop in (StopReason.DONE, StopReason.MALFORMED)
        assert (t.stop is StopReason.DONE) == (len(t) == TURNS)
        assert all(action.strip() and well_formed(action) == action for action in t.actions)
        line = LineCodec(Trajectory).encode(t, "here:1")
        assert LineCodec(Trajectory).decode(line, "here:1") == t
        renderer.encode(t.history)
        if len(t) and (knows_the_end or not any(renderer.format.end in a for a in t.actions)):
            assert make_rows(Example(t), renderer)
    return played_once


# ---------------------------------------------------------------- an endpoint


def endpoint(renderer: Renderer, *, chat: bool):
    """Return how to make a policy of an endpoint that answers by the script."""

    def make(script: list[list[str]]) -> OpenAIPolicy:
        asked: dict[int, str] = {}

        def answer(request: httpx.Request) -> httpx.Response:
            words = asked[json.loads(request.content)["seed"]]
            choice = {"text": words, "message": {"content": words}, "finish_reason": "stop"}
            return httpx.Response(200, content=json.dumps({"choices": [choice]}))

        class Endpoint(OpenAIPolicy):
            def _request(self, history, sampling):
                request = super()._request(history, sampling)
                asked[request["seed"]] = scripted_answer(script, history)
                return request

        policy = Endpoint("http://nowhere", "model", renderer.format, chat=chat, concurrency=2, attempts=1)
        policy.client.http = httpx.Client(transport=httpx.MockTransport(answer))
        return policy

    return make


@every
@given(scripts, st.booleans())
@example([[text, "look", text] for text in NASTY], False)
@example([["look", text, "look"] for text in NASTY], True)
@settings(max_examples=8, deadline=None)
def test_any_text_of_an_endpoint_ends_no_other_episode(name, script, chat):
    check(endpoint(RENDERERS[name], chat=chat), script, RENDERERS[name])


# ---------------------------------------------------------------- the local policy


class Puppet(HFPolicy):
    """A local policy whose model gives the script's next token all probability."""

    def __init__(self, renderer: Renderer, script: list[list[str]]) -> None:
        shape = LlamaConfig(
            vocab_size=len(renderer.tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1,
            num_attention_heads=1, num_key_value_heads=1, max_position_embeddings=8192,
        )  # fmt: skip
        self._script: dict[int, list[int]] = {}
        self._answers = script
        super().__init__(LlamaForCausalLM(shape), renderer, slots=2, max_new_tokens=160)

    def _check_cache(self) -> None:
        """Nothing is read, so nothing is kept."""

    def ask(self, episode, history, sampling) -> None:
        text = well_formed(scripted_answer(self._answers, history))
        if len(text) > 100:
            text = text[:100]  # a model writes at most so much
        self._script[episode] = [*self.renderer.ids(text), *self.renderer.ids(self.renderer.format.end)]
        super().ask(episode, history, sampling)

    def _logits(self, tokens, packed, at) -> torch.Tensor:
        batch, logits = self._batch, torch.zeros(len(at), len(self.renderer.tokenizer))
        for row, (slot, position) in enumerate(zip(packed.slot[at], packed.position[at], strict=True)):
            n = int(position) + 1 - int(batch.action_start[slot])
            if n >= 0:
                script = self._script[batch.episode(int(slot))]
                logits[row, script[min(n, len(script) - 1)]] = 50.0
        return logits


@every
@given(scripts)
@example([[text, "look", text] for text in NASTY])
@example([["look", text, "look"] for text in NASTY])
@settings(max_examples=10, deadline=None)
def test_any_tokens_of_a_local_model_end_no_other_episode(name, script):
    renderer = RENDERERS[name]
    check(lambda answers: Puppet(renderer, answers), script, renderer)


def test_a_sampled_trailing_blank_is_kept_where_the_template_trims_it():
    renderer = RENDERERS["trims"]
    (t, _) = played(Puppet(renderer, [["look ", "look", "look"]]), [["look ", "look", "look"]])
    assert t.actions == ("look ", "look", "look") and t.win
    start, stop = renderer.encode(t.history).spans[0]
    assert renderer.encode(t.history).tokens[start:stop] == list(t.history.steps[0].tokens)
    assert renderer.tokenizer.decode(t.history.steps[0].tokens) == "look <|eot|>"


def test_an_experts_trailing_blank_is_trained_as_the_template_writes_it():
    renderer = RENDERERS["trims"]
    h = History("t", "done", (Step("o", " look "), Step("o", "buy")))
    (made,) = make_rows(Example(Trajectory(history=h, reward=1.0)), renderer)
    messages = [{"role": "user", "content": "Shop.\no"}, {"role": "assistant", "content": " look "}]
    messages += [{"role": "user", "content": "o"}, {"role": "assistant", "content": "buy"}]
    whole = renderer.tokenizer.apply_chat_template(messages, tokenize=False)
    assert renderer.tokenizer.decode(made.tokens) == whole


def test_sampled_ids_of_another_action_are_still_refused_where_the_template_trims():
    renderer = RENDERERS["trims"]
    step = Step("o", "look", tuple(renderer.ids("look <|eot|>")))
    with pytest.raises(MaskError, match="its tokens say 'look '"):
        make_rows(Example(Trajectory(history=History("t", "o", (step,)), reward=1.0)), renderer)


# ---------------------------------------------------------------- whose fault it is


@pytest.mark.parametrize(
    ("name", "text"), [("drops_thoughts", "<think>red?</think>look"), ("refuses", "bomb")]
)
def test_an_action_that_the_template_can_not_write_is_malformed_and_has_no_tokens(name, text):
    renderer, script = RENDERERS[name], [["look", text, "look"]]
    for make in (lambda s: Puppet(renderer, s), endpoint(renderer, chat=False)):
        bad, good = played(make(script), script)
        assert (bad.stop, bad.actions, good.win) == (StopReason.MALFORMED, ("look",), True)
    assert not can_show(renderer.format, History("t", "o"), text)


@pytest.mark.parametrize(
    ("name", "text"), [("drops_thoughts", "<think>red?</think>look"), ("refuses", "bomb")]
)
def test_a_start_that_the_template_can_not_write_ends_its_own_episode_only(name, text):
    renderer = RENDERERS[name]
    head = History("0", "room 1", (Step("room 0", text),))
    starts = [Start(head), Start(History("1", "room 0"))]
    local = Puppet(renderer, [])
    for policy in (
        Puppet(renderer, []),
        ConditionedPolicy(local, "Do it well."),
        endpoint(renderer, chat=True)([]),
    ):
        bad, good = rollout(policy, Corridor, starts, max_turns=9)
        assert (bad.stop, len(bad), good.stop) == (StopReason.MALFORMED, 1, StopReason.DONE)
    beams = BeamPolicy(local, beams=2)
    beams.ask("bad", head, Sampling())
    assert beams.answers() == [("bad", Reply("", stop=StopReason.MALFORMED))] and beams.answers() == []


def test_a_template_that_rewrites_every_dialogue_is_a_set_up_error():
    tokenizer = byte_tokenizer(
        CHATML.replace("{{ m.content }}", "{{ m.content if loop.last or loop.length < 3 else '' }}"),
        special=MARKS,
    )
    with pytest.raises(PolicyError, match="rewrites turn 0 once turn 1 is there") as caught:
        ChatFormat(tokenizer, prompt="")
    assert not isinstance(caught.value, FormatError)


# ---------------------------------------------------------------- any policy, critics, files


@given(scripts)
@example([[text, "look", text] for text in NASTY])
@settings(max_examples=50, deadline=None)
def test_any_text_of_a_policy_is_played_or_malformed(script):
    class Blunt(ScriptedPolicy):
        def _reply(self, history):
            return Reply(scripted_answer(script, history))

    check(lambda _: Blunt(lambda h: ""), script, RENDERERS["chat"], knows_the_end=False)


OPTIONS = ("search[red]", "click[B0]", "9" * 5000)


@given(nasty)
@example("9" * 5000)
@example("the best is " + "9" * 5000)
@example("COMMAND: " + "1" * 5000)
@settings(deadline=None)
def test_a_critic_ranks_all_actions_whatever_the_model_answers(text):
    history = History("t", "page")
    assert parse_choice(Reply(text), OPTIONS) in (None, 0, 1, 2)
    (ranking,) = ranked(RankingCritic(Dice(lambda h, s: Reply(text))), [(history, OPTIONS)])
    assert len(ranking.scores) == 3 and all(0.0 <= score <= 1.0 for score in ranking.scores)


@given(st.text(st.characters(), max_size=20))
def test_well_formed_replaces_lone_surrogates_only(text):
    made = well_formed(text)
    assert made.encode().decode() == made and well_formed(made) is made
    if not any("\ud800" <= c <= "\udfff" for c in text):
        assert made is text


def test_two_surrogates_of_a_pair_become_their_character():
    assert well_formed("a\ud83d\ude42b\ud83dc\ude42") == "a🙂b\ufffdc\ufffd"


def test_a_record_with_a_lone_surrogate_is_written_with_it_replaced():
    t = Trajectory(history=History("t", "o\ud83d", (Step("o", "look \ud83d", (1,), (-0.5,)),)), reward=1.0)
    lines = LineCodec(Trajectory)
    kept = lines.decode(lines.encode(t, "f:1"), "f:1")
    assert (kept.history.observation, kept.actions, kept.reward) == ("o\ufffd", ("look \ufffd",), 1.0)
    assert kept.history.steps[0].logps == (-0.5,)


def test_a_page_with_a_lone_surrogate_is_rendered():
    renderer = RENDERERS["chat"]
    assert renderer.encode(History("t", "o\ud83d")).tokens == renderer.encode(History("t", "o\ufffd")).tokens
    assert np.asarray(renderer.encode(History("t", "\ud83d<|eot|>")).tokens).ndim == 1
