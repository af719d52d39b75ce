"""Chat templates of the families that people use are rendered, masked and ended rightly, or refused with what to set.

What must not change here without a decision:
1. The ids of a dialogue in pieces are those of the text that the template writes as a whole.
2. What is trained of an action is the action and the family's own end mark.
3. h_t is a prefix of h_{t+1}, or the format says that it does not grow.
4. An action that a template can't show costs itself alone.
"""

from __future__ import annotations

from datetime import datetime

import pytest
from helpers.template_families import FAMILIES, byte_level, sentencepiece

from eefcore.errors import FormatError, ParamsError, PolicyError
from eefcore.rendering import prompts
from eefcore.rendering.formats import AGENTLITE, COMPACT, COMPOSITE, ChatFormat, load_format
from eefcore.rendering.renderer import Renderer, make_renderer
from eefcore.training.rows import IGNORE, make_fitting_rows, make_rows
from eefcore.types import Example, History, Step, Trajectory

each = pytest.mark.parametrize("name", FAMILIES)
STEPS = (Step("buy a red shirt", "search[red shirt]"), Step("WEB PAGE: B0ABC", "click[B0ABC]"))
DONE = History("t", "shopping is finished.", STEPS)


def renderer(name: str, format: str = "chat") -> Renderer:
    return make_renderer(FAMILIES[name].load(), format, FAMILIES[name].args)


def messages(history: History) -> list[dict[str, str]]:
    """The dialogue of format chat as a user of the template writes it."""
    start = prompts.SHOP.replace("{{", "{").replace("}}", "}") + "Task:"
    turns = [("user", start + (history.steps[0].observation if history.steps else history.observation))]
    for i, step in enumerate(history.steps):
        after = history.steps[i + 1].observation if i + 1 < len(history) else history.observation
        turns += [("assistant", step.action), ("user", after)]
    return [{"role": role, "content": content} for role, content in turns]


@each
def test_the_ids_are_those_of_the_dialogue_as_the_template_writes_it(name):
    made, family = renderer(name), FAMILIES[name]
    arguments = {"strftime_now": made.format.template.args["strftime_now"]}
    if family.args:
        arguments["enable_thinking"] = family.args.endswith("true")
    for t in range(len(DONE) + 1):
        whole = family.load().apply_chat_template(
            messages(DONE.at(t)), tokenize=False, add_generation_prompt=True, **arguments
        )
        ids = made.tokenizer(whole, add_special_tokens=False)["input_ids"]
        shared = made.tokenizer(whole[: -len(made._shared) or None], add_special_tokens=False)["input_ids"]
        head = [] if ids[:1] == list(made._head) else list(made._head)
        assert made.encode(DONE.at(t)).tokens == [*head, *(shared if made._shared else ids)]


FORMATS = [(name, format) for name in FAMILIES for format in ("chat", "agentgym", "web", "composite_chat")]
FORMATS.remove(("mistral-0.1", "composite_chat"))  # refused, see below


@pytest.mark.parametrize(("name", "format"), FORMATS)
def test_what_is_trained_is_the_actions_with_the_familys_end_mark(name, format):
    made = renderer(name, format)
    assert made.format.end == FAMILIES[name].end
    rows = make_rows(Example(Trajectory(history=DONE, reward=1.0)), made)
    assert len(rows) == (1 if made.format.grows else 2)
    trained = "".join(
        made.tokenizer.decode([i for i in row.labels if i != IGNORE], skip_special_tokens=False)
        for row in rows
    )
    expected = f"search[red shirt]{made.format.end}click[B0ABC]{made.format.end}".replace(" ", "")
    assert trained.replace(" ", "").replace(":", "") == expected  # a sign may be joined to an action
    for row, action in zip(rows, ("search[red shirt]", "click[B0ABC]"), strict=False):
        first = [i for i in row.labels if i != IGNORE]
        assert made.decode_action(first) == action


@each
def test_what_was_read_is_read_again_only_where_the_format_says_so(name):
    made = renderer(name)
    assert made.format.grows is FAMILIES[name].grows
    now, later = made.encode(DONE.at(1)).tokens, made.encode(DONE).tokens
    assert (later[: len(now)] == now) is made.format.grows
    assert made.length(DONE) >= len(later)


ACTIONS = {
    "a thought and an action": "Thought: I look\n\nAction: search[x]",
    "a blank at the end": "search[red shirt] ",
    "a newline before": "\nsearch[red shirt]",
    "signs of several bytes": "search[🧴 crème]",
    "a thought in marks": "<think>\nred\n</think>\n\nsearch[x]",
    "the end mark": "search[<|im_end|></s><end_of_turn><|eot_id|><|end|> x]",
    "half an emoji": "search[\ud83d red]",
    "nothing": "",
    "blanks": " \n",
}


@each
@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS.keys())
@pytest.mark.filterwarnings("ignore:.* of 3 examples")
def test_any_action_is_trained_as_it_reads_or_costs_its_own_example(name, action):
    made = renderer(name)
    bad = Example(Trajectory(history=History("t", "o", (Step("buy", action),)), reward=1.0))
    good = Example(Trajectory(history=DONE, reward=1.0))
    rows, refused = make_fitting_rows([good, bad, good], made, context=9999)
    alone = len(make_rows(good, made))
    assert len(rows) + refused == 2 * alone + 1
    if not refused:
        trained = [i for i in rows[alone].labels if i != IGNORE]
        assert made.decode_action(trained) == made.format.action_text(action).replace("\ud83d", "�")
    assert refused or action.strip()


def test_a_date_in_a_prompt_is_the_same_on_every_day(monkeypatch):
    first = renderer("llama-3").encode(DONE)
    text = renderer("llama-3").tokenizer.decode(first.tokens)
    assert "Today is 26 Jul 2024." in text and str(datetime.now().year) not in text
    given = make_renderer(FAMILIES["llama-3"].load(), "chat", "date_string: 1 Jan 2030")
    assert "Today is 1 Jan 2030." in given.tokenizer.decode(given.encode(DONE).tokens)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (None, r"lets the model think .* set template_args: {enable_thinking: false}"),
        ("enable_thinkin: false", "reads no argument 'enable_thinkin'; correct template_args"),
    ],
)
def test_thinking_is_decided_by_a_parameter(args, message):
    with pytest.raises(PolicyError, match=message):
        make_renderer(FAMILIES["qwen3"].load(), "chat", args)
    braces = make_renderer(FAMILIES["qwen3"].load(), "chat", "{enable_thinking: false}")
    assert braces.encode(DONE) == renderer("qwen3").encode(DONE)


@pytest.mark.parametrize("text", ["[1, 2]", "no mapping", "{a: ", "1: 2", ""])
def test_arguments_that_can_not_be_read(text):
    with pytest.raises(ParamsError, match="template_args"):
        load_format("chat", FAMILIES["qwen3"].load(), text)


def test_arguments_for_a_format_without_a_template():
    with pytest.raises(PolicyError, match="this format has none; leave them out"):
        load_format("agentlite", None, "enable_thinking: false")


NO_END = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
NO_TURNS = "{{ raise_exception('system only') }}"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "is missing: the tokenizer was saved without one; use format: agentlite"),
        (NO_END, r"writes no mark after the assistant's words, .*; use format: agentlite"),
        (NO_TURNS, r"refuses a dialogue of user and assistant \(system only\)"),
    ],
)
def test_a_template_that_can_not_be_used_is_refused_with_the_reason(template, message):
    tokenizer = byte_level(("<|x|>",), eos="</s>")
    tokenizer.chat_template = template
    with pytest.raises(PolicyError, match=message):
        ChatFormat(tokenizer, prompt="Shop.")


# Formats of text: where a tokenizer joins a prompt with an action.

OLDER, NEWER = byte_level(("<|a|>",), eos="</s>"), byte_level(("<|b|>",), eos="</s>", newer=True)
TEXTS = {
    "a sign and the letters after it": (NEWER, AGENTLITE, ":"),
    "a blank and the letters after it": (OLDER, COMPACT, " "),
    "the same, as sentencepiece writes it": (sentencepiece(("<x>",)), COMPACT, " "),
    "nothing": (OLDER, AGENTLITE, ""),
    "no blank before a piece": (sentencepiece(("<x>",)), AGENTLITE, ""),
}


@pytest.mark.parametrize(("tokenizer", "format", "shared"), TEXTS.values(), ids=TEXTS.keys())
def test_what_a_tokenizer_joins_with_an_action_is_written_by_the_policy(tokenizer, format, shared):
    made = Renderer(tokenizer, format)
    text = "".join(p.text + format.end * (p.action is not None) for p in format.pieces(DONE))
    read = text.removesuffix(shared) if shared else text
    whole = tokenizer(read, add_special_tokens=False)["input_ids"]
    assert made.encode(DONE).tokens == [*made._head, *whole]
    ids = made.action_ids(STEPS[0])
    assert tokenizer.decode(ids).strip(" ") == f"{shared}search[red shirt]\n".strip(" ")
    assert made.decode_action(ids) == "search[red shirt]"
    assert made.encode(DONE.at(0)).tokens == made.encode(DONE).tokens[: len(made.encode(DONE.at(0)).tokens)]


def test_pieces_that_no_border_makes_equal_are_refused_at_the_start():
    with pytest.raises(
        PolicyError, match=r"format composite .* joins '\\n\\n' with what follows it.*use format: agentlite"
    ):
        Renderer(byte_level(("<|c|>",), eos="</s>", newer=True), COMPOSITE)
    family = FAMILIES["mistral-0.1"]
    with pytest.raises(
        PolicyError, match=r"expected the ids of a dialogue in pieces .* in pieces and .* in the whole"
    ):
        make_renderer(family.load(), "composite_chat")


def test_an_action_that_a_tokenizer_joins_with_the_prompt_is_its_own_fault():
    made = renderer("qwen2.5")
    with pytest.raises(
        FormatError, match=r"the tokenizer joins '.*assistant\\n' with what follows it, '\\nsearch"
    ):
        made.encode(History("t", "o", (Step("buy", "\nsearch[x]"),)))
    made.encode(DONE)
