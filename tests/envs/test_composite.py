"""Composite actions (Agent Q Appendix A): what the environment executes, what a history keeps, what is trained."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from helpers.byte_tokenizer import CHATML, byte_tokenizer
from helpers.definitions import sequence_logp
from helpers.sft_runs import tiny
from hypothesis import given
from hypothesis import strategies as st

from eefcore import envs
from eefcore.actions import ActionParts, command, commands_only, format_action, thought
from eefcore.envs.composite import CompositeBenchmark
from eefcore.errors import MaskError
from eefcore.experts import collect
from eefcore.experts.demonstrate import demonstrate_tasks
from eefcore.experts.webshop import experts as shop
from eefcore.experts.webshop.composite import CompositeShopper
from eefcore.rendering.formats import COMPOSITE, COMPOSITE_COMPACT, LastPageChatFormat, load_format
from eefcore.rendering.renderer import Renderer
from eefcore.testing import BenchmarkContract, EnvironmentContract
from eefcore.training import dpo, references, rows
from eefcore.training.loop import TrainSettings
from eefcore.training.rows import IGNORE
from eefcore.types import Example, History, Preference, Step, Trajectory

FIRST = format_action(ActionParts("It is there.", "next", "Turned.", "look, buy."))
H = History(
    "t", "page 3", (Step("a hat", FIRST), Step("page 2", format_action(ActionParts("", "buy hat", ""))))
)


def test_a_composite_action_has_a_line_a_part_and_its_command_is_executed():
    assert FIRST == "PLAN: look, buy.\nTHOUGHT: It is there.\nCOMMAND: next\nEXPLANATION: Turned."
    assert (command(FIRST), thought(FIRST)) == ("next", "It is there.")
    assert format_action(ActionParts("", "buy hat", "")) == "COMMAND: buy hat"
    assert commands_only(H).actions == ("next", "buy hat")


@given(st.text())
def test_text_without_a_command_line_is_the_command(said):
    assert command(said) == said or "COMMAND:" in said


def test_a_status_ends_an_action_and_commands_are_read_as_the_papers_figure_writes_them():
    assert format_action(ActionParts("t", "c", "e", status="DONE")).endswith("EXPLANATION: e\nSTATUS: DONE")
    said = "PLAN:\n1. Select the date\nTHOUGHT: I am on the page.\nCOMMANDS: CLICK <select>Date</select>\nSTATUS: CONTINUE"
    assert (command(said), thought(said)) == ("CLICK <select>Date</select>", "I am on the page.")


@pytest.mark.parametrize("name", ["composite", "composite_chat"])
def test_a_plan_is_asked_for_at_the_first_step_only_and_a_status_at_each(name):
    tokenizer = byte_tokenizer(template=CHATML)
    shown = ["".join(piece.text for piece in load_format(name, tokenizer).pieces(h)) for h in (H.at(0), H)]
    assert [text.count("PLAN: the steps") for text in shown] == [1, 0]
    assert [text.count("STATUS: CONTINUE, or DONE") for text in shown] == [1, 1]


def test_experts_write_a_status_where_the_benchmark_asks_for_it():
    plain, status = (
        envs.load(f"webshop_mini+{form}", sizes="4/2/2") for form in ("composite", "composite_status")
    )
    assert (plain.card.name, status.card.name) == ("webshop+composite", "webshop+composite_status")

    def actions(world):
        played = collect.demonstrations(world, ["perfect"], "train", seed=0)
        return [trajectory.history.actions for trajectory in played]

    for without, with_status in zip(actions(plain), actions(status), strict=True):
        ends = ["CONTINUE"] * (len(without) - 1) + ["DONE"]
        assert list(with_status) == [f"{a}\nSTATUS: {end}" for a, end in zip(without, ends, strict=True)]


def test_of_two_commands_the_first_is_executed():
    assert command("COMMAND:  a [b] \nCOMMAND: c") == "a [b]"


class TestEnvironment(EnvironmentContract):
    """A wrapped shop keeps to the contract; its states are those of whole actions."""

    world = property(lambda self: small())
    task = property(lambda self: self.world.tasks("train")[0])
    script = property(lambda self: naive(self.world, self.task))

    def make(self):
        return self.world.make()


@cache
def small() -> CompositeBenchmark:
    return envs.load("webshop_mini+composite", sizes="6/3/3", seed=1)


@cache
def naive(world: CompositeBenchmark, task: str) -> tuple[str, ...]:
    (shown,) = demonstrate_tasks(world, CompositeShopper(shop.make_shopper(world.inner, "naive")), [task])
    return shown.actions


class TestShop(BenchmarkContract):
    def load(self):
        return small()

    def test_its_card_has_another_name_and_its_max_turns_are_known_without_loading(self):
        plain = envs.load("webshop_mini", sizes="6/3/3", seed=1)
        assert (self.load().card.name, self.load().card.facts) == ("webshop+composite", plain.card.facts)
        assert envs.max_turns("webshop_mini+composite", data="", sizes="6/3/3", seed=1) == plain.max_turns

    def test_buying_is_irreversible_whatever_is_thought_of_it(self):
        unsafe = self.load().make().irreversible
        buys = 'click[{"button": "Buy Now"}]'
        assert unsafe(buys) and unsafe(format_action(ActionParts("It fits.", buys, "Bought.")))
        assert not unsafe(format_action(ActionParts(buys, 'click[{"button": "red"}]', "")))

    def test_its_skills_are_counted_in_commands(self):
        turn, think = 'click[{"button": "Next >"}]', 'Think[{"response": "x"}]'
        h = History(
            "t", "o", tuple(Step("o", format_action(ActionParts(turn, a, ""))) for a in (think, turn))
        )
        assert [*self.load().skills["Next"](h)] == [1]


# ------------------------------------------------------------------------------ how it is written and trained

BYTES = byte_tokenizer(CHATML, special=("<|im_start|>", "<|im_end|>"))
PLAIN = Renderer(byte_tokenizer(), COMPOSITE_COMPACT)  # whose ids the tiny model of the training tests has


def test_h_t_is_the_task_the_actions_and_the_present_page():
    assert [p.action for p in COMPOSITE_COMPACT.pieces(H)] == [None, 0, 1, None]
    renderer = Renderer(BYTES, COMPOSITE_COMPACT)
    tokens, spans = renderer.encode(H)
    assert BYTES.decode(tokens) == f"a hat\n\n{FIRST}\n\nCOMMAND: buy hat\n\npage 3\n> "
    assert [BYTES.decode(tokens[a:b]) for a, b in spans] == [FIRST + "\n\n", "COMMAND: buy hat\n\n"]
    assert BYTES.decode(renderer.encode(H.at(0)).tokens) == "a hat\n\n> "


@pytest.mark.parametrize("name", ["composite", "composite_chat"])
def test_a_large_model_is_told_the_same_and_how_to_answer(name):
    written_as = load_format(name, BYTES)
    text = BYTES.decode(Renderer(BYTES, written_as).encode(H).tokens)
    assert text.count("a hat") == text.count(FIRST) == text.count("page 3") == 1 and "page 2" not in text
    assert "COMMAND: one command" in text and '{"product": words}' in text
    if name == "composite_chat":
        assert text.startswith("<|im_start|>user\n") and text.endswith("<|im_start|>assistant\n")


def example(first=0, until=None) -> Example:
    return Example(Trajectory(history=H, reward=1.0), first, until)


def test_each_action_is_a_row_of_its_own_and_only_the_action_is_trained():
    one, other = rows.make_rows(example(), Renderer(BYTES, COMPOSITE_COMPACT))
    assert rows.show_mask(*one, BYTES.decode) == f"a hat\n\n> «{FIRST}\n\n»"
    assert rows.show_mask(*other, BYTES.decode) == f"a hat\n\n{FIRST}\n\npage 2\n> «COMMAND: buy hat\n\n»"
    assert rows.make_rows(example(1), Renderer(BYTES, COMPOSITE_COMPACT)) == [other]
    assert rows.make_rows(example(0, 1), Renderer(BYTES, COMPOSITE_COMPACT)) == [one]
    with pytest.raises(MaskError, match="call make_rows"):
        rows.make_row(example(), Renderer(BYTES, COMPOSITE_COMPACT))


def test_too_long_rows_are_refused_one_by_one():
    renderer = Renderer(BYTES, COMPOSITE_COMPACT)
    one, other = rows.make_rows(example(), renderer)
    assert rows.make_fitting_rows([example()], renderer, context=len(one.tokens)) == ([one], 1)
    assert rows.make_fitting_rows([example()], renderer, context=len(other.tokens)) == ([one, other], 0)


def test_sampled_ids_are_kept_and_checked():
    ids = tuple(BYTES("COMMAND: buy hat\n\n")["input_ids"])
    h = History("t", "bye", (Step("a hat", "COMMAND: buy hat", ids, (-0.5,) * len(ids)),))
    renderer = Renderer(BYTES, COMPOSITE_COMPACT)
    (row,) = rows.make_rows(Example(Trajectory(history=h, reward=1.0)), renderer)
    assert tuple(t for t in row.labels if t != IGNORE) == ids
    wrong = History("t", "bye", (Step("a hat", "COMMAND: buy cap", ids, (-0.5,) * len(ids)),))
    with pytest.raises(MaskError, match="its tokens say 'COMMAND: buy hat'"):
        rows.make_rows(Example(Trajectory(history=wrong, reward=1.0)), renderer)


def test_the_cost_of_an_episode_counts_actions_twice_and_pages_once():
    """By hand, a character a token: o_0 and its mark; a_0, again a_0, o_1; a_1, again a_1, o_2."""
    expected = len("a hat\n\n> ") + 2 * len(FIRST + "\n\n") + len("page 2\n> ")
    expected += 2 * len("COMMAND: buy hat\n\n") + len("page 3\n> ")
    assert Renderer(BYTES, COMPOSITE_COMPACT).length(H) == expected


def test_eq_10_the_likelihood_of_an_action_is_that_of_all_its_parts():
    """log π(a_1|h_1) = log π(plan|h) + log π(thought|h, plan) + log π(command|…) + log π(explanation|…)."""
    model = tiny()
    (row,) = rows.make_rows(example(0, 1), PLAIN)
    with torch.no_grad():
        logits = model(torch.tensor([row.tokens])).logits
    whole = sequence_logp(logits, torch.tensor([row.labels])).item()
    parts, start = [], len(row.tokens) - row.n_trained
    for part in (
        "PLAN: look, buy.\n",
        "THOUGHT: It is there.\n",
        "COMMAND: next\n",
        "EXPLANATION: Turned.\n\n",
    ):
        labels = [IGNORE] * len(row.tokens)
        labels[start : start + len(part)] = row.tokens[start : start + len(part)]
        parts.append(sequence_logp(logits, torch.tensor([labels])).item())
        start += len(part)
    assert start == len(row.tokens) and all(p < 0 for p in parts)
    assert whole == pytest.approx(sum(parts), rel=1e-5)


def test_the_dpo_loss_over_rows_of_actions_matches_a_hand_computation(tmp_path):
    """Two actions against one, a row each: −log σ(β Σ_t log π/π_ref (w) − β Σ_t log π/π_ref (l)) with stored π_ref."""
    model, lost = tiny(), History("t", "bye", (Step("a hat", "COMMAND: nap"),))
    n_chosen, n_rejected = len(FIRST + "\n\nCOMMAND: buy hat\n\n"), len("COMMAND: nap\n\n")
    pair = Preference(
        chosen=example(),
        rejected=Example(Trajectory(history=lost, reward=0.0)),
        margin=1.0,
        chosen_logps=(-5.5,) * n_chosen,
        rejected_logps=(-5.25,) * n_rejected,
    )
    (ids,) = references.encode_pairs([pair], PLAIN)
    assert (len(ids.chosen), len(ids.rejected)) == (2, 1)

    def logp(side):
        with torch.no_grad():
            return sum(
                sequence_logp(model(torch.tensor([r.tokens])).logits, torch.tensor([r.labels])).item()
                for r in side
            )

    chosen = 0.1 * (logp(ids.chosen) + 5.5 * n_chosen)
    rejected = 0.1 * (logp(ids.rejected) + 5.25 * n_rejected)
    settings = TrainSettings(epochs=1, batch_size=1, learning_rate=0.0, seed=0, out=tmp_path)
    trained = dpo.train_dpo(model, [ids], settings, beta=0.1)
    assert trained.curves.loss == [pytest.approx(math.log1p(math.exp(rejected - chosen)), rel=1e-3)]
    assert trained.curves.chosen == [pytest.approx(chosen, rel=1e-3, abs=1e-4)]
    assert trained.curves.rejected == [pytest.approx(rejected, rel=1e-3, abs=1e-4)]
    assert trained.cost.tokens_trained == n_chosen + n_rejected


def test_composite_chat_ends_turns_like_chat_and_does_not_grow():
    assert LastPageChatFormat(BYTES, prompt="Shop.\n").end == load_format("chat", BYTES).end
    assert COMPOSITE.grows is COMPOSITE_COMPACT.grows is False
