"""References are stored with the data, read back by the trainer, and checked before training."""

import copy
import math

import msgspec
import pytest
import torch
from helpers.byte_tokenizer import byte_tokenizer
from helpers.dpo_runs import logp, run
from helpers.sft_runs import tiny

from eefcore.errors import DriftError, MaskError
from eefcore.rendering.formats import COMPACT
from eefcore.rendering.renderer import Renderer
from eefcore.training import references
from eefcore.training.rows import IGNORE
from eefcore.types import Example, History, Preference, Trajectory

RENDERER = Renderer(byte_tokenizer(), COMPACT)


def reference(model, **options) -> references.ReferenceModel:
    return references.ReferenceModel(model, RENDERER, batch_tokens=64, bf16=False, **options)


def preference(chosen="buy B2", rejected="buy B1", **rest):
    before = History("t", "a mug").then("search", "B1 B2")
    sides = [Example(Trajectory(history=before.then(a, "end"), reward=0.0), 1) for a in (chosen, rejected)]
    return Preference(chosen=sides[0], rejected=sides[1], margin=1.0, **rest)


def test_references_are_stored_with_the_data_and_read_back():
    model = tiny()
    given = [preference(), preference("leave the shop by its back door"), preference(rejected="wait")]
    heard = []
    kept, refused = references.add_reference_logps(given, reference(model, on_rows=heard.append), context=30)
    assert refused == 1 and sum(heard) == 4
    assert [(p.chosen, p.rejected) for p in kept] == [(given[i].chosen, given[i].rejected) for i in (0, 2)]
    back = [msgspec.json.decode(msgspec.json.encode(p), type=Preference) for p in kept]
    assert back == kept
    for p, pair in zip(kept, references.encode_pairs(back, RENDERER), strict=True):
        assert len(p.chosen_logps) == len("buy B2\n")
        assert len(p.rejected_logps) == sum(row.n_trained for row in pair.rejected)
        assert sum(p.chosen_logps) == pytest.approx(logp(model, *pair.chosen).item(), abs=1e-4)
        assert RENDERER.tokenizer.decode([t for t in pair.rejected[0].labels if t != IGNORE]).startswith(
            p.rejected.trajectory.actions[1]
        )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (preference(), r"\(7, 7\) tokens are trained, \(0, 0\) reference"),
        (preference(chosen_logps=(-1.0,) * 7, rejected_logps=(-1.0,) * 6), r"\(7, 6\) reference"),
    ],
)
def test_a_preference_without_its_references_is_refused(given, message):
    with pytest.raises(MaskError, match=f"t: preference at s_1: .*{message}.*08_preferences"):
        references.encode_pairs([given], RENDERER)


def test_references_are_computed_trained_with_and_checked_end_to_end(tmp_path):
    """The rejected action becomes less likely than the chosen one, and the reference is not the model any more."""
    model, before = tiny(), [preference()]
    kept, _ = references.add_reference_logps(before, reference(model), context=99)
    start = copy.deepcopy(model)
    pairs = references.encode_pairs(kept, RENDERER)
    assert references.show_pair(pairs, RENDERER.tokenizer.decode) == (
        "a mug\n> search\nB1 B2\n> «buy B2\n»\n\nrather than\n\na mug\n> search\nB1 B2\n> «buy B1\n»"
    )
    assert references.check_reference_logps(pairs, reference(model), at_most=1e-5).worst < 1e-5
    with pytest.raises(DriftError, match="differ from the trainer's"):
        references.check_reference_logps(pairs, reference(tiny(1)), at_most=1e-3)
    run(model, pairs, tmp_path, epochs=10, batch_size=1, learning_rate=5e-3)
    with torch.no_grad():
        gaps = [(logp(m, *pairs[0].chosen) - logp(m, *pairs[0].rejected)).item() for m in (start, model)]
    assert gaps[1] > gaps[0] + 1


@pytest.mark.parametrize(
    ("bf16", "apart", "passes"),
    [(False, 5e-5, True), (False, 2e-4, False), (True, 0.03, True), (True, 0.2, False)],
)
def test_the_bound_on_drift_is_what_the_precision_explains(bf16, apart, passes):
    kept = references.add_reference_logps([preference()], reference(tiny()), context=99).preferences
    shifted = [
        msgspec.structs.replace(p, chosen_logps=tuple(x + apart for x in p.chosen_logps)) for p in kept
    ]
    shifted = [
        msgspec.structs.replace(p, rejected_logps=tuple(x + apart for x in p.rejected_logps)) for p in shifted
    ]
    pairs = references.encode_pairs(shifted, RENDERER)
    model = reference(tiny())._replace(bf16=bf16)
    if passes:
        assert references.check_reference_logps(pairs, model).mean == pytest.approx(apart, rel=0.5)
    else:
        with pytest.raises(DriftError, match=r"expected at most (0\.0001|0\.1)"):
            references.check_reference_logps(pairs, model)


def test_a_drift_beyond_rounding_is_said_before_it_is_an_error():
    kept = references.add_reference_logps([preference()], reference(tiny()), context=99).preferences
    (p,) = kept
    moved = msgspec.structs.replace(
        p,
        chosen_logps=tuple(x + 0.06 for x in p.chosen_logps),
        rejected_logps=tuple(x + 0.06 for x in p.rejected_logps),
    )
    model = reference(tiny())._replace(bf16=True)
    with pytest.warns(UserWarning, match="more than rounding explains"):
        references.check_reference_logps(references.encode_pairs([moved], RENDERER), model)


def test_references_of_no_pairs_are_empty():
    assert references.check_reference_logps([], reference(tiny()), at_most=0.0) == ((),)
    assert references.show_pair([], RENDERER.tokenizer.decode).startswith("no pair")
    assert references.add_reference_logps([], reference(tiny()), context=9) == (
        [],
        0,
    )


def aged(preference, age):
    return msgspec.structs.replace(preference, age=age)


def test_the_drift_check_reads_only_pairs_of_the_models_own_round():
    """Likelihoods of an earlier policy may differ; those of the model's own round must not."""
    kept = references.add_reference_logps([preference()], reference(tiny()), context=99).preferences
    later = tiny(1)
    own = references.add_reference_logps(
        [preference("buy B2", "wait")], reference(later), context=99
    ).preferences
    mixed = references.encode_pairs([*own, aged(kept[0], 1)], RENDERER)
    assert [p.age for p in mixed] == [0, 1]
    assert references.check_reference_logps(mixed, reference(later), at_most=1e-4).worst < 1e-4
    with pytest.raises(DriftError, match="differ from the trainer's"):
        references.check_reference_logps(
            references.encode_pairs([*own, *kept], RENDERER), reference(later), at_most=1e-3
        )


def test_only_pairs_of_the_models_own_round_are_scored_again():
    kept = references.add_reference_logps(
        [aged(preference(), 2)], reference(tiny()), context=99, keep_sampled=True
    ).preferences
    assert [p.age for p in kept] == [0]


def test_replayed_pairs_are_left_out_when_the_model_has_moved_too_far():
    """The shift by hand: the stored log-likelihoods are the model's, less 0.5 a token of one pair and 2 of another."""
    model = tiny()
    known = references.add_reference_logps(
        [preference(), preference("wait"), preference(rejected="leave")], reference(model), context=99
    ).preferences

    def moved(p, by):
        sides = {n: tuple(x - by for x in getattr(p, n)) for n in ("chosen_logps", "rejected_logps")}
        return msgspec.structs.replace(p, **sides, age=1)

    buffer = [moved(known[0], 0.5), known[1], moved(known[2], 2.0)]
    n, m = (len(p.chosen_logps) + len(p.rejected_logps) for p in (buffer[0], buffer[2]))
    heard = []
    for at_most, left in ((0.1, [1]), (0.6, [0, 1]), (3.0, [0, 1, 2])):
        kept, stale, shift = references.drop_stale_preferences(
            buffer, reference(model, on_rows=heard.append), at_most=at_most
        )
        assert kept == [buffer[i] for i in left] and stale == 3 - len(left)
        assert shift == pytest.approx((0.5 * n + 2.0 * m) / (n + m), abs=1e-4)
    assert sum(heard) == 3 * 4, "of the model's own round none is scored again"
    none = references.drop_stale_preferences(known, reference(model), at_most=0.0)
    assert none.preferences == known and none.stale == 0 and math.isnan(none.shift)
