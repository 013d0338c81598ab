"""Near duplicates: nearly all of them, and no others, in any order."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from near_documents import (
    documents_of,
    first_of,
    indices,
    ngrams,
    run,
    run_in_shards,
)

from keras_llm.data import Document, near_duplicates, read_documents
from keras_llm.data.duplicates.clusters import join_by_keys
from keras_llm.data.duplicates.hashes import shingles
from keras_llm.data.duplicates.minhash import MinHash
from keras_llm.data.duplicates.shingle_sets import ShingleSets, jaccard
from keras_llm.errors import InputError

WORDS = [f"w{number}" for number in range(5000)]


@pytest.fixture(scope="module")
def dirty(shared_data):
    """Texts of many kinds of dirt, and the index of each pair."""
    path = shared_data / "dirty" / "dirty_sample.jsonl.gz"
    texts = [one.text for one in read_documents(path) if one.text.isascii()]
    return texts, indices(texts)


def changed(words, count, chance):
    """A text with some of its words replaced."""
    places = set(chance.sample(range(len(words)), count))
    return " ".join(
        chance.choice(WORDS) if at in places else word
        for at, word in enumerate(words)
    )


def kept_numbers(documents):
    return [int(document.source) for document in documents]


def test_on_dirty_texts_nearly_all_pairs_are_found_and_no_others(dirty):
    texts, index = dirty
    kept, counts = run(near_duplicates(), documents_of(texts))
    alike = [pair for pair, value in index.items() if value >= 0.7]
    expected = [
        at
        for at, first in enumerate(first_of(len(texts), alike))
        if at == first
    ]
    numbers = kept_numbers(kept)
    assert set(expected) <= set(numbers)  # nothing else was dropped
    dropped = len(texts) - len(expected)
    assert dropped > 250
    assert len(numbers) - len(expected) <= 0.02 * dropped
    both_kept = [pair for pair in alike if set(pair) <= set(numbers)]
    assert len(both_kept) <= 0.02 * len(alike)
    assert counts.dropped == {
        "near duplicate of an earlier document": len(texts) - len(numbers)
    }


def test_planted_pairs_near_the_threshold():
    chance = random.Random(5)
    texts = []
    for number in range(600):
        words = chance.choices(WORDS, k=200)
        changes = 5 + number % 7  # an index of 0.6 to 0.8
        texts += [" ".join(words), changed(words, changes, chance)]
    index = indices(texts)
    kept, _ = run(near_duplicates(), documents_of(texts))
    dropped = set(range(len(texts))) - set(kept_numbers(kept))
    alike = {b for (_, b), value in index.items() if value >= 0.7}
    near = [value for value in index.values() if 0.65 < value < 0.75]
    assert len(near) > 200 and 200 < len(alike) < 500
    assert dropped <= alike
    assert len(dropped) >= 0.98 * len(alike)


def test_datasketch_finds_the_same(dirty):
    datasketch = pytest.importorskip("datasketch")
    texts, index = dirty
    lsh = datasketch.MinHashLSH(threshold=0.7, num_perm=128)
    pairs = []
    for at, text in enumerate(texts):
        grams = [" ".join(gram).encode() for gram in ngrams(text)]
        if not grams:
            continue
        minhash = datasketch.MinHash(num_perm=128)
        minhash.update_batch(grams)
        found = [(other, at) for other in lsh.query(minhash)]
        pairs += [pair for pair in found if index.get(pair, 0) >= 0.7]
        lsh.insert(at, minhash)
    theirs = set(range(len(texts))) - {b for _, b in pairs}
    kept, _ = run(near_duplicates(), documents_of(texts))
    ours = set(kept_numbers(kept))
    assert len(ours ^ theirs) <= 0.02 * len(pairs)
    # What we keep and they do not is a pair we missed: at most 2 in 100.
    assert len(ours - theirs) <= 0.02 * len(pairs)


def test_without_a_threshold_documents_with_a_band_in_common_go():
    chance = random.Random(2)
    words = chance.choices(WORDS, k=300)
    texts = [changed(words, count, chance) for count in (0, 1, 14, 14, 14)]
    keys = MinHash(5, 14, 8).keys(texts)
    pairs = [
        (a, b)
        for a in range(5)
        for b in range(a)
        if (keys[:, a] == keys[:, b]).any()
    ]
    step = near_duplicates(threshold=None, bands=14, rows=8)
    kept, _ = run(step, documents_of(texts))
    firsts = first_of(5, pairs)
    assert kept_numbers(kept) == [at for at in range(5) if firsts[at] == at]
    assert (1, 0) in pairs and len(kept) < 5


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_neither_shards_nor_order_change_the_clusters(data):
    chance = random.Random(data.draw(st.integers(0, 10**6)))
    texts = []
    for _ in range(data.draw(st.integers(1, 6))):
        words = chance.choices(WORDS, k=chance.choice([2, 30, 60]))
        for _ in range(chance.randrange(1, 5)):
            texts.append(changed(words, chance.randrange(2), chance))
    chance.shuffle(texts)
    documents = documents_of(texts)
    step = near_duplicates()
    kept, counts = run(step, documents)
    for number in (1, 3, 7):
        again, same = run_in_shards(step, documents, number)
        assert again == kept
        assert same.dropped == counts.dropped
    chance.shuffle(documents)
    assert len(run(step, documents)[0]) == len(kept)


def test_the_stream_is_cut_into_blocks_that_change_nothing(monkeypatch):
    chance = random.Random(3)
    words = [chance.choices(WORDS, k=100) for _ in range(20)]
    texts = [changed(w, 1, chance) for w in words * 3]
    documents = documents_of(texts)
    documents[7] = Document(
        f"{texts[7]} é", "\udce9.txt", "MIT", "en", {"at": [1, None]}
    )
    whole, _ = run(near_duplicates(), documents)
    monkeypatch.setattr("keras_llm.data.staged.BLOCK", 500)
    blocks, counts = run(near_duplicates(), documents)
    assert blocks == whole and documents[7] in blocks
    assert len(whole) == 20 == counts.documents_out


def test_ngrams_are_those_of_words_whatever_the_chunks():
    chance = random.Random(4)
    texts = [
        " ".join(chance.choices([*WORDS[:300], "It's", "x_y,", "--"], k=size))
        for size in (0, 3, 4, 5, 6, 500, 60_000, 2)
    ]
    texts.insert(3, "x" * 300_000)  # a word longer than a chunk
    sets = ShingleSets.of(texts, 5)
    for at, text in enumerate(texts):
        assert len(sets[at]) == len(ngrams(text))
    one, other = texts[6], texts[7] + " " + texts[6]
    pairs = ShingleSets.of([one, other], 5)
    a, b = ngrams(one), ngrams(other)
    assert jaccard([pairs[0]], [pairs[1]])[0] == len(a & b) / len(a | b)


def test_letters_of_scripts_without_spaces_are_words():
    first = "春眠不觉晓处处闻啼鸟夜来风雨声花落知多少" * 2
    texts = [first + "完", first + "终", "床前明月光疑是地上霜举头望明月低头"]
    kept, _ = run(near_duplicates(), documents_of(texts))
    assert kept_numbers(kept) == [0, 2]
    ((numbers, ends),) = shingles(["ไทยab cd字e"], 2)
    assert ends.tolist() == [6]  # ไ ท ย ab cd 字 e
    ((one, _),) = shingles(["na\u0308h e\u0301"], 2)
    assert len(one) == 1  # marks are part of a word


def test_keys_are_the_same_on_every_machine():
    keys = MinHash(5, 25, 5).keys(["It was the best of times, it was"])
    assert keys.shape == (25, 1)
    assert keys[:2, 0].tolist() == [0x421377803F660C13, 0xCFB63460F22B7BDA]


def test_a_crowded_bucket_takes_linear_time():
    documents = 3000
    bands = np.ones((2, documents), "uint64")
    bands[1] = np.arange(documents) // 2 + 5
    asked = []

    def alike(first, second):
        asked.append(len(first))
        return first // 2 == second // 2

    clusters = join_by_keys(bands, documents, alike)
    assert sum(asked) <= 32 * 2 * documents
    assert clusters.firsts().sum() == documents / 2
    asked.clear()
    join_by_keys(bands, documents, lambda a, b: asked.append(a) or a >= 0)
    assert len(asked) == 1  # neighbours alone: all are one cluster then


def test_texts_too_short_for_an_ngram_are_kept():
    documents = documents_of(["", "", "a b c d", "a b c d", "..."])
    assert run(near_duplicates(), documents)[0] == documents
    assert run(near_duplicates(), [])[0] == []
    same = documents_of(["a b c d e", "A b: c d e!"])
    assert run(near_duplicates(threshold=1), same)[0] == same[:1]


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"threshold": 0}, "above 0 and at most 1, or None. Received: 0"),
        ({"threshold": 1.2}, "Received: 1.2"),
        ({"words": 0}, "Expected words to be at least 1. Received: 0"),
        ({"bands": -1}, "Expected bands to be at least 1. Received: -1"),
        ({"rows": 0}, "Expected rows to be at least 1"),
    ],
)
def test_settings_out_of_range(wrong, said):
    with pytest.raises(InputError, match=said):
        near_duplicates(**wrong)


def test_settings_build_the_step_again():
    step = near_duplicates(threshold=0.8, bands=9)
    assert near_duplicates(**step.settings).settings == step.settings


def test_other_thresholds_find_their_pairs_too():
    """Rows that suit 0.7 would find 46 % of the pairs at 0.4."""
    assert near_duplicates().settings["rows"] == 5
    assert near_duplicates(None, bands=14).settings["rows"] == 8
    random, found = np.random.default_rng(2), 0
    for number in range(50):
        words = [f"w{number}x{n}" for n in random.permutation(200)]
        other = [*words[:120], *(f"v{number}x{n}" for n in range(80))]
        texts = [" ".join(words), " ".join(other)]  # 116 of 276 n-grams: 0.42
        found += len(run(near_duplicates(0.4), documents_of(texts))[0]) == 1
    assert found >= 48
