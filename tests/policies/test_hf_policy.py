from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from helpers.byte_tokenizer import byte_tokenizer
from helpers.toy_shop import TASKS, ToyShop
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    FalconConfig,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
)

from eefcore.errors import PolicyError
from eefcore.policies import PolicySettings, load_policy
from eefcore.policies.beam import BeamPolicy
from eefcore.policies.hf_engine.kv_cache import BLOCK, KVCache, block_cost
from eefcore.policies.hf_engine.policy import HFPolicy
from eefcore.policies.hf_engine.sampling import sample_tokens
from eefcore.protocols import Sampling
from eefcore.rendering.formats import COMPACT, ChatFormat, TurnFormat
from eefcore.rendering.renderer import Renderer
from eefcore.rollout.rollout import Start, rollout
from eefcore.testing import PolicyContract, answer_all, play_turns
from eefcore.training.rows import IGNORE, make_row, make_rows
from eefcore.types import Example, History, Step, StopReason, Trajectory

# A random model closes an action as seldom as it says anything else, so many tokens close one here.
CLOSERS = tuple((chr(c), "Ċ") for c in range(ord("!"), ord("~") + 1))
TOKENIZER = byte_tokenizer(merges=CLOSERS)
ENDS = [i for i in range(len(TOKENIZER)) if "\n" in TOKENIZER.decode([i])]
SHAPE = {
    "vocab_size": len(TOKENIZER),
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,  # so that what is read matters for what is said
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}
FAMILIES = {
    "llama": LlamaConfig(**SHAPE, num_key_value_heads=4),
    "llama_grouped": LlamaConfig(**SHAPE, num_key_value_heads=2, tie_word_embeddings=True),
    "llama_one_key_head": LlamaConfig(**SHAPE, num_key_value_heads=1),
    "mistral": MistralConfig(**SHAPE, num_key_value_heads=2, sliding_window=None),
    "mistral_wide_window": MistralConfig(**SHAPE, num_key_value_heads=2, sliding_window=256),
    "qwen2": Qwen2Config(**SHAPE, num_key_value_heads=2),
    "qwen3": Qwen3Config(**SHAPE, num_key_value_heads=2, head_dim=16),
    "phi3": Phi3Config(**SHAPE, num_key_value_heads=2),
    "gpt2": GPT2Config(vocab_size=len(TOKENIZER), n_embd=32, n_layer=2, n_head=4, n_positions=256, initializer_range=0.2,
                       bos_token_id=None, eos_token_id=None),
}  # fmt: skip


@cache
def model(family: str = "llama_grouped"):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(FAMILIES[family]).eval()


def policy(family: str = "llama_grouped", *, format=COMPACT, tokenizer=TOKENIZER, **options) -> HFPolicy:
    options = {"slots": 3, "max_new_tokens": 24} | options
    return HFPolicy(model(family), Renderer(tokenizer, format), **options)


def histories(n: int = 7) -> list[History]:
    """Return histories of all lengths, some of which start with an expert's turns."""
    plain = [History(f"t{i}", "find a " + "soft " * (5 * i % 11) + "towel") for i in range(n)]
    return [h.then("next", "page 2").then("back", "page 1") if i % 3 == 2 else h for i, h in enumerate(plain)]


def plain_generate(any_model, prompt: list[int], n: int = 24) -> tuple[int, ...]:
    ids = torch.tensor([prompt])
    everything = torch.ones_like(ids)  # the padding token too, where the policy wrote it
    said = any_model.generate(
        ids, attention_mask=everything, max_new_tokens=n, do_sample=False, eos_token_id=ENDS, pad_token_id=0
    )
    return tuple(said[0, len(prompt) :].tolist())


class TestHFPolicy(PolicyContract):
    histories = histories()

    def make(self):
        return policy()


class TestManySlots(TestHFPolicy):
    histories = histories(2 * BLOCK + 3)

    def make(self):
        return policy("llama", slots=2 * BLOCK + 1)


# The same as reading everything anew.


@pytest.mark.parametrize("family", FAMILIES)
def test_cached_turns_equal_generate_from_scratch(family):
    tested, going = policy(family, slots=4), dict(enumerate(histories()))
    for i, history in going.items():
        tested.ask(i, history, Sampling())
    n_said = 0
    while came := tested.answers():
        for i, reply in came:
            assert reply.tokens == plain_generate(model(family), tested.renderer.encode(going[i]).tokens)
            n_said += reply.stop is None
            # Where nothing was said, the cache must forget what the policy wrote.
            said = (reply.action, reply.tokens) if reply.stop is None else ("next", ())
            going[i] = going[i].then(said[0], "page 3", said[1])
            if len(going[i]) > 4:
                tested.close(i)
            else:
                tested.ask(i, going[i], Sampling())
    assert all(len(history) == 5 for history in going.values()) and n_said >= 4


@pytest.mark.parametrize("temperature", [0.0, 1.0, 0.5])
def test_logps_are_those_of_the_full_softmax_at_temperature_1(temperature):
    tested = policy()
    start = histories(1)[0]
    reply = answer_all(tested, {"e": (start, Sampling(temperature, 11))})["e"]
    prompt = tested.renderer.encode(start).tokens
    with torch.inference_mode():
        logits = model()(torch.tensor([[*prompt, *reply.tokens]])).logits[0]
    expected = logits.log_softmax(-1)[len(prompt) - 1 : -1].gather(1, torch.tensor(reply.tokens)[:, None])[
        :, 0
    ]
    assert reply.logps == pytest.approx(expected.tolist(), abs=1e-4)


CHOICES = ("1", "2", "buy red hat", "buy hat", "12")


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_action_that_has_choices_is_one_of_them_and_its_neighbours_are_free(temperature):
    starts = histories(6)
    free = {i: (h, Sampling(temperature, i)) for i, h in enumerate(starts)}
    held = {i: (h, s._replace(choices=CHOICES)) if i % 2 else (h, s) for i, (h, s) in free.items()}
    alone, replies = answer_all(policy(), free), answer_all(policy(), held)
    for i, reply in replies.items():
        if not i % 2:
            assert reply.tokens == alone[i].tokens
            continue
        assert reply.action in CHOICES and reply.stop is None
        prompt = policy().renderer.encode(starts[i]).tokens
        with torch.inference_mode():
            logps = model()(torch.tensor([[*prompt, *reply.tokens]])).logits[0].log_softmax(-1)
        expected = [logps[len(prompt) - 1 + k, token].item() for k, token in enumerate(reply.tokens)]
        assert reply.logps == pytest.approx(expected, abs=1e-4)  # of the whole softmax


def test_a_greedy_choice_takes_the_likeliest_token_that_goes_on_with_a_choice():
    start, tested = histories(1)[0], policy()
    reply = answer_all(tested, {"e": (start, Sampling(choices=CHOICES))})["e"]
    prompt = tested.renderer.encode(start).tokens
    with torch.inference_mode():
        logits = model()(torch.tensor([prompt])).logits[0, -1]
    firsts = [tested.renderer.action_ids(Step("", text))[0] for text in CHOICES]
    assert reply.tokens[0] == max(firsts, key=lambda token: logits[token].item())


def test_choices_are_drawn_in_proportion_to_the_policy():
    start = histories(1)[0]
    asked = {n: (start, Sampling(1.0, n, ("a", "b"))) for n in range(400)}
    drawn = [reply.action for reply in answer_all(policy(slots=40), asked).values()]
    tested = policy()
    prompt = tested.renderer.encode(start).tokens
    with torch.inference_mode():
        logits = model()(torch.tensor([prompt])).logits[0, -1]
    a, b = (logits[tested.renderer.action_ids(Step("", text))[0]] for text in "ab")
    share = torch.sigmoid(a - b).item()
    assert drawn.count("a") / len(drawn) == pytest.approx(share, abs=0.1)


@pytest.mark.parametrize("slots", [2, 5, 40])
def test_rollouts_do_not_depend_on_how_many_are_played_at_once(slots):
    starts = [
        Start(History(task, ToyShop().reset(task)), Sampling(1.0, 100 * k + i), sample=k)
        for k in range(4)
        for i, task in enumerate(TASKS)
    ]
    rolled = rollout(policy(slots=slots, max_new_tokens=8), ToyShop, starts, max_turns=4)
    assert [t.history.actions for t in rolled] == [
        t.history.actions for t in reference_rollouts(tuple(starts))
    ]
    assert any(len(t) == 4 for t in rolled) and any(t.stop is StopReason.MALFORMED for t in rolled)


@pytest.mark.parametrize("before", [1, 2, 5])
def test_a_batch_is_the_same_to_the_bit_whatever_was_played_before(before):
    """Where an episode sits moves its numbers by a bit, and a resumed batch has none before it in its process."""

    def logps(tested, tasks):
        starts = [Start(History(t, ToyShop().reset(t)), Sampling(1.0, i)) for i, t in enumerate(tasks)]
        return [[s.logps for s in t.history.steps] for t in rollout(tested, ToyShop, starts, max_turns=3)]

    alone, tested = logps(policy("llama", slots=12), [*TASKS] * 6), policy("llama", slots=12)
    assert sum(map(len, alone)) > 9
    logps(tested, TASKS[:before])
    assert logps(tested, [*TASKS] * 6) == alone


@cache
def reference_rollouts(starts):
    return [rollout(policy(slots=1, max_new_tokens=8), ToyShop, [start], max_turns=4)[0] for start in starts]


def test_a_rolled_out_trajectory_trains_on_the_tokens_that_were_sampled():
    tested = policy(max_new_tokens=60)
    starts = [Start(History(t, ToyShop().reset(t)), Sampling(1.0, i)) for i, t in enumerate(TASKS)]
    acted = [tau for tau in rollout(tested, ToyShop, starts, max_turns=3) if len(tau)]
    assert acted
    for tau in acted:
        trained = [t for t in make_row(Example(tau), tested.renderer).labels if t != IGNORE]
        assert trained == [t for step in tau.history.steps for t in step.tokens]


# Slots.


def test_a_turn_reads_only_what_is_new():
    tested = policy(slots=2, max_new_tokens=60)
    ended = play_turns(tested, histories(2), [Sampling(1.0, i) for i in range(2)], turns=4)
    assert [len(h) for h in ended.values()] == [4, 4]
    encoded = [tested.renderer.encode(h.at(len(h) - 1)) for h in ended.values()]
    written = sum(stop - start for e in encoded for start, stop in e.spans)
    # What is left of each last answered history when the policy's own words are taken out.
    assert tested.tokens_read == sum(len(e.tokens) for e in encoded) - written
    assert tested.tokens_written == sum(len(s.tokens) for h in ended.values() for s in h.steps)


def test_an_idle_episode_gives_up_its_slot_and_gets_one_again():
    tested, (a, b, *_) = policy(slots=1), histories()
    first = play_turns(tested, [a], [Sampling()], turns=1)[0]
    tested.ask("a", a, Sampling())
    ((_, reply),) = tested.answers()
    tested.ask("b", b, Sampling())  # "a" is idle, and not closed
    ((episode, _),) = tested.answers()
    assert episode == "b"
    read = tested.tokens_read
    longer = a.then(reply.action, "ok", reply.tokens, reply.logps)
    tested.ask("a", longer, Sampling())
    ((episode, again),) = tested.answers()
    assert episode == "a" and first.steps[0].tokens == reply.tokens
    assert again.tokens == plain_generate(model(), tested.renderer.encode(longer).tokens)
    assert tested.tokens_read - read == len(tested.renderer.encode(longer).tokens)


def test_another_branch_of_an_episode_is_read_from_where_it_differs():
    tested, (a, *_) = policy(slots=1), histories()
    for action in ("next", "nest", "n"):
        branch = a.then(action, "page 2")
        tested.ask("tree", branch, Sampling())
        ((_, reply),) = tested.answers()
        assert reply.tokens == plain_generate(model(), tested.renderer.encode(branch).tokens)
    assert tested.tokens_read < sum(
        len(tested.renderer.encode(a.then(x, "page 2")).tokens) for x in ("next", "nest")
    )
    tested.ask("tree", a, Sampling())  # a step back
    ((_, reply),) = tested.answers()
    assert reply.tokens == plain_generate(model(), tested.renderer.encode(a).tokens)


def test_closing_with_a_question_open_frees_the_slot():
    tested = policy(slots=1)
    for i, history in enumerate(histories(3)):
        tested.ask(i, history, Sampling())
    tested.close(1)  # it waits
    ((first, _),) = tested.answers()
    assert first == 0
    tested.ask(0, histories(1)[0], Sampling(1.0, 5))  # it sits, and has begun
    tested.close(0)
    assert [episode for episode, _ in tested.answers()] == [2]
    assert list(tested.answers()) == []


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(6)), st.lists(st.integers(0, 20), min_size=6, max_size=6))
def test_permuted_slots_keep_their_keys_and_values(order, lengths):
    cache = KVCache(6, 32)
    cache.reserve(32)
    key, value = cache.layer(0, torch.zeros(1, 2, 1, 4), torch.zeros(1, 2, 1, 4))
    key.copy_(torch.randn_like(key))
    value.copy_(torch.randn_like(value))
    before = key.clone(), value.clone()
    cache.permute(np.array(order), np.array(lengths))
    for i, old in enumerate(order):
        assert torch.equal(key[i, :, : lengths[old]], before[0][old, :, : lengths[old]])
        assert torch.equal(value[i, :, : lengths[old]], before[1][old, :, : lengths[old]])


@pytest.mark.parametrize(
    ("lengths", "cost"),
    [
        ([], 0),
        ([5], 5 * BLOCK),
        ([1] * BLOCK, BLOCK),
        ([1] * BLOCK + [7], 8 * BLOCK),
        ([9] * 2 * BLOCK, 18 * BLOCK),
    ],
)
def test_a_block_is_as_wide_as_its_longest(lengths, cost):
    assert block_cost(np.array(lengths, np.int64)) == cost


# Draws.


def test_draws_follow_the_softmax():
    torch.manual_seed(0)
    logits = torch.randn(1, 12)
    n = 20_000
    for temperature in (1.0, 0.5, 2.0):
        u = (np.arange(n) + 0.5) / n  # every quantile once
        drawn = sample_tokens(logits.expand(n, -1), np.full(n, temperature, np.float32), u)
        share = np.bincount(drawn.tokens, minlength=12) / n
        assert share == pytest.approx((logits[0] / temperature).softmax(-1).numpy(), abs=2 / n)
        assert drawn.logps == pytest.approx(logits[0].log_softmax(-1)[drawn.tokens].numpy(), abs=1e-5)


@given(st.floats(0, 1, exclude_max=True), st.floats(0.05, 5), st.integers(0, 2**32))
def test_a_token_without_probability_is_never_drawn(u, temperature, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 9, generator=generator)
    logits[:, [0, 4, 8]] = -torch.inf
    u = np.floor(np.array([u, 1 - 2.0**-32]) * 2**32) / 2**32
    drawn = sample_tokens(logits, np.full(2, temperature, np.float32), u)
    assert np.isfinite(drawn.logps).all()


def test_greedy_and_sampled_rows_share_a_batch():
    torch.manual_seed(0)
    logits = torch.randn(64, 50)
    temperature = np.where(np.arange(64) % 2, 1.0, 0.0).astype(np.float32)
    drawn = sample_tokens(logits, temperature, np.full(64, 0.3))
    assert (drawn.tokens[::2] == logits[::2].argmax(-1).numpy()).all()
    assert (
        drawn.tokens[1::2] == sample_tokens(logits[1::2], temperature[1::2], np.full(32, 0.3)).tokens
    ).all()


def test_nan_logits_are_an_error():
    with pytest.raises(PolicyError, match="not finite"):
        sample_tokens(torch.tensor([[0.0, torch.nan]]), np.zeros(1, np.float32), np.zeros(1))


# Ends.


def model_that_writes(text: str, tokenizer=TOKENIZER, context: int = 256):
    """Return a model that writes `text` at any position: it reads positions only.

    The last layer norm gives 1 at its position and 0 elsewhere, so the logit of what it says is 1, of all else 0.
    """
    said = tokenizer(text)["input_ids"]
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=context, n_layer=1, n_head=1, n_positions=context,
                        bos_token_id=None, eos_token_id=None)  # fmt: skip
    made = AutoModelForCausalLM.from_config(config).eval()
    variance = (1 - 1 / context) / context  # of a one-hot vector
    with torch.no_grad():
        for weights in made.parameters():
            weights.zero_()
        made.transformer.ln_f.weight.fill_((variance + config.layer_norm_epsilon) ** 0.5)
        made.transformer.ln_f.bias.fill_(1 / context)
        made.transformer.wpe.weight.copy_(torch.eye(context))
        head = torch.nn.Linear(context, len(tokenizer), bias=False)
        head.weight.zero_()
        for position in range(context):
            head.weight[said[position % len(said)], position] = 1
    made.lm_head = head
    return made


@pytest.mark.parametrize("text", ["\n", "z\n", "blah ", "buy it\n"])
def test_the_test_model_is_certain_of_its_text(text):
    """Its margin is far above the rounding error of any processor."""
    said = TOKENIZER(text)["input_ids"]
    with torch.inference_mode():
        logits = model_that_writes(text)(torch.arange(64)[None] % len(TOKENIZER)).logits[0]
    expected = torch.zeros(64, len(TOKENIZER))
    expected[range(64), [said[i % len(said)] for i in range(64)]] = 1
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)


def reply_of(made, *, at: int, tokenizer=TOKENIZER, format=COMPACT, **options):
    """The reply of a model that knows positions only, after a prompt of `at` tokens."""
    renderer = Renderer(tokenizer, format)
    tested = HFPolicy(made, renderer, slots=1, **options)
    fixed = len(renderer.encode(History("t", "")).tokens)
    return answer_all(tested, {"e": (History("t", " " * (at - fixed)), Sampling())})["e"]


WORDS = TurnFormat("words", prompt="", first="{}", then="{}", end="</a>")


@pytest.mark.parametrize(
    ("text", "format", "action"),
    [
        ("buy it\n", COMPACT, "buy it"),
        ("buy i{t\n", COMPACT, "buy i{t"),  # "t\n" is one token
        ("a > b </b></a>", WORDS, "a > b </b>"),
        ("é</a>", WORDS, "é"),
    ],
)
def test_an_action_ends_where_its_end_mark_is_complete(text, format, action):
    tokens = TOKENIZER(text)["input_ids"]
    reply = reply_of(model_that_writes(text), at=10 * len(tokens) + 1, format=format)
    assert (reply.action, reply.stop, list(reply.tokens)) == (action, None, tokens)


def test_the_end_of_text_token_of_the_model_ends_an_action():
    tokenizer = byte_tokenizer(merges=CLOSERS, special=("</s>",))
    tokenizer.eos_token = "</s>"
    tokens = tokenizer("buy it</s>")["input_ids"]
    renderer = Renderer(tokenizer, COMPACT)
    reply = reply_of(model_that_writes("buy it</s>", tokenizer), at=6 * len(tokens) + 1, tokenizer=tokenizer)
    assert (reply.action, list(reply.tokens)) == ("buy it", tokens)
    assert renderer.decode_action(reply.tokens) == "buy it"


@pytest.mark.parametrize("mark", ["</s>", "<|end|>", "<|eot|>"])
def test_every_end_token_of_the_generation_config_ends_an_action_and_later_turns_show_the_formats(mark):
    """As a model writes `<|endoftext|>` where its template has `<|im_end|>`."""
    tokenizer = byte_tokenizer(merges=CLOSERS, special=("</s>", "<|end|>", "<|eot|>", "<|other|>"))
    tokenizer.eos_token = "</s>"
    ids = tokenizer.convert_tokens_to_ids
    made = model_that_writes(f"buy it{mark}", tokenizer)
    made.generation_config.eos_token_id = [ids("</s>"), ids("<|end|>"), ids("<|eot|>"), ids("a")]
    tested = HFPolicy(made, Renderer(tokenizer, COMPACT), slots=1)
    history = History("t", " " * (6 * 7 + 1 - len(tested.renderer.encode(History("t", "")).tokens)))
    reply = answer_all(tested, {"e": (history, Sampling())})["e"]
    assert (reply.action, reply.stop, reply.tokens[-1]) == ("buy it", None, ids(mark))
    assert not tested.has_ended(tokenizer("a")["input_ids"]) and not tested.has_ended([ids("<|other|>")])
    later = history.then(reply.action, "page", tokens=reply.tokens)
    read = tested.renderer.encode(later)
    assert tokenizer.decode(read.tokens).endswith(f"> buy it{mark}\npage\n> ")
    assert read.tokens[slice(*read.spans[0])] == list(reply.tokens)
    (trained,) = make_rows(Example(Trajectory(history=later, reward=1.0)), tested.renderer)
    assert tuple(i for i in trained.labels if i != IGNORE) == reply.tokens
    (beamed,) = answer_all(BeamPolicy(tested, beams=2), {"e": (history, Sampling())}).values()
    assert (beamed.action, beamed.tokens) == (reply.action, reply.tokens)


@pytest.mark.parametrize(
    ("text", "options", "stop", "n"),
    [
        ("blah ", {"max_new_tokens": 7}, StopReason.MALFORMED, 7),
        ("blah ", {"max_new_tokens": 999, "context": 64}, StopReason.CONTEXT_LIMIT, 15),
        ("\n", {}, StopReason.MALFORMED, 1),
    ],
)
def test_a_reply_without_an_action_has_a_stop_reason(text, options, stop, n):
    reply = reply_of(model_that_writes(text), at=49, **options)
    assert (reply.action, reply.stop, len(reply.tokens)) == ("", stop, n)
    assert (
        reply.refused_answer == (text * 99)[48 : 48 + n]
    )  # the model knows positions, and the prompt ends at 48


@pytest.mark.parametrize(
    ("length", "stop"), [(63, None), (64, StopReason.CONTEXT_LIMIT), (300, StopReason.CONTEXT_LIMIT)]
)
def test_a_prompt_needs_room_for_one_token(length, stop):
    reply = reply_of(model_that_writes("z\n"), at=length, context=64)
    assert reply.stop is stop and (reply.stop or reply.action == "z")


def test_an_action_ends_with_the_end_mark_of_its_chat_template():
    tokenizer = byte_tokenizer(special=("<|im_start|>", "<|im_end|>"))
    made = model_that_writes("buy it<|im_end|>", tokenizer)
    tested = HFPolicy(made, Renderer(tokenizer, ChatFormat(tokenizer, prompt="")), slots=1)
    fixed = len(tested.renderer.encode(History("t", "")).tokens)
    at = 7 * len(tokenizer("buy it<|im_end|>")["input_ids"]) + 1
    reply = answer_all(tested, {"e": (History("t", " " * (at - fixed)), Sampling())})["e"]
    assert (reply.action, len(reply.tokens)) == ("buy it", 7)


# What can be loaded, and what can't.


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (MistralConfig(**SHAPE, num_key_value_heads=2, sliding_window=64), "MistralAttention.*sliding_window=64 under a context of 256"),
        (Gemma2Config(**SHAPE, num_key_value_heads=2, head_dim=16), "softcap"),
        (FalconConfig(vocab_size=len(TOKENIZER), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                      bos_token_id=None, eos_token_id=None), "FalconForCausalLM"),
        (MambaConfig(vocab_size=len(TOKENIZER), hidden_size=32, num_hidden_layers=2, bos_token_id=None,
                     eos_token_id=None, pad_token_id=None), "MambaForCausalLM"),
    ],
)  # fmt: skip
def test_a_model_that_keeps_more_than_keys_and_values_is_refused(config, message):
    made = AutoModelForCausalLM.from_config(config)
    with pytest.raises(PolicyError, match=message):
        HFPolicy(made, Renderer(TOKENIZER, COMPACT), slots=2, context=256)


class Rounded(torch.nn.Module):
    """A head whose logits are scaled and, at each call, off by other errors of the size `error`."""

    def __init__(self, head, scale: float, error: float) -> None:
        super().__init__()
        self.head, self.scale, self.error = head, scale, error
        self.noise = torch.Generator().manual_seed(0)

    def forward(self, hidden):
        logits = self.head(hidden) * self.scale
        return logits + self.error * torch.randn(logits.shape, generator=self.noise).to(logits.dtype)


@pytest.mark.parametrize(
    ("dtype", "scale", "error", "refused"),
    [
        (torch.float32, 0.0, 1e-6, False),  # logits that are nothing but rounding
        (torch.float32, 0.0, 1e-5, False),
        (torch.float32, 1e-5, 1e-5, False),
        (torch.float32, 0.0, 1e-3, True),  # so much is no rounding
        (torch.float32, 1e-3, 1e-3, True),
        (torch.float32, 1.0, 1e-5, False),
        (torch.float32, 1.0, 1e-2, True),
        (torch.float32, 100.0, 1e-2, False),  # large logits are rounded more
        (torch.bfloat16, 0.0, 1e-3, False),
        (torch.bfloat16, 0.0, 0.1, True),
        (torch.bfloat16, 1.0, 1.0, True),
    ],
)
def test_rounding_errors_do_not_refuse_a_model(dtype, scale, error, refused):
    """Only a difference that changes a probability counts, with small logits and with large."""
    torch.manual_seed(0)
    made = AutoModelForCausalLM.from_config(FAMILIES["llama"]).to(dtype).eval()
    made.lm_head = Rounded(made.lm_head, scale, error)
    if refused:
        with pytest.raises(PolicyError, match="LlamaForCausalLM read in two parts gives logits"):
            HFPolicy(made, Renderer(TOKENIZER, COMPACT), slots=2)
    else:
        assert HFPolicy(made, Renderer(TOKENIZER, COMPACT), slots=2).context == 256


class Shifted(torch.nn.Module):
    """Embeddings that mix in the token before, as RWKV's do: state beside keys and values."""

    def __init__(self, embeddings) -> None:
        super().__init__()
        self.embeddings = embeddings

    def forward(self, tokens):
        embedded = self.embeddings(tokens)
        return embedded + torch.nn.functional.pad(embedded, (0, 0, 1, -1))


@pytest.mark.parametrize("initializer_range", [0.2, 0.02])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_model_that_looks_back_past_its_attention_is_refused(family, initializer_range):
    """However small an untrained model's logits are."""
    torch.manual_seed(0)
    config = type(FAMILIES[family]).from_dict(
        FAMILIES[family].to_dict() | {"initializer_range": initializer_range}
    )
    made = AutoModelForCausalLM.from_config(config).eval()
    assert HFPolicy(made, Renderer(TOKENIZER, COMPACT), slots=2)
    made.set_input_embeddings(Shifted(made.get_input_embeddings()))
    with pytest.raises(PolicyError, match="read in two parts gives logits"):
        HFPolicy(made, Renderer(TOKENIZER, COMPACT), slots=2)


def test_a_sliding_window_as_wide_as_the_context_is_accepted():
    made = AutoModelForCausalLM.from_config(MistralConfig(**SHAPE, num_key_value_heads=2, sliding_window=64))
    assert HFPolicy(made, Renderer(TOKENIZER, COMPACT), context=64).context == 64


def test_a_tokenizer_with_more_words_than_the_model_is_refused():
    made = AutoModelForCausalLM.from_config(LlamaConfig(**SHAPE | {"vocab_size": 100}))
    with pytest.raises(PolicyError, match=f"the tokenizer has {len(TOKENIZER)} tokens, the model 100"):
        HFPolicy(made, Renderer(TOKENIZER, COMPACT))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "random-llama"
    model("llama").save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("spec", ["{}", "hf:{}"])
def test_a_saved_folder_is_loaded(saved, spec):
    loaded = load_policy(spec.format(saved), PolicySettings(slots=4, max_new_tokens=24))
    assert loaded.name == "random-llama" and loaded.context == 256
    greedy = [Sampling()] * 3
    here, there = (
        play_turns(policy("llama"), histories(3), greedy, 2),
        play_turns(loaded, histories(3), greedy, 2),
    )
    assert [h.actions for h in here.values()] == [h.actions for h in there.values()]


@pytest.fixture(scope="module")
def adapter(saved, tmp_path_factory):
    """A LoRA adapter that changes what is said, and the folder it is saved in."""
    folder = tmp_path_factory.mktemp("adapters") / "iteration-1"
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(saved), config).eval()
    adapted.save_pretrained(folder)
    return adapted, folder


def test_an_adapter_is_loaded_and_used_unmerged_as_well(saved, adapter):
    adapted, folder = adapter
    loaded = load_policy(f"hf:{saved}", PolicySettings(max_new_tokens=24), adapter=folder)
    assert loaded.name == "iteration-1"
    unmerged = HFPolicy(adapted, Renderer(TOKENIZER, COMPACT), max_new_tokens=24)
    for start in histories(3):
        prompt = loaded.renderer.encode(start).tokens
        expected = plain_generate(adapted, prompt)
        assert expected != plain_generate(model("llama"), prompt)
        for tested in (loaded, unmerged):
            assert answer_all(tested, {"e": (start, Sampling())})["e"].tokens == expected


def test_a_missing_or_unfitting_adapter_is_named(saved, adapter, tmp_path):
    with pytest.raises(PolicyError, match=r"no model can be read there: expected config\.json"):
        HFPolicy.load(tmp_path)
    other = tmp_path / "other"
    AutoModelForCausalLM.from_config(LlamaConfig(**SHAPE | {"hidden_size": 16})).save_pretrained(other)
    TOKENIZER.save_pretrained(other)
    with pytest.raises(PolicyError, match=r"iteration-1: expected the base .*random-llama.* got .*other"):
        HFPolicy.load(other, adapter=adapter[1])
    with pytest.raises(PolicyError, match="nowhere: no model can be read there: expected a folder"):
        HFPolicy.load(saved, adapter=tmp_path / "nowhere")


def test_the_model_still_trains_and_generates_as_before():
    torch.manual_seed(0)
    made = AutoModelForCausalLM.from_config(FAMILIES["llama"])
    ids, mask = torch.arange(12).reshape(2, 6), torch.tensor([[0, 0, 1, 1, 1, 1], [1] * 6])
    before = made(ids, attention_mask=mask, labels=ids).loss
    HFPolicy(made, Renderer(TOKENIZER, COMPACT))
    after = made(ids, attention_mask=mask, labels=ids).loss
    assert torch.equal(before, after)
    after.backward()
    assert made.model.embed_tokens.weight.grad.abs().sum() > 0
