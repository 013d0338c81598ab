"""Who a corpus speaks of, beside plain loops, SciPy and planted bias."""

import json
import math
import re

import numpy as np
import pytest
from scipy import stats

from keras_llm.data import Document, read_documents
from keras_llm.errors import InputError
from keras_llm.evaluate import Finding, corpus_bias
from keras_llm.evaluate.bias import WordLists, load_words, weighted_log_odds
from keras_llm.evaluate.bias import corpus_counts as counting
from keras_llm.evaluate.bias.corpus_counts import CorpusCounts
from keras_llm.evaluate.corrections import holm

LISTS = WordLists(
    {
        "gender": {"female": ["she", "woman"], "male": ["he", "man"]},
        "age": {"old": ["old man", "elderly"], "young": ["boy"]},
    },
    {"jobs": ["nurse", "miner"], "traits": ["kind", "rude"]},
)


def documents(number: int, seed: int = 0, tilt: float = 0.5):
    """Random words; `tilt` is how often a nurse stands after "she"."""
    random = np.random.default_rng(seed)
    words = "she he woman man elderly boy kind rude miner the the the".split()
    for i in range(number):
        text = list(random.choice(words, random.integers(20, 200)))
        for at in range(0, len(text) - 1, 7):
            who = "she" if random.random() < tilt else "he"
            text[at : at + 2] = [who, "nurse"]
        yield Document(" ".join(text), f"part{i % 3}.txt:{i}")


def plain_counts(texts, window):
    """Mentions and pairs by loops over words; no phrases."""
    mentions, pairs = {}, {}
    near = [word for some in LISTS.near.values() for word in some]
    groups = {
        word: (kind, group)
        for kind, groups in LISTS.groups.items()
        for group, words in groups.items()
        for word in words
    }
    for text in texts:
        words = text.split()
        for i, word in enumerate(words):
            label = groups.get(word)
            if label is None:
                continue
            mentions[label] = mentions.get(label, 0) + 1
            for j in range(max(0, i - window), i + window + 1):
                if j < len(words) and words[j] in near:
                    key = (*label, words[j])
                    pairs[key] = pairs.get(key, 0) + 1
    return mentions, pairs


@pytest.mark.parametrize("window", [1, 5])
def test_counts_are_those_of_plain_loops(window):
    texts = list(documents(40))
    mentions, pairs = plain_counts([one.text for one in texts], window)
    report = corpus_bias(texts, LISTS, window)
    for row in report.mentions:
        label = (row["kind"], row["group"])
        assert row["mentions"] == mentions[label]
        rate = mentions[label] / report.words
        assert row["per_million"] == pytest.approx(1e6 * rate)
    assert report.words == sum(len(one.text.split()) for one in texts)
    found = {
        (r["kind"], r["group"], r["word"]): r["count"] for r in report.near
    }
    assert found == {key: count for key, count in pairs.items() if key in found}
    assert len(found) == len(pairs) == 16
    assert sum(row["documents"] for row in report.sources) == 40
    assert {row["source"] for row in report.sources} == {
        *("part0.txt", "part1.txt", "part2.txt")
    }
    below = [row["words_below"] for row in report.lengths]
    assert below == [2**i for i in range(len(below))]
    sizes = [len(one.text.split()) for one in texts]
    for row in report.lengths:
        half = row["words_below"] // 2
        inside = [half <= size < row["words_below"] for size in sizes]
        assert row["documents"] == sum(inside)


def test_a_phrase_speaks_of_all_its_words():
    text = "An OLD\nman and a man. The elderly Nurse."
    report = corpus_bias([Document(text, "a")], LISTS)
    counts = {(r["kind"], r["group"]): r["mentions"] for r in report.mentions}
    assert counts["gender", "male"] == 2 and counts["age", "old"] == 2
    assert report.mentions[0]["stderr"] is None
    assert report.mentions[0]["share"] == 0
    assert corpus_bias([Document("x", "a")], LISTS).mentions[0]["share"] is None


def test_the_error_is_that_of_resampled_documents():
    texts = list(documents(200, seed=3))
    report = corpus_bias(texts, LISTS)
    table = np.array(
        [
            [
                len(re.findall(r"\b(?:she|woman)\b", one.text)),
                one.text.count(" "),
            ]
            for one in texts
        ],
        float,
    )
    table[:, 1] += 1
    random = np.random.default_rng(0)
    drawn = table[random.integers(0, 200, (4000, 200))].sum(axis=1)
    expected = (1e6 * drawn[:, 0] / drawn[:, 1]).std()
    assert report.mentions[0]["stderr"] == pytest.approx(expected, rel=0.05)


def test_log_odds_are_the_paper_s():
    random = np.random.default_rng(0)
    counts = random.integers(1, 50, (3, 6))
    prior = 0.3
    found, z = weighted_log_odds(counts, prior)
    alpha = [prior * column.sum() for column in counts.T]
    for i in range(3):
        others = np.delete(counts, i, axis=0).sum(axis=0)
        for w in range(6):
            one, other = counts[i][w] + alpha[w], others[w] + alpha[w]
            all_one = sum(counts[i]) + sum(alpha)
            all_other = sum(others) + sum(alpha)
            delta = math.log(one / (all_one - one))
            delta -= math.log(other / (all_other - other))
            assert found[i, w] == pytest.approx(delta)
            error = math.sqrt(1 / one + 1 / other)
            assert z[i, w] == pytest.approx(delta / error)


def test_a_word_that_nobody_has_is_no_number():
    found, z = weighted_log_odds(np.array([[3, 0, 1], [2, 0, 4]]))
    assert np.isnan(z[:, 1]).all() and np.isfinite(z[:, [0, 2]]).all()
    for wrong in ([[1, 2]], [[1, -1], [1, 1]], [1, 2]):
        with pytest.raises(InputError, match="at least two groups"):
            weighted_log_odds(np.array(wrong))
    with pytest.raises(InputError, match="prior=0"):
        weighted_log_odds(np.ones((2, 2)), 0)


def test_chance_seldom_looks_like_bias():
    random = np.random.default_rng(0)
    share = random.dirichlet(np.ones(40))
    z = [
        weighted_log_odds(random.multinomial(size, share, 2))[1]
        for size in (50, 500, 5000)
        for _ in range(200)
    ]
    beyond = np.abs(np.concatenate(z)) > 1.96
    assert 0.001 < np.nanmean(beyond[~np.isnan(np.concatenate(z))]) < 0.05


def test_planted_bias_is_found_and_no_other():
    fair = corpus_bias(documents(150, seed=1), LISTS, 1)
    assert not [row for row in fair.near if row["p_holm"] < 0.05]
    tilted = corpus_bias(documents(150, seed=1, tilt=0.7), LISTS, 1)
    sure = [row for row in tilted.near if row["p_holm"] < 0.05 and row["z"] > 0]
    assert [(row["group"], row["word"]) for row in sure][0] == (
        *("female", "nurse"),
    )
    assert {row["kind"] for row in sure} == {"gender"}
    p_values = [2 * stats.norm.sf(abs(row["z"])) for row in tilted.near]
    assert [row["p_holm"] for row in tilted.near] == pytest.approx(
        holm(p_values)
    )


def test_long_documents_are_cut_between_words(monkeypatch):
    text = " ".join(one.text for one in documents(20))
    whole = corpus_bias([Document(text, "a")], LISTS, 3)
    monkeypatch.setattr(counting, "PIECE", 1000)
    cut = corpus_bias([Document(text, "a")], LISTS, 3)
    assert cut.mentions == whole.mentions and cut.words == whole.words
    before, after = (sum(r["count"] for r in x.near) for x in (whole, cut))
    assert 0.95 * before < after <= before  # windows end at the cuts
    unbroken = corpus_bias([Document("x" * 5000, "a")], LISTS)
    assert unbroken.words == 1


def test_memory_does_not_grow_with_sources(monkeypatch):
    monkeypatch.setattr(counting, "MOST_SOURCES", 5)
    many = (Document("She is kind.", f"{i}.txt:3") for i in range(50))
    report = corpus_bias(many, LISTS)
    rows = {row["source"]: row["documents"] for row in report.sources}
    assert len(rows) == 6 and rows[counting.OTHERS] == 45
    counts = CorpusCounts(LISTS, 5)
    sizes = set()
    for one in documents(30):
        counts.add(one)
        sizes.add((counts.together.nbytes, len(counts.by_source) <= 3))
    assert sizes == {(counts.together.nbytes, True)}


def test_a_real_book(shared_data):
    folder = shared_data / "gutenberg"
    names = ("Pride-and-Prejudice_1342", "Alice-s-Adventures-in-Wonderland_11")
    report = corpus_bias(read_documents(*(folder / f"{n}.txt" for n in names)))
    measures = report.measures()
    text = (folder / f"{names[0]}.txt").read_text("utf-8")
    words = load_words().groups["gender"]["female"]
    choice = "|".join(sorted(words, key=len, reverse=True))
    found = len(re.findall(rf"\b(?:{choice})\b", text, re.IGNORECASE))
    by_source = {
        row["source"].rpartition("/")[2]: row for row in report.sources
    }
    row = by_source[f"{names[0]}.txt"]
    rate = row["per_million"]["gender/female"]
    assert rate == pytest.approx(1e6 * found / len(text.split()), rel=1e-3)
    assert measures["corpus/gender_female_share"].value > 0.5
    assert measures["corpus/gender_female_per_million"].error > 0
    assert isinstance(report, Finding)
    json.dumps(report.to_dict())


def test_blocks_show_every_kind():
    report = corpus_bias(documents(150, tilt=0.9), LISTS, 1)
    blocks = report.blocks()
    captions = [block.caption for block in blocks if hasattr(block, "caption")]
    assert captions == [
        "Mentions of each group per million words.",
        "Mentions of each group per million words.",
        "Mentions by gender, in the largest sources.",
        "Mentions by age, in the largest sources.",
        "Jobs near each gender: z of the log-odds.",
        "Traits near each gender: z of the log-odds.",
        "Jobs near each age: z of the log-odds.",
        "Traits near each age: z of the log-odds.",
        "Strongest.",
        "Documents by their number of words.",
    ]
    bars, near = blocks[1].figure, blocks[-7].figure
    assert [axes.get_title("left") for axes in bars.axes] == ["gender", "age"]
    labels = [one.get_text() for one in near.axes[0].get_yticklabels()]
    assert labels == ["female", "male"]
    single = corpus_bias([Document("She sat.", "a")], LISTS).blocks()
    assert not [b for b in single if "source" in str(getattr(b, "text", ""))]


def test_mistakes():
    with pytest.raises(InputError, match="at least one document"):
        corpus_bias([], LISTS)
    with pytest.raises(InputError, match="window of 1 or more"):
        corpus_bias([Document("a", "b")], LISTS, 0)
