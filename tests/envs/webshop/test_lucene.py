"""Words, stems and scores are Lucene's, bit by bit; the golden file was written by Lucene 8.11.0 itself."""

import json
from collections import Counter

import numpy as np
import pytest
from helpers.paths import GOLDEN
from hypothesis import given, settings
from hypothesis import strategies as st

from eefcore.envs.webshop.lucene.indexing import IndexWriter
from eefcore.envs.webshop.lucene.porter import stem
from eefcore.envs.webshop.lucene.search import Index
from eefcore.envs.webshop.lucene.terms import LENGTHS, length_codes, terms
from eefcore.envs.webshop.lucene.wordbreak import LONGEST, words

LUCENE = json.loads((GOLDEN / "lucene_8_11.json").read_text())

WORDS = [
    ("wi-fi 3,000.5mm", ["wi", "fi", "3,000.5mm"]),
    ("women's size:large", ["women's", "size:large"]),
    ("a. b 1. 2", ["a", "b", "1", "2"]),
    ("a.1 1.a 1:2", ["a", "1", "1", "a", "1", "2"]),
    ("_a__b_ __", ["_a__b_"]),
    ("tea™ ★ 5★", ["tea", "™", "★", "5", "★"]),
    ("👍🏽👍", ["👍🏽", "👍"]),
    ("日本 カタカナ", ["日", "本", "カタカナ"]),
    ("caf\u00e9 cafe\u0301", ["caf\u00e9", "cafe\u0301"]),
    ("a\u00adb", ["a\u00adb"]),
]

STEMS = [
    ("caresses", "caress"),
    ("ponies", "poni"),
    ("agreed", "agre"),
    ("hopping", "hop"),
    ("hoping", "hope"),
    ("possibly", "possibl"),
    ("technology", "technolog"),
    ("us", "us"),
    ("yoyo", "yoyo"),
    ("generalizations", "gener"),
]

LENGTH_CODES = [
    (0, 0),
    (1, 1),
    (39, 39),
    (40, 40),
    (41, 40),
    (42, 41),
    (56, 48),
    (59, 48),
    (60, 49),
    (100, 57),
]


@pytest.mark.parametrize(("text", "expected"), WORDS)
def test_texts_are_split_into_words_as_by_lucene(text, expected):
    assert words(text) == expected


@pytest.mark.parametrize(("word", "expected"), STEMS)
def test_stems_equal_those_of_porters_algorithm(word, expected):
    assert stem(word) == expected


def test_search_terms_equal_lucenes():
    assert [[text, terms(text)] for text, _ in LUCENE["terms"]] == LUCENE["terms"]


@pytest.mark.parametrize(("length", "code"), LENGTH_CODES)
def test_document_lengths_are_rounded_to_codes_as_by_lucene(length, code):
    assert length_codes(np.array([length])) == [code]


def test_a_length_code_keeps_four_bits():
    assert (length_codes(LENGTHS) == np.arange(256)).all()
    lengths = np.arange(100_000)
    kept = LENGTHS[length_codes(lengths)]
    assert (kept <= lengths).all() and (lengths - kept <= np.maximum(lengths - 24, 0) // 8).all()


def test_search_scores_equal_lucenes_bit_for_bit(tmp_path):
    ids, index = build(tmp_path, dict(LUCENE["documents"]))
    for query, expected in LUCENE["hits"]:
        hits = index.search(query, 12)
        bits = hits.scores.view(np.int32).tolist()
        assert [[ids[d], b] for d, b in zip(hits.documents, bits, strict=True)] == expected


VOCABULARY = [f"w{i}x" for i in range(8)]
DOCUMENTS = st.lists(
    st.lists(st.sampled_from(VOCABULARY), max_size=12).map(" ".join), min_size=1, max_size=60
)
QUERY = st.lists(st.sampled_from([*VOCABULARY, "absent"]), max_size=10).map(" ".join)


@given(documents=DOCUMENTS, query=QUERY, k=st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_max_score_drops_no_document_of_the_top_k(tmp_path_factory, documents, query, k):
    _, index = build(tmp_path_factory.mktemp("index"), {f"{n:03}": text for n, text in enumerate(documents)})
    hits = index.search(query, k)
    assert (
        list(zip(hits.documents.tolist(), hits.scores.tolist(), strict=True)) == plainly(documents, query)[:k]
    )


def test_max_score_with_many_documents(tmp_path):
    """Postings long enough that documents are looked up in them one by one."""
    rng = np.random.default_rng(0)
    common, rare = [f"c{i}x" for i in range(4)], [f"r{i}x" for i in range(60)]
    documents = [
        " ".join((*rng.choice(common, 3), *rng.choice(rare, rng.integers(0, 3)))) for _ in range(3000)
    ]
    _, index = build(tmp_path, {f"{n:04}": text for n, text in enumerate(documents)})
    for query in ("r0x c0x", "c0x c1x r1x r2x", "c0x", "r3x r3x c2x c3x c3x"):
        hits = index.search(query, 10)
        assert (
            list(zip(hits.documents.tolist(), hits.scores.tolist(), strict=True))
            == plainly(documents, query)[:10]
        )


def test_nothing_is_found_among_empty_documents(tmp_path):
    _, index = build(tmp_path, {"a": "", "b": "the of"})
    assert len(index.search("the tea").documents) == 0


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_text_is_cut_into_parts_of_itself(text):
    at = 0
    for word in words(text):
        assert 0 < len(word) <= LONGEST
        at = text.index(word, at) + len(word)
    terms(text)


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=200))
@settings(max_examples=300, deadline=None)
def test_the_fast_pattern_for_ascii_splits_words_alike(text):
    assert words(text) == [w for w in words(text + " é") if w != "é"]


HOSTILE = [
    "_",
    "a",
    "a'",
    "1.",
    "\u200d",
    "é\u0301",
    "👩\u200d",
    "_é",
    "#\u20e3",
    "🇺",
    "אב'\"",
    "\x00",
    "_\u0301",
    "ing ",
]


@pytest.mark.timeout(30)  # a pattern that tries all ways to split such a word takes hours
@pytest.mark.parametrize("part", HOSTILE)
def test_a_query_of_10000_characters_is_answered(indexed, part):
    indexed.search((part * 10_000)[:9_999] + "a")


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    return build(tmp_path_factory.mktemp("index"), dict(LUCENE["documents"]))[1]


def build(folder, documents):
    """Ids in order, and the index of `documents` (id to text), written in two batches."""
    given_ids = list(documents)
    half = len(given_ids) // 2
    order = sorted(range(len(given_ids)), key=given_ids.__getitem__)
    with IndexWriter(folder) as writer:
        for part in (given_ids[:half], given_ids[half:]):
            if part:
                writer.add([documents[id] for id in part])
        writer.finish(np.array(order))
    return [given_ids[n] for n in order], Index(folder)


def plainly(documents, query):
    """(document, score) by the formula, every document in turn, best first."""
    one, k1, b = np.float32(1), np.float32(0.9), np.float32(0.4)
    counts = [Counter(terms(text)) for text in documents]
    lengths = np.array([c.total() for c in counts])
    filled = np.count_nonzero(lengths)
    mean = np.float32(lengths.sum() / filled) if filled else one
    kept = LENGTHS[length_codes(lengths)].astype(np.float32)
    asked = Counter(terms(query))
    holding = {term: sum(term in count for count in counts) for term in asked}
    scores = []
    for document, (count, length) in enumerate(zip(counts, kept, strict=True)):
        norm, total = one / (k1 * ((one - b) + b * length / mean)), 0.0
        for term in asked.keys() & count.keys():
            n = holding[term]
            weight = np.float32(asked[term]) * np.float32(np.log(1 + (filled - n + 0.5) / (n + 0.5)))
            total += float(weight - weight / (one + np.float32(count[term]) * norm))
        if asked.keys() & count.keys():
            scores.append((document, float(np.float32(total))))
    return sorted(scores, key=lambda s: (-s[1], s[0]))
