"""Corpus statistics beside plain Python, numpy and hand-counted numbers."""

import json
import lzma
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from keras_llm.data import Document, read_documents
from keras_llm.errors import InputError
from keras_llm.evaluate import (
    CorpusDescription,
    Finding,
    balance_warnings,
    describe_corpus,
    reading_ease,
    school_grade,
)
from keras_llm.evaluate.corpus import tally
from keras_llm.evaluate.corpus.pronouns import PronounCounts
from keras_llm.evaluate.corpus.readability import TextSize, syllables
from keras_llm.evaluate.corpus.running import Lengths, Mean, Sample
from keras_llm.evaluate.corpus.sketches import Distinct, Frequent, Sums

# Opening of Lincoln's Gettysburg Address. Counted by hand: 30 words in one
# sentence, and syllables word by word.
GETTYSBURG = (
    "Four score and seven years ago our fathers brought forth on this "
    "continent, a new nation, conceived in Liberty, and dedicated to the "
    "proposition that all men are created equal."
)
SPOKEN = (
    *(1, 1, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 3, 1, 1, 2, 2, 1, 3, 1, 4, 1, 1),
    *(4, 1, 1, 1, 1, 3, 2),
)


def zipf(types, words, seed=0):
    """Words of a known vocabulary, few of them very often."""
    random = np.random.default_rng(seed)
    return [f"w{n % types}" for n in random.zipf(1.3, words)]


def chunks(words, size=500):
    return [Counter(words[n : n + size]) for n in range(0, len(words), size)]


def test_readability_is_what_a_hand_counts():
    assert TextSize.of(GETTYSBURG) == (len(SPOKEN), 1, sum(SPOKEN))
    words, heard = len(SPOKEN), sum(SPOKEN)
    ease = 206.835 - 1.015 * words - 84.6 * heard / words
    grade = 0.39 * words + 11.8 * heard / words - 15.59
    assert reading_ease(GETTYSBURG) == pytest.approx(ease)
    assert school_grade(GETTYSBURG) == pytest.approx(grade)
    with pytest.raises(InputError, match="an English text with words"):
        reading_ease("... 。")


def test_sentences_end_with_marks_and_paragraphs():
    text = "A title\n\nMr. Fox doesn't\nrun. He walks!\n\nOnce more"
    assert TextSize.of(text) == (10, 4, 12)


# What the CMU Pronouncing Dictionary says, one word of each rule.
@pytest.mark.parametrize(
    ("word", "said"),
    [
        *(("make", 1), ("table", 2), ("called", 1), ("wanted", 2)),
        *(("places", 2), ("makes", 1), ("wishes", 2), ("lately", 2)),
        *(("centre", 2), ("the", 1), ("something", 2), ("everyone", 3)),
        *(("area", 3), ("nation", 2), ("serious", 3), ("society", 4)),
        *(("experience", 4), ("friend", 1), ("people", 2), ("being", 2)),
        *(("player", 2), ("rhythm", 2), ("realism", 3), ("Mr.", 2)),
        *(("league", 1), ("employed", 2), ("don't", 1), ("2", 1)),
    ],
)
def test_syllables(word, said):
    assert syllables(word) == said


def test_few_names_are_counted_exactly():
    words = zipf(types=900, words=20_000)
    distinct, frequent = Distinct(1000), Frequent(1000)
    for counts in chunks(words):
        distinct.add(counts)
        frequent.add(counts)
    true = Counter(words)
    assert distinct.exact and distinct.error == 0
    assert distinct.estimate == len(true) and distinct.total == len(words)
    once = sum(count == 1 for count in true.values())
    assert distinct.share_of_types(1) == once / len(true)
    assert distinct.repeats() == pytest.approx(1 - len(true) / len(words))
    assert frequent.top(9) == true.most_common(9) and frequent.error == 0


def test_many_names_are_estimated_within_their_error():
    words = zipf(types=1 << 40, words=200_000)
    true = Counter(words)
    assert len(true) > 8000
    distinct, frequent = Distinct(1000), Frequent(1000)
    for counts in chunks(words):
        distinct.add(counts)
        frequent.add(counts)
        assert len(distinct._counts) <= 1000 >= len(frequent._counts)
    assert not distinct.exact
    assert 0 < distinct.error < 0.06 * len(true)
    assert abs(distinct.estimate - len(true)) < 3 * distinct.error
    once = np.mean([count == 1 for count in true.values()])
    assert distinct.share_of_types(1) == pytest.approx(once, abs=0.06)
    assert 0 < frequent.error < len(words) / 500
    for name, count in frequent.top(10):
        assert true[name] - frequent.error <= count <= true[name]
    assert [name for name, _ in frequent.top(5)] == [
        name for name, _ in true.most_common(5)
    ]


def test_sums_lengths_and_means():
    sums = Sums(1 + 1, capacity=2)
    for name, size in (("a", 1), ("b", 5), ("c", 9), ("a", 1), ("d", 1)):
        sums.add(name, (1, size))
    assert sums.largest() == [
        ("b", [1, 5]),
        ("a", [2, 2]),
        ("(others)", [2, 10]),
    ]
    values = np.random.default_rng(1).lognormal(6, 1, 5000).astype(int)
    lengths, mean = Lengths(), Mean()
    for value in values.tolist():
        lengths.add(value)
        mean.add(value)
    for share in (0.05, 0.5, 0.95):
        true = np.quantile(values, share, method="lower")
        assert lengths.quantile(share) == pytest.approx(true, rel=0.012)
    assert (lengths.smallest, lengths.largest) == (values.min(), values.max())
    rows = lengths.histogram()
    assert sum(count for *_, count in rows) == 5000
    assert all(a[1] == b[0] for a, b in zip(rows, rows[1:], strict=False))
    assert mean.value == pytest.approx(values.mean())
    assert mean.error == pytest.approx(values.std(ddof=1) / math.sqrt(5000))


def test_a_sample_is_fair_bounded_and_repeatable():
    drawn = Counter()
    for seed in range(400):
        sample = Sample(room=100, seed=seed)
        for number in range(100):
            sample.add(number, size=10)
        assert len(sample.items()) == 10
        assert sample.items() == sorted(sample.items())
        drawn.update(sample.items())
    counts = np.array([drawn[number] for number in range(100)])
    # 400 draws of 10 in 100 each: chi squared with 99 degrees of freedom.
    assert ((counts - 40) ** 2 / 36).sum() < 149  # p = 0.001
    again = Sample(room=100, seed=399)
    for number in range(100):
        again.add(number, size=10)
    assert again.items() == sample.items()
    huge = Sample(room=10, seed=0)
    huge.add("all of it", size=10**9)
    assert huge.items() == ["all of it"]


def test_pronouns_have_the_error_of_whole_documents():
    random = np.random.default_rng(3)
    female, male = random.poisson(2, 400), random.poisson(4, 400)
    counts = PronounCounts()
    for she, he in zip(female.tolist(), male.tolist(), strict=True):
        counts.add({"she": she, "his": he, "rose": 7})
    share = female.sum() / (female + male).sum()
    assert counts.share == pytest.approx(share)
    picks = random.integers(0, 400, (4000, 400))
    drawn = female[picks].sum(1) / (female + male)[picks].sum(1)
    assert counts.error == pytest.approx(drawn.std(), rel=0.08)
    low, high = counts.interval()
    assert low < 1 / 3 < high
    assert PronounCounts().share is None and PronounCounts().interval() is None


@pytest.fixture(scope="module")
def described():
    texts = {
        "en": "She has a rose. He has a thorn. " * 3,
        "de": "Die Rose ist rot, und der Dorn ist spitz.",
    }
    documents = [
        Document(texts["en"], "notes.jsonl:1", "MIT", "en"),
        Document(texts["en"], "notes.jsonl:2", None, "en", {"date": "2021-05"}),
        Document(
            f"{texts['de']}\n{texts['de']}",
            "https://www.b.example/1#0",
            None,
            "de",
            {"year": 1999},
        ),
    ]

    class Letters:
        def encode(self, text, disallowed_special):
            return list(text)

    return documents, describe_corpus(documents, Letters(), progress=False)


def test_sizes_and_groups_are_those_of_plain_python(described):
    documents, found = described
    texts = [one.text for one in documents]
    assert found.documents == 3 and found.tokens == found.characters
    assert found.bytes == sum(len(text.encode()) for text in texts)
    assert found.words == sum(len(text.split()) for text in texts)
    names = {
        kind: [(row["name"], row["documents"]) for row in rows]
        for kind, rows in found.groups.items()
    }
    assert names == {
        "source": [("notes.jsonl", 2), ("https://www.b.example/1", 1)],
        "domain": [("b.example", 1)],
        "language": [("en", 2), ("de", 1)],
        "license": [("unknown", 2), ("MIT", 1)],
        "year": [("2021", 1), ("1999", 1)],
    }
    for kind in ("source", "language", "license"):
        rows = found.groups[kind]
        assert sum(row["share"] for row in rows) == pytest.approx(1)
        assert sum(row["tokens"] for row in rows) == found.tokens
    lengths = found.lengths
    assert (lengths["smallest"], lengths["largest"]) == (18, 24)


def test_words_lines_and_bytes_are_those_of_plain_python(described):
    documents, found = described
    words = Counter(
        word
        for one in documents
        for word in re.findall(r"\w+", one.text.lower())
    )
    vocabulary = found.vocabulary
    assert vocabulary["types"] == len(words)
    assert vocabulary["running"] == sum(words.values())
    assert vocabulary["top"][0]["count"] == max(words.values())
    assert vocabulary["curve"] == [
        {"words": sum(words.values()), "types": len(words)}
    ]
    data = "".join(one.text for one in documents).encode()
    shares = np.array([*Counter(data).values()]) / len(data)
    entropy = -(shares * np.log2(shares)).sum()
    assert found.compression["byte_entropy"] == pytest.approx(entropy)
    joined = "\n".join(one.text for one in documents).encode()
    bits = 8 * len(lzma.compress(joined, preset=9)) / len(data)
    assert found.compression["xz_bits_per_byte"] == pytest.approx(bits)
    copies = found.duplicates
    assert copies["equal_share"] == pytest.approx(1 / 3)
    assert copies["near_documents"] == 2 and copies["near_share"] == 0
    assert copies["lines"] == 4 and copies["line_share"] == 0.5
    assert [one["count"] for one in copies["top_lines"]] == [2, 2]
    pronouns = found.pronouns
    assert (pronouns["female"], pronouns["male"]) == (6, 6)
    assert found.readability["documents"] == 2


def test_it_is_a_finding_and_a_record(described):
    _, found = described
    assert isinstance(found, Finding)
    again = json.loads(json.dumps(found.to_dict()))
    assert CorpusDescription.from_dict(again) == found
    measures = found.measures()
    assert measures["description/equal_documents"].value == pytest.approx(1 / 3)
    assert measures["description/bytes_per_token"].value == pytest.approx(1)
    captions = [
        getattr(b, "caption", b.text if hasattr(b, "text") else "")
        for b in found.blocks()
    ]
    assert (
        "Tokens per byte by language: more tokens cost more to train on."
        in (captions)
    )
    assert "Different words after so many words." in captions


def test_a_sample_says_that_it_is_one():
    documents = [
        Document(f"Rose number {n} of the garden is red. " * 4, "a", None, "en")
        for n in range(50)
    ]
    found = describe_corpus(documents, sample_bytes=2000, progress=False)
    assert 10 <= found.sample["documents"] < 15
    assert not found.duplicates["near_exact"]
    assert found.readability["documents"] == found.sample["documents"]
    texts = [b.text for b in found.blocks() if hasattr(b, "text")]
    assert any("the corpus has more" in text for text in texts)


def test_languages_are_identified_where_none_is_stated():
    texts = {
        "en": "The little cat has been asleep in the kitchen since morning.",
        "fr": "Le petit chat dort dans la cuisine depuis ce matin.",
    }
    documents = [Document(text, "a") for text in texts.values()]
    documents.append(Document(texts["fr"], "a", language="en"))  # as stated
    found = describe_corpus(documents, progress=False)
    rows = found.groups["language"]
    assert {row["name"]: row["documents"] for row in rows} == {"en": 2, "fr": 1}
    found = describe_corpus(documents, identify=False, progress=False)
    assert found.groups["language"][0]["name"] == "unknown"
    assert found.readability["documents"] == 1


def warned(description, **changes):
    values = {**description.to_dict(), **changes}
    return " ".join(balance_warnings(CorpusDescription.from_dict(values)))


def test_what_is_out_of_balance_is_said(described):
    _, found = described
    row = {"documents": 1, "bytes": 1, "words": 1, "tokens": None}
    one = [{**row, "name": "a.txt", "share": 0.95}]
    assert "One source makes up 95.0 % of the text: a.txt." in warned(
        found, groups={"source": one}
    )
    said = warned(found)
    assert re.search(r"\d\d\.\d % of the text has no stated licence", said)
    assert "33.3 % of the documents have the text of an earlier one" in said
    assert "50.0 % of the lines stood there before" in said
    assert "longest" not in said and "One source" not in said
    assert "longest document has" in warned(found, documents=20)
    few = [
        {**row, "name": name, "share": share}
        for name, share in (("en", 0.995), ("de", 0.005))
    ]
    assert "Of 2 languages 1 make up less than 1.0 % of the text each (de)" in (
        warned(found, groups={"language": few})
    )
    counts = {
        "female": 10,
        "male": 90,
        "documents": 9,
        "share": 0.1,
        "error": 0.02,
        "interval": [0.06, 0.14],
    }
    assert "10.0 % are of women (95 % interval 6.0 % to 14.0 %)" in warned(
        found, pronouns=counts
    )
    wide = counts | {"interval": [0.06, 0.4]}
    assert "pronouns" not in warned(found, pronouns=wide)


def test_mistakes_are_told():
    with pytest.raises(InputError, match="at least one document"):
        describe_corpus([], identify=False)
    with pytest.raises(InputError, match="sample of 1 byte or more"):
        describe_corpus([Document("a", "b")], sample_bytes=0)


def test_sources_do_not_tell_where_they_were(tmp_path):
    for name in ("a/one.txt", "b/two.txt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("A rose is a rose.")
    for path, names in (
        (tmp_path, {"a/one.txt", "b/two.txt"}),
        (tmp_path / "a", {"one.txt"}),
    ):
        found = describe_corpus(read_documents(path), identify=False)
        assert {row["name"] for row in found.groups["source"]} == names


def test_names_of_documents():
    names = tally.KINDS
    page = Document("A", "x", metadata={"url": "https://www.a.example:80/b"})
    assert names["domain"](page) == "a.example"
    assert names["domain"](Document("A", "notes/a.txt")) == ""
    for value, year in (("May 2021", ""), ("0012-01-01", ""), (1851, "1851")):
        dated = Document("A", "x", metadata={"date": value})
        assert names["year"](dated) == year


def test_a_real_book(shared_data):
    path = shared_data / "gutenberg" / "Alice-s-Adventures-in-Wonderland_11.txt"
    found = describe_corpus(read_documents(path), progress=False)
    text = Path(path).read_text(encoding="utf-8")
    assert found.words == len(text.split())
    female = re.findall(r"(?i)\b(?:she|hers?|herself)\b", text)
    assert found.pronouns["female"] == len(female)
    # A children's book is easy to read, and a million words grow by Heaps.
    assert 70 < found.readability["ease"] < 90
    assert 0.5 < found.vocabulary["heaps"]["beta"] < 0.8
    assert 2 < found.compression["xz_bits_per_byte"] < 3
    words = Counter(re.findall(r"[^\W_]+", text.lower()))
    assert found.vocabulary["top"][0]["name"] == words.most_common(1)[0][0]
