"""The tiny model and its tokenizer: any text is encoded, a phrase of every page is one token, the base fits both."""

import json

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from eefcore.envs.webshop.words import asin
from eefcore.experts.webshop.base_skills import base_skill_examples
from eefcore.experts.webshop.view import PHRASES, write_call
from eefcore.policies import BASES, load_policy
from eefcore.policies.tiny import (
    ARCHITECTURES,
    PAD,
    Shape,
    add_phrase_tokens,
    dialogue_texts,
    make_model,
    make_tokenizer,
    start_base,
)
from eefcore.rendering.formats import COMPACT
from eefcore.rendering.renderer import make_renderer
from eefcore.rollout.rollout import Start, rollout
from eefcore.training.rows import make_row
from eefcore.types import History


@pytest.fixture(scope="module")
def skills(mini):
    return list(base_skill_examples(mini, mini.tasks("train"), n=80, seed=0))


@pytest.fixture(scope="module")
def shop_texts(skills):
    return list(dialogue_texts(s.example.trajectory.history for s in skills))


@pytest.fixture(scope="module")
def tokenizer(shop_texts):
    return make_tokenizer(shop_texts, vocabulary=1024, phrases=PHRASES)


@pytest.fixture(scope="module")
def base():
    return AutoTokenizer.from_pretrained(BASES["tiny"])


def ids(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


# The tokenizer ------------------------------------------------------------------------------------------


def test_texts_are_the_pieces_of_the_dialogue_with_their_ends():
    h = History("t", "buy a hat").then("search[x]", "a page")
    assert list(dialogue_texts([h])) == ["buy a hat\n> ", "search[x]" + COMPACT.end, "a page\n> "]
    assert "".join(dialogue_texts([h])) == "buy a hat\n> search[x]\na page\n> "
    assert list(dialogue_texts([])) == []


any_text = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@any_text
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
@pytest.mark.parametrize("which", ["tokenizer", "base"])
def test_any_text_survives_encoding_and_decoding(request, which, text):
    tokenizer = request.getfixturevalue(which)
    assert tokenizer.decode(ids(tokenizer, text)) == text.replace(PAD, "")


def test_dialogues_survive_encoding_and_decoding(tokenizer, base, shop_texts):
    for text in shop_texts:
        assert tokenizer.decode(ids(tokenizer, text)) == text
        assert base.decode(ids(base, text)) == text


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_phrase_of_every_page_is_one_token(tokenizer, base, phrase):
    assert len(ids(tokenizer, phrase)) == len(ids(base, phrase)) == 1


def test_an_id_is_three_words(base):
    """`B0` and the two words of a small shop's ids, met often in training."""
    for i in range(0, 3600, 7):
        assert [base.decode([t]) for t in ids(base, asin(i, 3600))] == [
            "B0",
            asin(i, 3600)[2:6],
            asin(i, 3600)[6:],
        ]


def test_a_vocabulary_has_the_requested_size(tokenizer, shop_texts):
    assert len(tokenizer) <= 1024
    assert len(make_tokenizer(shop_texts, vocabulary=400, phrases=PHRASES)) <= 400
    assert (tokenizer.pad_token, tokenizer.pad_token_id) == (PAD, 0)
    assert tokenizer.bos_token is None and tokenizer.eos_token is None


def test_equal_texts_make_equal_tokenizers(shop_texts, tokenizer):
    again = make_tokenizer(iter(shop_texts), vocabulary=1024, phrases=PHRASES)
    assert json.loads(again._tokenizer.to_str()) == json.loads(tokenizer._tokenizer.to_str())


# The model ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_of_each_architecture_fits_its_tokenizer(tokenizer, architecture):
    model = make_model(tokenizer, Shape(architecture, hidden=32, layers=2, context=64))
    assert model.config.model_type == architecture
    assert model.config.vocab_size >= len(tokenizer) and model.config.vocab_size % 64 == 0
    assert (model.config.hidden_size, model.config.num_hidden_layers) == (32, 2)
    assert model.config.max_position_embeddings == 64
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert model.config.pad_token_id == tokenizer.pad_token_id
    with torch.no_grad():
        logits = model(torch.tensor([ids(tokenizer, "buy a hat")])).logits
    assert logits.shape[-1] == model.config.vocab_size and torch.isfinite(logits).all()


def test_weights_depend_on_the_seed_alone(tokenizer):
    def drawn(seed):
        return make_model(tokenizer, Shape(hidden=16, layers=1, heads=2), seed=seed).state_dict()

    one, same, other = drawn(1), drawn(1), drawn(2)
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert not torch.equal(one["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


def test_the_default_model_has_about_a_million_parameters(base):
    assert 1e6 < make_model(base, Shape()).num_parameters() < 5e6


def test_a_model_that_can_read_learns_new_phrases_as_tokens():
    shop_texts, new, old = ["buy a red hat", "buy a hat"] * 9, "\nTHOUGHT: ", "buy a"
    tokenizer = make_tokenizer(shop_texts, vocabulary=400, phrases=[old])
    model = make_model(tokenizer, Shape(hidden=16, layers=1, heads=2))
    several, hat = ids(tokenizer, new), torch.tensor([ids(tokenizer, "buy a hat")])
    rows = model.get_input_embeddings().weight.detach().clone()
    with torch.no_grad():
        before = model(hat).logits
        model, tokenizer = add_phrase_tokens(model, tokenizer, [old, new, new])
        after = model(hat).logits
    assert len(several) > 1 and [tokenizer.decode(i) for i in ids(tokenizer, new)] == [new]
    (written,) = ids(tokenizer, new)
    assert torch.allclose(model.get_input_embeddings().weight[written], rows[several].mean(0))
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    known = len(tokenizer) - 1
    assert torch.allclose(after[..., :known], before[..., :known], atol=1e-6)
    assert torch.equal(hat, torch.tensor([ids(tokenizer, "buy a hat")]))


def test_a_base_that_goes_on_from_another_reads_a_longer_context():
    """Positions are rotations: a longer context adds no weight."""
    longer = start_base("tiny", [], Shape(context=4096), phrases=["Find a table"], seed=0)
    shorter = start_base("tiny", [], Shape(context=16), phrases=["Find a table"], seed=0)
    assert (longer.model.config.max_position_embeddings, shorter.model.config.max_position_embeddings) == (
        4096,
        2048,
    )
    assert longer.model.num_parameters() == shorter.model.num_parameters()


# The committed bases ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BASES)
def test_the_bases_are_small_and_fit_their_tokenizers(name):
    model, base = (auto.from_pretrained(BASES[name]) for auto in (AutoModelForCausalLM, AutoTokenizer))
    assert sum(p.stat().st_size for p in BASES[name].iterdir()) < 8_000_000
    assert 9e5 < model.num_parameters() < 5e6
    assert model.config.vocab_size >= len(base)
    assert model.config.pad_token_id == base.pad_token_id
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_the_base_has_learned_its_skills(base, mini, skills):
    """Of a trained action each token costs it far less than a guess among the four thousand (8.3) would."""
    model = AutoModelForCausalLM.from_pretrained(BASES["tiny"], dtype=torch.float32)
    written = make_renderer(base, "compact")
    losses = []
    for skill in skills[:24]:
        tokens, labels = make_row(skill.example, written)
        with torch.no_grad():
            out = model(torch.tensor([tokens]), labels=torch.tensor([labels]))
        losses.append(out.loss.item())
    assert sum(losses) / len(losses) < 1


def test_the_base_continues_after_a_refused_click(mini):
    """Having clicked Buy Now where there is none, it does what the page asks for, and does not click it again."""
    policy, again = load_policy("tiny"), write_call("click", "Buy Now")
    env, starts = mini.make(), []
    for task in mini.tasks("train"):
        start = History(task, env.reset(task))
        starts.append(Start(start.then(again, env.step(again).observation)))
    played = rollout(policy, mini.make, starts, max_turns=4)
    assert [t for t in played if again in t.actions[1:]] == []


def test_the_whole_vocabulary_of_the_shops_is_short_in_the_base(base, shop_texts):
    """Dialogues must fit the context of 1024."""
    dialogue = sum(len(ids(base, text)) for text in shop_texts) / 80
    assert dialogue < 400
