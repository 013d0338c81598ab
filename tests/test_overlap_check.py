"""What is planted is found, nothing else is: samples, items, and a corpus."""

import difflib
import json
import string

import numpy as np
import pytest

from keras_llm.data import Document, open_rows, pack_corpus
from keras_llm.data.duplicates.benchmark_words import words_of
from keras_llm.data.duplicates.ngram_index import NgramIndex
from keras_llm.errors import InputError
from keras_llm.evaluate import (
    Finding,
    contamination,
    memorization,
    write_report,
)
from keras_llm.evaluate.suffix_automaton import SuffixAutomaton


class Words:
    """A stand-in tokenizer: one id per number in the text."""

    vocabulary_size, fingerprint = 5000, "w" * 64
    bos_id = eos_id = 0

    def encode(self, texts, disallowed_special=()):
        return [[int(word) for word in text.split()] for text in texts]

    def decode(self, ids):
        return " ".join(map(str, ids))


class Others(Words):
    fingerprint = "o" * 64


def longest_ending(text, others):
    """The longest match that ends at each place, by trying all."""
    found = []
    for end in range(1, len(text) + 1):
        lengths = [
            end - begin
            for begin in range(end)
            if any(
                other[at : at + end - begin] == text[begin:end]
                for other in others
                for at in range(len(other))
            )
        ]
        found.append(max(lengths, default=0))
    return found


def test_the_automaton_finds_what_trying_all_finds():
    random = np.random.default_rng(1)
    for _ in range(300):
        letters = random.integers(1, 5)
        text, *others = (
            random.integers(0, letters, random.integers(1, 20)).tolist()
            for _ in range(random.integers(1, 5))
        )
        automaton, flat = SuffixAutomaton(text), []
        for other in others:
            automaton.read(other, len(flat))
            flat += other
        lengths, places = automaton.matches()
        assert lengths.tolist() == longest_ending(text, others)
        for end, (length, at) in enumerate(zip(lengths, places, strict=True)):
            own = text[end + 1 - length : end + 1]
            assert own == flat[at : at + length] if length else at == -1


@pytest.mark.parametrize("size", [2, 3, 8, 13])
def test_the_index_finds_every_ngram(size):
    random = np.random.default_rng(2)
    text = random.integers(0, 3, 40)
    other = random.integers(0, 3, 4000)
    other[100:130] = text[5:35]
    index = NgramIndex(text, np.arange(40 - size + 1), size)
    known = {tuple(text[i : i + size]) for i in range(40 - size + 1)}
    expected = [
        i
        for i in range(len(other) - size + 1)
        if tuple(other[i : i + size]) in known
    ]
    where, which = index.find(other)
    assert where.tolist() == expected
    for at, place in zip(where, index.places[which], strict=True):
        assert (other[at : at + size] == text[place : place + size]).all()
    assert not len(index.find(other[: size - 1])[0])
    nothing = NgramIndex(text, np.zeros(0, "int64"), size)
    assert not len(nothing.find(other)[0])


@pytest.fixture(scope="module")
def corpus():
    """Documents of random numbers; some short, some longer than a row."""
    random = np.random.default_rng(3)
    return [
        random.integers(1, 2000, size).tolist()
        for size in random.integers(5, 300, 120)
    ]


@pytest.fixture(scope="module")
def rows(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    documents = [Document(" ".join(map(str, ids)), "") for ids in corpus]
    pack_corpus(documents, Words(), folder, context_length=127, shard_rows=20)
    return open_rows(folder)


def text_of(*parts):
    return " ".join(str(one) for part in parts for one in part)


def test_planted_overlaps_are_found_and_nothing_else(corpus, rows):
    random = np.random.default_rng(4)
    samples, planted = [], []
    for number in range(60):
        noise = random.integers(1, 2000, 80).tolist()
        length = number % 30  # 0 ... 29
        document = corpus[random.integers(len(corpus))]
        begin = random.integers(0, max(1, min(127, len(document)) - length))
        part = document[begin : begin + length]
        planted.append(part if len(part) == length else [])
        samples.append(text_of(noise[:40], planted[-1], noise[40:]))
    report = memorization(samples, rows, Words(), shortest=6)
    for part, one in zip(planted, report.overlaps, strict=True):
        if len(part) < 5:
            assert (one.longest, one.row, one.covered) == (0, None, 0)
        elif len(part) > 5:  # noise may go on as the document does
            assert len(part) <= one.longest <= len(part) + 1
            assert text_of(part) in one.text
            in_row = rows[one.row]["tokens"][0].tolist()
            assert text_of(part) in text_of(in_row)
            assert one.covered == pytest.approx(one.longest / one.tokens)
    assert sum(one.longest > 0 for one in report.overlaps) >= 40


def test_overlaps_are_those_of_difflib(corpus, rows):
    random = np.random.default_rng(5)
    parts = [corpus[i][a : a + 30] for i, a in random.integers(0, 60, (9, 2))]
    samples = [parts[i] + parts[j][3:] for i, j in ((0, 1), (2, 3), (4, 5))]
    report = memorization(list(map(text_of, samples)), rows, Words(), 4)
    held = [
        row["tokens"][0][row["segments"][0] == segment].tolist()
        for row in (rows[number] for number in range(len(rows)))
        for segment in range(1, row["segments"].max() + 1)
    ]
    for sample, one in zip(samples, report.overlaps, strict=True):
        sizes = [
            difflib.SequenceMatcher(None, sample, other, autojunk=False)
            .find_longest_match()
            .size
            for other in held
        ]
        assert one.longest == (max(sizes) if max(sizes) >= 4 else 0)


def test_no_overlap_goes_from_one_document_into_the_next(rows):
    packed = rows[:]
    tokens, segments = packed["tokens"], packed["segments"]
    row = int(np.flatnonzero((segments == 2).sum(axis=1) > 12)[0])
    border = int(np.flatnonzero(segments[row] == 2)[0])
    over = tokens[row, border - 8 : border + 8].tolist()
    across_rows = tokens.ravel()[rows.row_length - 8 : rows.row_length + 8]
    texts = [text_of(over), text_of(across_rows.tolist())]
    report = memorization(texts, rows, Words(), shortest=4)
    assert [one.longest for one in report.overlaps] == [8, 8]


def test_the_report_of_samples(rows, corpus, tmp_path):
    whole = max(corpus, key=len)[:100]
    report = memorization([text_of(whole), "1 2"], rows, Words(), memorized=60)
    measures = report.measures()
    assert measures["memorization/longest"].value == 100
    assert measures["memorization/memorized"].value == 0.5
    assert measures["memorization/covered"].value == 0.5
    assert report.searched == sum(len(ids) + 2 for ids in corpus)
    assert isinstance(report, Finding)
    written = write_report(tmp_path / "out", [report])
    page = written.html.read_text(encoding="utf-8")
    assert " ".join(map(str, whole[:20])) in page
    with pytest.raises(InputError, match="at least one sample"):
        memorization([], rows, Words())
    with pytest.raises(InputError, match="Received: shortest=1"):
        memorization(["1"], rows, Words(), shortest=1)
    with pytest.raises(InputError, match="the tokenizer that packed"):
        memorization(["1"], rows, Others())


def sentences(random, count, least=1, most=60):
    """Texts of words drawn from few, in any case and punctuation."""
    vocabulary = [
        "".join(random.choice(list(string.ascii_lowercase), 5))
        for _ in range(400)
    ]
    marks = ["", "", "", ",", ".", "!", " -", '"']
    for size in random.integers(least, most, count):
        words = random.choice(vocabulary, size)
        yield " ".join(
            (word.title() if random.random() < 0.2 else word)
            + random.choice(marks)
            for word in words
        )


def test_items_are_contaminated_as_the_harness_s_janitor_says():
    janitor = pytest.importorskip("lm_eval.decontamination.janitor")
    random = np.random.default_rng(6)
    items = list(sentences(random, 120, least=13))
    documents = list(sentences(random, 200, most=300))
    for number in range(0, 120, 3):  # parts of items, their case changed
        words = items[number].upper().split()
        size = [12, 13, len(words)][number % 9 // 3]
        at = random.integers(0, max(1, len(words) - size))
        part = " ".join(words[at : at + size])
        documents[number] = f"{documents[number]} so {part}; and"
    judge = janitor.Janitor()
    known = {
        ngram
        for document in documents
        for ngram in janitor.word_ngrams(judge.normalize_string(document), 13)
    }
    expected = [
        number
        for number, item in enumerate(items)
        if known & set(janitor.word_ngrams(judge.normalize_string(item), 13))
    ]
    corpus = [Document(text, f"{i}.txt") for i, text in enumerate(documents)]
    report = contamination({"ours": items}, corpus)
    assert report.contaminated("ours") == expected
    assert 10 < len(expected) < 60
    assert sorted(report.clean("ours") + expected) == list(range(120))
    for one in report.found:
        text = judge.normalize_string(documents[int(one.source[:-4])])
        assert one.text in " ".join(text.split())
    assert report.words == sum(
        len(judge.normalize_string(text).split()) for text in documents
    )


def test_short_items_count_as_a_whole_or_not_at_all():
    items = [
        "one two three four five six seven eight",  # whole item, 8 words
        "one two three four five six seven",  # too short
        "one two three four five six seven eight nine ten",  # not all of it
        "What?",
    ]
    corpus = [Document("zero, one two three four five six seven eight!", "a")]
    report = contamination({"short": items, "same": items[:1]}, corpus)
    assert report.contaminated("short") == [0]
    assert report.contaminated("same") == [0]
    assert report.too_short == {"short": [1, 3], "same": []}
    assert report.measures()["contamination/short"].value == 0.25
    split = ["one two three four", "five six seven eight"]
    apart = [Document(text, "") for text in split]
    assert not contamination({"short": items}, apart).found


def test_items_planted_in_a_book_are_found_and_no_others(shared_data):
    lines = (shared_data / "lm_bench/arc_easy.jsonl").read_text().splitlines()
    items = [
        f"{one['query']} {one['choices'][one['gold']]}"
        for one in map(json.loads, lines)
    ]
    book = (shared_data / "gutenberg").glob("Moby*")
    chapters = next(book).read_text(encoding="utf-8").split("CHAPTER")
    planted = [
        number
        for number in range(0, len(items), 97)
        if len(words_of(items[number])) >= 8
    ]
    for chapter, number in enumerate(planted):
        text = " ".join(words_of(items[number])).upper()
        chapters[chapter] += f"\n\n{text}\n"
    corpus = [Document(text, str(i)) for i, text in enumerate(chapters)]
    report = contamination({"arc_easy": items}, corpus)
    # Some items of the test stand there in another wording, too.
    found = report.contaminated("arc_easy")
    assert set(planted) <= set(found) and len(planted) > 20
    assert found == slowly(items, chapters)
    sources = {one.item: one.source for one in report.found}
    assert [sources[one] for one in planted] == [
        str(chapter) for chapter in range(len(planted))
    ]


def slowly(items, texts):
    """The contaminated items by sets of tuples, one size after the other."""

    def grams(words, size):
        return {
            tuple(words[i : i + size]) for i in range(len(words) - size + 1)
        }

    corpora = [words_of(text) for text in texts]
    known = {
        size: set().union(*(grams(words, size) for words in corpora))
        for size in range(8, 14)
    }
    found = []
    for number, item in enumerate(items):
        words = words_of(item)
        size = min(13, len(words))
        if size >= 8 and grams(words, size) & known[size]:
            found.append(number)
    return found


def test_the_report_of_items(tmp_path):
    item = "a b c d e f g h i j k l m n o <b>p</b>"
    report = contamination({"x": [item]}, [Document(f"so {item} z", "c.txt")])
    (one,) = report.found
    assert one.share == 1.0 and one.source == "c.txt"
    assert one.text == "a b c d e f g h i j k l m"
    assert isinstance(report, Finding)
    page = write_report(tmp_path / "out", [report]).html.read_text()
    assert "c.txt" in page
    with pytest.raises(InputError, match="among x. Received: 'y'"):
        report.clean("y")
    with pytest.raises(InputError, match="x without any"):
        contamination({"x": []}, [])
    with pytest.raises(InputError, match="Received: an empty one"):
        contamination({"x": [item]}, [])
    with pytest.raises(InputError, match="Received: size=7"):
        contamination({"x": [item]}, [], size=7)
