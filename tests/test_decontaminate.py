"""What is planted goes and nothing else; what means the same goes, too."""

import json

import numpy as np
import pytest
from near_documents import documents_of, first_of, run, run_in_shards

from keras_llm.data import Document, decontaminate, semantic_duplicates
from keras_llm.data.duplicates.benchmark_words import words_of
from keras_llm.errors import InputError
from keras_llm.evaluate import contamination


@pytest.fixture(scope="module")
def books(shared_data):
    """Chapters of books, and real items that none of them has."""
    chapters = []
    for path in sorted((shared_data / "gutenberg").glob("*.txt")):
        chapters += path.read_text(encoding="latin-1").split("\n\n\n")[:300]
    lines = (shared_data / "gsm8k").glob("*test*.jsonl")
    items = [
        json.loads(line)["question"]
        for line in next(lines).read_text(encoding="utf-8").splitlines()
    ]
    return chapters, [item for item in items if len(words_of(item)) >= 13]


def test_planted_items_go_and_nothing_else(books):
    chapters, items = books
    planted = {at * 3: items[at] for at in range(200)}
    texts = []
    for at, chapter in enumerate(chapters):
        item = words_of(planted.get(at, ""))
        begin = at % max(1, len(item) - 12)
        part = " ".join(item[begin : begin + 13]).title()
        texts.append(f"{chapter}\n{part}!\n{chapter}" if part else chapter)
    texts += [" ".join(words_of(item)[:12]) for item in items]  # too little
    documents = documents_of(texts)
    step = decontaminate({"gsm8k": items})
    kept, counts = run(step, documents)
    dropped = set(texts) - {document.text for document in kept}
    whole = {at for at, item in planted.items() if at < len(chapters)}
    assert len(whole) == 200
    assert dropped == {texts[at] for at in whole}
    assert counts.dropped == {"has words of gsm8k": 200}
    report = contamination({"gsm8k": items}, kept)
    assert not report.found


def test_the_reason_names_a_benchmark_and_files_can_be_named(tmp_path, caplog):
    first = "one two three four five six seven eight nine"
    path = tmp_path / "second.jsonl"
    path.write_text(
        "".join(
            json.dumps({"text": text}) + "\n"
            for text in ("red green blue white black pink grey brown", "No!")
        )
    )
    step = decontaminate({"first": [first], "second": path})
    assert "1 of 3 items have fewer than 8 words" in caplog.text
    documents = [
        Document(f"So {first.upper()}.", "a"),
        Document("RED, green: blue; white black pink grey brown?", "b"),
        Document("red green blue white black pink grey", "c"),
        Document("", "d"),
    ]
    kept, counts = run(step, documents)
    assert kept == documents[2:]
    assert counts.dropped == {"has words of first": 1, "has words of second": 1}
    again = decontaminate(**json.loads(json.dumps(step.settings)))
    assert run(again, documents)[0] == kept


def test_no_item_goes_from_one_document_into_the_next():
    words = "one two three four five six seven eight".split()
    documents = documents_of([" ".join(words[:5]), " ".join(words[5:])])
    step = decontaminate({"b": [" ".join(words)]})
    assert run(step, documents)[0] == documents


def test_benchmarks_without_items_are_refused():
    with pytest.raises(InputError, match="none"):
        decontaminate({})
    with pytest.raises(InputError, match="empty without any"):
        decontaminate({"empty": []})
    with pytest.raises(InputError, match="Received: size=7"):
        decontaminate({"b": ["words"]}, size=7)


def test_documents_with_near_embeddings_go_in_any_shards(monkeypatch):
    monkeypatch.setattr("keras_llm.data.duplicates.semantic._TILE", 16)
    random = np.random.default_rng(1)
    vectors = random.normal(size=(70, 8))
    vectors[20:50] = vectors[:30] + random.normal(size=(30, 8)) * 0.2
    vectors[60] = 0
    unit = vectors / np.maximum(1e-9, np.linalg.norm(vectors, axis=1))[:, None]
    pairs = np.argwhere(np.triu(unit @ unit.T >= 0.95, 1)).tolist()
    firsts = first_of(70, pairs)
    documents = documents_of(map(str, range(70)))
    step = semantic_duplicates(lambda texts: vectors[list(map(int, texts))])
    kept, counts = run(step, documents)
    numbers = [int(document.text) for document in kept]
    assert numbers == [at for at in range(70) if firsts[at] == at]
    assert 60 in numbers and 40 < len(numbers) < 60
    assert counts.dropped == {
        "says the same as an earlier document": 70 - len(numbers)
    }
    for number in (1, 3, 7, 80):  # some shards are empty
        assert run_in_shards(step, documents, number)[0] == kept
    assert run(step, [])[0] == []


def test_embeddings_that_are_none():
    documents = documents_of("ab")
    for wrong, said in (
        (np.zeros(2), r"of shape \(2, width\) for 2 texts. Received: \(2,\)"),
        (np.zeros((1, 4)), r"Received: \(1, 4\)"),
        (np.array([[1.0], [np.nan]]), "finite embeddings"),
    ):
        step = semantic_duplicates(lambda texts, wrong=wrong: wrong)
        with pytest.raises(InputError, match=said):
            run(step, documents)
    for threshold in (0, 1.5):
        with pytest.raises(InputError, match=f"Received: {threshold}"):
            semantic_duplicates(np.array, threshold)
