"""What a plan will take, against numbers worked by hand."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from helpers.paths import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from eefcore.runs import estimate
from eefcore.runs.estimate import EpisodeSize, Memory, Shape, Use, Work, model_shape
from eefcore.runs.plan import Node
from eefcore.runs.planning import plan_run

TINY = Shape(parameters=1000, adapter=10, hidden=8, layers=2, key_values=4, intermediate=16, vocabulary=100)


@pytest.fixture
def nodes(tmp_path, monkeypatch):
    """The stages of a params file with these methods, on the notebooks as they are."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("EEF_TEST_PLACE", str(tmp_path))
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").touch()

    def plan(methods: str, stages: str = "{}") -> list[Node]:
        path = tmp_path / "a.yaml"
        shared = "{sizes: 40/10/20, context: 500, max_new_tokens: 30, slots: 7}"
        path.write_text(f"run: a\nshared: {shared}\nstages: {stages}\nmethods: {methods}", encoding="utf-8")
        return plan_run(path)

    return plan


def by_label(nodes: list[Node]) -> dict[str, Work]:
    return {n.label: estimate.work(n) for n in nodes if estimate.work(n) != Work()}


def test_the_estimate_of_one_method_matches_a_hand_computation(nodes):
    plan = nodes(
        "{EEF: {iterations: 2, explore: {samples: 2, M: 3}}}", "{train: {epochs: 5, batch_size: 16}}"
    )
    works = by_label(plan)
    # 40 tasks twice from their starts, 40 expert trajectories from 3 states each
    explored = works["explore.1"]
    assert explored.simulations == 40 * 2 + 40 * 3
    assert explored.typical == EpisodeSize(200 * 9, 200 * 80, 200 * 160)
    assert explored.most == EpisodeSize(
        200 * 20, 200 * 500, 200 * 500
    )  # 20 turns of 30 tokens are more than the context
    assert [works[f"evaluate.{which}"].evaluated for which in (1, 2, "test")] == [10, 10, 20]
    # cloning: at most every trajectory; then a solution for each task, and one recovery in each trajectory
    assert (works["train.1"].rows, works["train.1"].optimiser_steps) == (40, 3 * 5)
    assert (works["train.2"].rows, works["train.2"].optimiser_steps) == (80, 5 * 5)
    assert works["train.2"].tokens_trained == 80 * 5 * 80
    whole = estimate.total(works.values())
    assert (whole.simulations, whole.evaluated, whole.rows) == (200, 40, 120)
    assert whole.typical == EpisodeSize(240 * 9, 240 * 80, 240 * 160)


@pytest.mark.parametrize(
    ("method", "simulations", "rows"),
    [
        ("explore: {samples: 6, M: 0}", 240, 40 + 240),  # RFT×6 keeps the experts' wins and its own
        ("explore: {samples: 6, M: 0}, select: {keep: one}", 240, 40),
        ("explore: {M: 2}, select: {keep: all}", 40 + 80, 40 + 120),
        ("expert: {tasks: 10}, explore: {M: 2}", 10 + 20, 20),
        ("explore: {M: 2, repeats: 3}", 40 + 240, 80),
        ("expert: {expert: strong+weak}, explore: {M: 1}", 40 + 80, 120),
        ("expert: {expert: strong+weak}, explore: {M: 1, explore_from: weak}", 40 + 40, 80),
        ("expert: {expert: strong + tiny, samples: 3, temperature: 0.5}, explore: {M: 1}", 40 + 160, 200),
        (
            'expert: {file: "${EEF_TEST_PLACE}/a.jsonl + ${EEF_TEST_PLACE}/b.jsonl"}, explore: {M: 1}',
            40 + 80,
            120,
        ),
    ],
)
def test_what_methods_differ_in(nodes, method, simulations, rows):
    works = by_label(nodes(f"{{m: {{iterations: 2, {method}}}}}"))
    assert (works["explore.1"].simulations, works["train.2"].rows) == (simulations, rows)


def test_language_models_play_the_training_tasks_and_the_test_panel_as_experts(nodes):
    gpt = "openai:http://localhost:1/v1#gpt-4"
    given = f"expert: {{expert: '{gpt} + strong', samples: 2, temperature: 0.7, max_new_tokens: 64, context: 4000}}"
    asked = by_label(nodes(f"{{m: {{iterations: 1, {given}}}}}"))["expert"]
    assert asked.demonstrations == 2 * 40 + 20 and asked.simulations == asked.evaluated == 0
    assert asked.typical == EpisodeSize(100 * 9, 100 * 180, 100 * 1060)  # AgentLite's pages
    assert asked.most == EpisodeSize(100 * 20, 100 * 20 * 64, 100 * 4000)
    scripted = by_label(nodes("{m: {iterations: 1, expert: {expert: strong+weak}}}"))
    assert "expert" not in scripted


def test_cloning_one_of_two_experts(nodes):
    both = "expert: {expert: strong+weak}"
    works = by_label(nodes(f"{{m: {{iterations: 1, {both}}}}}"))
    alone = by_label(nodes(f"{{m: {{iterations: 1, {both}, select: {{clone_from: strong}}}}}}"))
    assert (works["train.1"].rows, alone["train.1"].rows) == (80, 40)


def test_a_preference_pair_is_two_rows(nodes):
    works = by_label(nodes("{ETO: {iterations: 2, learn: dpo, dpo: {epochs: 3, batch_size: 16}}}"))
    assert (works["dpo.2"].rows, works["dpo.2"].optimiser_steps) == (80, 9)
    assert works["dpo.2"].tokens_trained == 2 * 40 * 3 * 80


def test_the_estimate_of_no_stages_is_zero():
    assert estimate.total([]) == Work()


# ---------------------------------------------------------------------------------- memory


def test_memory_of_training_all_weights_matches_a_hand_computation():
    found = estimate.training_memory(TINY, tokens=30, lora_r=0, bf16=False)
    layer = 30 * 4 * (6 * 8 + 2 * 4 + 4 * 16)  # 30 tokens, float32, 120 numbers each
    logits = 12 * 30 * 100
    assert found == Memory(
        weights=4000,
        gradients=4000,
        optimiser=8000,
        activations=2 * layer + logits,
        recomputed=2 * 30 * 4 * 8 + layer + logits,
    )
    assert found.total(recompute=False) == 16000 + 28800 + 36000
    assert found.total(recompute=True) == 16000 + 1920 + 14400 + 36000


def test_memory_of_training_an_adapter_matches_a_hand_computation():
    found = estimate.training_memory(TINY, tokens=10, lora_r=5, bf16=True)
    assert found[:3] == (4000 + 4 * 50, 4 * 50, 8 * 50)
    assert found.activations == 2 * (10 * 2 * 120) + 12 * 10 * 100


def test_bfloat16_copies_are_kept_of_what_is_trained():
    found = estimate.training_memory(TINY, tokens=10, lora_r=0, bf16=True)
    assert found.weights == 4000 + 2000


def test_memory_of_playing_matches_a_hand_computation():
    found = estimate.rollout_memory(TINY, slots=7, context=500)
    # keys and values, two bytes each, of 4 numbers in 2 layers
    assert found == Memory(weights=2000, cache=2 * 2 * 7 * 500 * 2 * 4)
    assert found.total(recompute=False) == 2000 + 112_000


def test_the_memory_of_a_plan_names_each_kind_once(nodes):
    plan = nodes(
        "{EEF: {iterations: 2}, ETO: {iterations: 2, learn: dpo, dpo: {batch_tokens: 9000}},"
        " big: {iterations: 2, train: {base: someone/big, lora_r: 8, batch_tokens: 1}}}",
        "{train: {batch_tokens: 2000}}",
    )
    found = estimate.memory(plan, lambda base: TINY if base == "tiny" else None)
    play = "play 7 × 500 tokens"
    assert found == {
        Use("tiny", "train all on 2,000 tokens"): estimate.training_memory(
            TINY, tokens=2000, lora_r=0, bf16=True
        ),
        Use("tiny", play): estimate.rollout_memory(TINY, slots=7, context=500),
        Use("tiny", "train all on 9,000 tokens"): estimate.training_memory(
            TINY, tokens=9000, lora_r=0, bf16=True
        ),
        Use("someone/big", "train rank 8 on 500 tokens"): None,
        Use("someone/big", play): None,
    }


# ---------------------------------------------------------------------------------- shapes


def test_the_papers_models_have_as_many_parameters_as_their_makers_say():
    llama = model_shape("meta-llama/Meta-Llama-3-8B-Instruct")
    assert llama == Shape(8_030_261_248, 2_621_440, 4096, 32, 1024, 14336, 128256)
    # of a layer: q 8192, k and v 5120 each, o 8192, gate, up and down 18432 each
    assert llama.adapter == 32 * (2 * 8192 + 2 * 5120 + 3 * 18432)
    assert model_shape("mistralai/Mistral-7B-v0.3").parameters == 7_248_023_552


def test_the_shape_of_a_base_on_this_machine_is_its_configs():
    from safetensors.torch import load_file

    from eefcore.policies import model_path

    found, weights = model_shape("tiny"), load_file(model_path("tiny") / "model.safetensors")
    assert found.parameters == sum(w.numel() for w in weights.values())
    assert (found.vocabulary, found.hidden) == weights["model.embed_tokens.weight"].shape


@given(
    kind=st.sampled_from(["llama", "mistral", "qwen2", "qwen3", "gpt_neox"]),
    heads=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    sizes=st.tuples(st.sampled_from([8, 12]), st.integers(1, 9), st.integers(1, 2), st.integers(1, 40)),
    head_dim=st.sampled_from([None, 4, 6]),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
@settings(max_examples=25, deadline=None)
def test_a_model_has_the_weights_that_its_config_says(kind, heads, sizes, head_dim, flags):
    """Common architectures are counted; others are built without content. Both agree with the model itself."""
    groups, shared = heads
    hidden, wide, layers, vocabulary = sizes
    config = {
        "model_type": kind, "hidden_size": hidden * groups * shared, "intermediate_size": wide, "num_hidden_layers": layers,
        "num_attention_heads": groups * shared, "num_key_value_heads": shared, "vocab_size": vocabulary, "pad_token_id": None,
        "bos_token_id": None, "eos_token_id": None, "tie_word_embeddings": flags[0], "attention_bias": flags[1], "mlp_bias": flags[2],
    } | ({} if head_dim is None or kind == "gpt_neox" else {"head_dim": head_dim})  # fmt: skip
    with TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config), encoding="utf-8")
        built = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
        if kind == "gpt_neox":
            assert estimate._decoder_shape(config) is None
            return
        found = model_shape(folder)
        assert found == estimate._built_shape(Path(folder))
    assert found is not None and found.parameters == sum(w.numel() for w in built.parameters())


def test_a_base_that_is_not_here_has_no_shape():
    assert model_shape("nobody/nothing") is None


def test_a_critic_that_is_another_model_needs_memory_beside_the_policy(nodes):
    methods = "{{Agent Q: {{iterations: 2, learn: dpo, search: {{critic: {}}}, pairs: {{}}}}}}"

    def searching(critic: str) -> Memory:
        found = estimate.memory(nodes(methods.format(critic)), lambda _: TINY)
        (one,) = [
            memory for use, memory in found.items() if use.what.startswith("play") and "ask" in use.what
        ] or [memory for use, memory in found.items() if use.what.startswith("play")][:1]
        return one

    alone = estimate.rollout_memory(TINY, slots=7, context=500)
    assert searching("self") == searching("none") == alone
    assert searching("tiny") == Memory(2 * alone.weights, cache=2 * alone.cache)


def test_what_a_device_can_not_hold_is_named_with_what_it_takes_at_least():
    kept = Memory(weights=3 * 10**9, activations=9 * 10**9, recomputed=10**9)
    found = {Use("big", "train"): kept, Use("small", "play"): Memory(10**9), Use("unknown", "play"): None}
    assert estimate.misfits(found, 4 * 10**9) == []
    (line,) = estimate.misfits(found, 2 * 10**9)
    assert line.startswith("big: to train takes about 4 GB, this device has 2 GB; choose a smaller base")
