"""m_l is 1 on the actions from the important state on, and nowhere else, in every format.

What must not change here without a decision:
1. a_0 … a_{first-1} are read and never trained; every later action is trained, its end mark included.
2. Sampled ids are used as they were sampled.
3. What a policy read at h_t is the beginning of what it reads at h_{t+1}.
4. A row that would train nothing, or words that are not the action's, is an error.
5. A row that is too long is refused and counted, never cut.
"""

import pytest
import torch
from helpers.byte_tokenizer import CHATML, byte_tokenizer, sentencepiece_tokenizer
from helpers.definitions import sft_loss
from hypothesis import given, settings
from hypothesis import strategies as st

from eefcore.errors import FormatError, MaskError, PolicyError
from eefcore.rendering import prompts
from eefcore.rendering.formats import AGENTLITE, COMPACT, ChatFormat, TurnFormat, add_phrase, load_format
from eefcore.rendering.renderer import Renderer
from eefcore.training.rows import IGNORE, make_fitting_rows, make_row, rows_within, show_mask
from eefcore.types import Example, History, Step, Trajectory

PLAIN = TurnFormat("plain", prompt="", first="{}|", then="{}|", end=".")
SPECIAL = ("<|im_start|>", "<|im_end|>", "<|bos|>", "<|eot|>")
WITH_BOS = (
    "{% for m in messages %}{{ '<|bos|>' if loop.first }}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|eot|>"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DROPS_THOUGHTS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ m.content if loop.last else m.content.split('</think>')[-1] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
OPENS_A_THOUGHT = CHATML.replace(
    "<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n<think>\n{% endif %}"
)


def history(
    *turns: tuple[str, str], last: str = "o", sampled: dict[int, tuple[int, ...]] | None = None
) -> History:
    steps = tuple(Step(o, a, (sampled or {}).get(i, ())) for i, (o, a) in enumerate(turns))
    return History("t", last, steps)


def example(h: History, first: int = 0, until: int | None = None, phrase: str = "") -> Example:
    return Example(Trajectory(history=h, reward=1.0), first, until, phrase)


def renderers() -> dict[str, Renderer]:
    chatml, bos = byte_tokenizer(special=SPECIAL), byte_tokenizer(WITH_BOS, special=SPECIAL)
    merging = byte_tokenizer(merges=((".", "Ċ"), ("]", "Ċ"), ("a", ".Ċ"), (">", "Ġ")))
    pieces = sentencepiece_tokenizer()
    return {
        "agentlite": Renderer(chatml, AGENTLITE),
        "compact": Renderer(chatml, COMPACT),
        "compact-merging": Renderer(merging, COMPACT),
        "compact-sentencepiece": Renderer(pieces, COMPACT),
        "agentlite-sentencepiece": Renderer(pieces, AGENTLITE),
        "chat": Renderer(chatml, ChatFormat(chatml, prompt="Shop.\n")),
        "chat-bos": Renderer(bos, ChatFormat(bos, prompt="Shop.\n")),
        "chat-sentencepiece": Renderer(pieces, ChatFormat(pieces, prompt="Shop.\n")),
        "agentgym": Renderer(chatml, ChatFormat(chatml, prompt="Rules.", agreed="OK.", name="agentgym")),
    }


RENDERERS = renderers()
words = st.text(st.characters(codec="utf-8", exclude_characters="\n\r|"), min_size=1, max_size=12).map(
    str.strip
)
turn = st.tuples(words.filter(bool), words.filter(bool))
turns = st.lists(turn, min_size=1, max_size=4)
every_renderer = pytest.mark.parametrize("renderer", RENDERERS.values(), ids=RENDERERS.keys())


# ---------------------------------------------------------------- the mask, to be read


@pytest.mark.parametrize(
    ("first", "shown"),
    [
        (0, "o0|«a0.»o1|«a1.»o2|«a2.»"),
        (1, "o0|a0.o1|«a1.»o2|«a2.»"),
        (2, "o0|a0.o1|a1.o2|«a2.»"),
    ],
)
def test_the_mask_starts_at_the_important_state(first, shown):
    renderer = Renderer(byte_tokenizer(), PLAIN)
    h = history(("o0", "a0"), ("o1", "a1"), ("o2", "a2"), last="o3")
    assert show_mask(*make_row(example(h, first), renderer), renderer.tokenizer.decode) == shown


@pytest.mark.parametrize(
    ("first", "until", "shown"),
    [
        (0, 1, "o0|«a0.»"),
        (0, 2, "o0|«a0.»o1|«a1.»"),
        (1, 2, "o0|a0.o1|«a1.»"),
        (1, 3, "o0|a0.o1|«a1.»o2|«a2.»"),
    ],
)
def test_a_row_ends_after_the_last_trained_action(first, until, shown):
    renderer = Renderer(byte_tokenizer(), PLAIN)
    h = history(("o0", "a0"), ("o1", "a1"), ("o2", "a2"), last="o3")
    assert show_mask(*make_row(example(h, first, until), renderer), renderer.tokenizer.decode) == shown


def test_a_phrase_stands_after_the_task_and_is_not_trained():
    renderer = Renderer(byte_tokenizer(), PLAIN)
    h = history(("o0", "a0"), ("o1", "a1"))
    labelled = make_row(example(h, 1, phrase="Good:"), renderer)
    assert show_mask(*labelled, renderer.tokenizer.decode) == "o0\nGood:|a0.o1|«a1.»"
    assert add_phrase(h, "") is h


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("compact", "Köln?\n> buy it\nno\n> «think[…]\n»"),
        ("compact-merging", "Köln?\n> buy it\nno\n> «think[…]\n»"),
        ("chat", "<|im_start|>user\nShop.\nKöln?<|im_end|>\n<|im_start|>assistant\nbuy it<|im_end|>\n"
                 "<|im_start|>user\nno<|im_end|>\n<|im_start|>assistant\n«think[…]<|im_end|>»"),
        ("chat-bos", "<|bos|><|im_start|>user\nShop.\nKöln?<|eot|><|im_start|>assistant\nbuy it<|eot|>"
                     "<|im_start|>user\nno<|eot|><|im_start|>assistant\n«think[…]<|eot|>»"),
        ("agentgym", "<|im_start|>user\nRules.<|im_end|>\n<|im_start|>assistant\nOK.<|im_end|>\n"
                     "<|im_start|>user\nKöln?<|im_end|>\n<|im_start|>assistant\nbuy it<|im_end|>\n"
                     "<|im_start|>user\nno<|im_end|>\n<|im_start|>assistant\n«think[…]<|im_end|>»"),
    ],
)  # fmt: skip
def test_dialogues_in_each_format_equal_the_golden_texts(name, shown):
    renderer = RENDERERS[name]
    h = history(("Köln?", "buy it"), ("no", "think[…]"))
    assert show_mask(*make_row(example(h, 1), renderer), renderer.tokenizer.decode) == shown


def test_the_agentlite_dialogue_is_that_of_the_papers():
    tokens, _ = RENDERERS["agentlite"].encode(history(("a mug", 'Think[{"response": "ok"}]'), last="OK"))
    text = RENDERERS["agentlite"].tokenizer.decode(tokens)
    assert text.endswith('\nTask:a mug\nAction:Think[{"response": "ok"}]\nObservation: OK\nAction:')
    assert 'click[{"button": name}]' in text


def test_the_agentgym_prompt_asks_for_a_thought_and_an_action_without_teleport():
    tokenizer = byte_tokenizer(special=SPECIAL)
    spoken = Renderer(tokenizer, load_format("agentgym", tokenizer))
    text = tokenizer.decode(
        spoken.encode(history(("boil water", "Thought:\nSo.\n\nAction:\nlook around")))[0]
    )
    assert "Thought: your thoughts.\nAction: your next action<|im_end|>" in text
    assert f"assistant\n{prompts.AGREED}<|im_end|>\n<|im_start|>user\nboil water<|im_end|>" in text
    assert "focus on OBJ" in text and "teleport" not in text


def test_show_mask_without_and_with_all_actions_trained():
    decode = byte_tokenizer().decode
    tokens = byte_tokenizer()("ab")["input_ids"]
    assert show_mask(tokens, [IGNORE, IGNORE], decode) == "ab"
    assert show_mask(tokens, tokens, decode) == "«ab»"


# ---------------------------------------------------------------- what holds for any dialogue


@every_renderer
@given(turns, words)
@settings(max_examples=25, deadline=None)
def test_the_ids_of_a_history_are_a_prefix_of_the_next(renderer, turns, last):
    """h_t is a prefix of h_{t+1}, in ids, and the ids in between are a_t and what answered it."""
    h = history(*turns, last=last)
    before = renderer.encode(h.at(0))
    for t in range(1, len(h) + 1):
        after = renderer.encode(h.at(t))
        assert after.tokens[: len(before.tokens)] == before.tokens
        assert after.spans[:-1] == before.spans
        assert after.spans[-1][0] == len(before.tokens)
        before = after


@every_renderer
@given(turns, st.data())
@settings(max_examples=25, deadline=None)
def test_trained_tokens_are_the_spans_and_decode_to_the_actions(renderer, turns, data):
    h = history(*turns)
    first = data.draw(st.integers(0, len(h) - 1))
    tokens, labels = make_row(example(h, first), renderer)
    spans = renderer.encode(h).spans[first:]
    assert sum(label != IGNORE for label in labels) == sum(stop - start for start, stop in spans)
    assert [renderer.decode_action(labels[start:stop]) for start, stop in spans] == list(h.actions[first:])
    assert all(label in (IGNORE, token) for token, label in zip(tokens, labels, strict=True))
    assert labels[0] == IGNORE and labels[-1] != IGNORE


@every_renderer
@given(turns, words, st.data())
@settings(max_examples=25, deadline=None)
def test_a_row_that_ends_early_is_a_prefix_of_the_whole_row(renderer, turns, phrase, data):
    h = history(*turns)
    until = data.draw(st.integers(1, len(h)))
    first = data.draw(st.integers(0, until - 1))
    part, whole = (make_row(example(h, first, end, phrase), renderer) for end in (until, None))
    assert [whole.tokens[: len(part.tokens)], whole.labels[: len(part.labels)]] == list(part)
    assert len(part.tokens) == renderer.encode(add_phrase(h, phrase)).spans[until - 1][1]


@every_renderer
@given(turns, words, words, st.integers(0, 4))
@settings(max_examples=25, deadline=None)
def test_a_conditioned_history_is_a_prefix_of_its_training_row(renderer, turns, last, phrase, t):
    """A policy that acts on `conditioned` histories reads its training rows' beginnings."""
    h = history(*turns, last=last)
    t = min(t, len(h) - 1)
    read = renderer.encode(add_phrase(h.at(t), phrase)).tokens
    assert make_row(example(h, t, phrase=phrase), renderer).tokens[: len(read)] == read


@every_renderer
@given(turns, st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_rows_with_another_first_action_have_another_loss(renderer, turns, seed):
    h = history(*turns, ("o", "a"))
    vocabulary = len(renderer.tokenizer)
    tokens, spans = make_row(example(h), renderer).tokens, renderer.encode(h).spans
    logits = torch.randn(1, len(tokens), vocabulary, generator=torch.Generator().manual_seed(seed))
    losses = [
        sft_loss(logits, torch.tensor([make_row(example(h, first), renderer).labels]), 1).item()
        for first in range(len(h))
    ]
    logps = logits[0].log_softmax(-1)
    each = [-sum(logps[i - 1, tokens[i]].item() for i in range(*span)) for span in spans]
    assert losses == pytest.approx([sum(each[first:]) for first in range(len(h))], rel=1e-4)


@every_renderer
def test_a_row_has_at_most_one_beginning_mark(renderer):
    tokens, _ = renderer.encode(history(("o0", "a0"), ("o1", "a1")))
    begin = renderer.tokenizer.convert_tokens_to_ids(["<s>", "<|bos|>"])
    marks = [t for t in begin if t is not None and t in tokens and t != renderer.tokenizer.unk_token_id]
    assert all(tokens.count(t) == 1 and tokens[0] == t for t in marks)
    assert (marks != []) == (renderer in (RENDERERS["chat-bos"],) or renderer.tokenizer.bos_token == "<s>")


# ---------------------------------------------------------------- sampled ids


def test_sampled_ids_are_used_as_they_were_sampled():
    """`a.` and the end sampled as three tokens, where encoding would give one; nothing is encoded again."""
    renderer = RENDERERS["compact-merging"]
    ids = renderer.tokenizer.convert_tokens_to_ids
    sampled, encoded = (ids("a"), ids("."), ids("Ċ")), renderer.ids("a.\n")
    assert len(encoded) == 1
    h = history(("o0", "a."), ("o1", "a."), sampled={0: sampled})
    tokens, spans = renderer.encode(h)
    assert tuple(tokens[slice(*spans[0])]) == sampled
    assert tuple(tokens[slice(*spans[1])]) == encoded
    labels = make_row(example(h), renderer).labels
    assert tuple(label for label in labels if label != IGNORE) == (*sampled, *encoded)


def test_ids_sampled_after_the_end_mark_are_kept():
    """A token may hold the end mark and more; it was sampled, so it is trained, and the action is what is before."""
    tokenizer = byte_tokenizer(merges=(("Ċ", "Ċ"),))
    renderer = Renderer(tokenizer, COMPACT)
    sampled = tuple(tokenizer.convert_tokens_to_ids(["b", "ĊĊ"]))
    labels = make_row(example(history(("o", "b"), sampled={0: sampled})), renderer).labels
    assert tuple(label for label in labels if label != IGNORE) == sampled


@pytest.mark.parametrize("first", [0, 1])
def test_ids_of_another_tokenizer_are_refused(first):
    """Also in turns that are not trained: a cache made of them would be of other words."""
    renderer = RENDERERS["compact"]
    ids = renderer.ids("click[B2]\n")
    h = history(("o0", "click[B1]"), ("o1", "buy"), sampled={0: ids})
    with pytest.raises(
        MaskError, match=r"a_0 is 'click\[B1\]' but its tokens say 'click\[B2\]'; were they sampled"
    ):
        make_row(example(h, first), renderer)


@every_renderer
def test_an_experts_ids_are_kept_by_its_own_tokenizer_and_encoded_again_by_others(renderer):
    """One sampled token a byte, where `merging` would encode one token; other tokenizers and ends read the text alone."""
    expert = RENDERERS["compact-merging"]
    sampled = tuple(expert.tokenizer.convert_tokens_to_ids(["a", ".", "Ċ"]))
    step = Step("o", "a.", sampled, tokenizer=expert.fingerprint)
    tokens, spans = renderer.encode(History("t", "o", (step,)))
    ids = tuple(tokens[slice(*spans[0])])
    assert (ids == sampled) == (renderer is expert)
    assert renderer.decode_action(ids) == "a." == renderer.action_text(step)
    if renderer is not expert:
        assert ids == renderer.action_ids(Step("o", "a."))
    assert make_row(example(History("t", "o", (step,))), renderer).n_trained == len(ids)


def test_the_fingerprint_names_the_vocabulary_and_the_end_of_an_action():
    again, other = byte_tokenizer(special=SPECIAL), byte_tokenizer(special=("<|im_start|>",))
    prints = [
        Renderer(again, AGENTLITE).fingerprint,
        Renderer(other, AGENTLITE).fingerprint,
        RENDERERS["chat"].fingerprint,
    ]
    assert prints[0] == RENDERERS["agentlite"].fingerprint
    assert len(set(prints)) == 3


# ---------------------------------------------------------------- what is refused


def test_an_action_that_contains_the_end_mark_is_refused():
    h = history(("o0", "Thought: x\nAction: buy"))
    with pytest.raises(
        FormatError, match=r"format compact .* holds '\\n', which ends actions; use format: chat"
    ):
        make_row(example(h), RENDERERS["compact"])
    labels = make_row(example(h), RENDERERS["chat"]).labels
    assert RENDERERS["chat"].decode_action([t for t in labels if t != IGNORE]) == "Thought: x\nAction: buy"


class Forgetful:
    """A tokenizer that has no token for `a` and the end mark, and drops them."""

    bos_token_id = eos_token = None

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [ord(c) for c in text if c not in "a."]}

    def decode(self, ids: list[int], skip_special_tokens: bool = False) -> str:
        return "".join(map(chr, ids))


def test_a_row_that_would_train_nothing_is_refused():
    with pytest.raises(FormatError, match="a_0 is 'a' but its tokens say ''"):
        make_row(example(history(("o", "a"))), Renderer(Forgetful(), PLAIN))


def test_long_rows_are_refused_and_counted():
    renderer = Renderer(byte_tokenizer(), PLAIN)
    examples = [example(history(("o", "a" * n))) for n in (1, 5, 9)]
    lengths = [len(make_row(e, renderer).tokens) for e in examples]
    assert lengths == [4, 8, 12]
    rows, refused = make_fitting_rows(examples, renderer, context=8)
    assert ([len(r.tokens) for r in rows], refused) == ([4, 8], 1)


def test_a_context_that_refuses_every_row_is_an_error_with_the_lengths():
    renderer = Renderer(byte_tokenizer(), PLAIN)
    examples = [example(history(("o", "a" * n))) for n in (5, 9)]
    with pytest.raises(
        MaskError,
        match=r"context 7: refuses every one of 2 rows, .* shortest has 8 tokens and the longest 12",
    ):
        make_fitting_rows(examples, renderer, context=7)


def test_an_iteration_in_which_nothing_won_says_so_and_what_to_do():
    with pytest.raises(MaskError, match=r"got none: no simulation of a training task won; explore with more"):
        make_fitting_rows([], Renderer(byte_tokenizer(), PLAIN), context=8)


@pytest.mark.parametrize("action", ["", " ", "a.b"])
def test_an_action_that_can_not_be_written_costs_its_own_example(action):
    renderer = Renderer(byte_tokenizer(), PLAIN)
    bad, good = example(history(("o", "a"), ("o", action))), example(history(("o", "a")))
    with pytest.warns(
        UserWarning, match=r"1 of 3 examples can't be written: format plain .*; they are left out"
    ):
        rows, refused = make_fitting_rows([good, bad, good], renderer, context=99)
    assert (rows, refused) == ([make_row(good, renderer)] * 2, 1)
    assert rows_within(bad, renderer, 99) is None and rows_within(good, renderer, 99) == rows[:1]
    assert rows_within(good, renderer, 3) is None
    with pytest.raises(MaskError, match="2 of 2 examples can't be written"):
        make_fitting_rows([bad, bad], renderer, context=99)


def test_a_template_that_rewrites_earlier_turns_is_refused():
    tokenizer = byte_tokenizer(DROPS_THOUGHTS, special=SPECIAL)
    renderer = Renderer(tokenizer, ChatFormat(tokenizer, prompt=""))
    make_row(example(history(("o0", "buy"))), renderer)
    with pytest.raises(PolicyError, match=r"rewrites turn 0 once turn 1 is there.*use format: agentlite"):
        make_row(example(history(("o0", "<think>red?</think>buy"), ("o1", "buy"))), renderer)


def test_a_template_that_opens_a_thought_for_the_assistant_is_refused():
    tokenizer = byte_tokenizer(OPENS_A_THOUGHT, special=SPECIAL)
    with pytest.raises(PolicyError, match="where the assistant's words were expected; set template_args"):
        ChatFormat(tokenizer, prompt="")


def test_an_unknown_format_is_refused():
    with pytest.raises(
        PolicyError, match=r"no format 'json'; choose one of agentlite, compact, .*my_module:format"
    ):
        load_format("json")
