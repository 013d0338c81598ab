"""A corpus in parts, and the verb that packs and mixes them."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_run
from typer.testing import CliRunner

from keras_llm.cli import app
from keras_llm.cli.data_mix import sources_of
from keras_llm.data import Document, Mixture, curate, open_rows, pack_parts
from keras_llm.errors import InputError
from keras_llm.tokenizers import HostTokenizer


def test_a_corpus_is_packed_by_language(tmp_path):
    texts = [(str(n), language) for n in range(20) for language in ("en", "fi")]
    documents = [
        Document(f"{n} 7 {i}", "", language=language if int(n) else None)
        for i, (n, language) in enumerate(texts)
    ]
    curate(documents, tmp_path / "corpus", heldout=0.3, steps=[])
    parts = pack_parts(
        tmp_path / "corpus", tiny_run.Words(), tmp_path / "parts", 8
    )
    assert set(parts) == {"en", "fi", "unknown"}
    sides = [open_rows(parts[name], "heldout").info for name in ("en", "fi")]
    train = [open_rows(path).info for path in parts.values()]
    found = sum(one.documents for one in train)
    report = json.loads((tmp_path / "corpus" / "curate.json").read_text())
    assert found == report["train"]["documents"]
    assert (
        sum(one.documents for one in sides) <= (report["heldout"]["documents"])
    )
    assert {path.name for path in (tmp_path / "parts").iterdir()} == set(parts)
    (tmp_path / "parts" / "mine").mkdir()
    with pytest.raises(InputError, match=r"holds other files.*mine"):
        pack_parts(tmp_path / "corpus", tiny_run.Words(), tmp_path / "parts", 8)


@pytest.fixture
def corpus(tmp_path):
    """Two languages, one with a third of the text of the other."""
    documents = [
        Document(f"{word} {n} " * 30, "", language=language)
        for word, language, number in [("rose", "en", 30), ("kukka", "fi", 10)]
        for n in range(number)
    ]
    curate(documents, tmp_path / "corpus", heldout=0, steps=[])
    HostTokenizer.train(["rose kukka"], 270).save(tmp_path / "tokenizer")
    return tmp_path / "corpus"


def opened(folder: Path) -> Mixture:
    rows = open_rows(folder)
    assert isinstance(rows, Mixture)
    return rows


def call(*words: object):
    return CliRunner().invoke(app, ["mix", *map(str, words)])


def test_the_verb_packs_by_language(corpus, tmp_path):
    words = ["--by-language", "--tokenizer", tmp_path / "tokenizer"]
    words += ["--context-length", 32, "--parts", tmp_path / "parts"]
    words += ["--output", tmp_path / "m", "--temperature", "inf"]
    answer = call(corpus, *words)
    assert answer.exit_code == 0, answer.output
    en, fi = opened(tmp_path / "m").plan.sources
    assert (en.name, fi.name) == ("en", "fi")
    assert fi.drawn_tokens == pytest.approx(en.drawn_tokens, rel=0.01)
    assert fi.tokens < en.tokens / 2
    answer = call(f"{corpus}=2", *words, "--force")
    assert answer.exit_code == 2 and "without a weight" in answer.stderr


def test_the_verb_reads_scores(corpus, tmp_path):
    parts = pack_parts(
        corpus, HostTokenizer.load(tmp_path / "tokenizer"), tmp_path / "p", 32
    )
    number = open_rows(parts["en"]).info.rows
    np.save(tmp_path / "scores.npy", np.arange(number)[::-1])
    words = [parts["en"], "--output", tmp_path / "m", "--stages", number]
    answer = call(*words, "--curriculum", tmp_path / "scores.npy")
    assert answer.exit_code == 0, answer.output
    rows = opened(tmp_path / "m").draws(np.arange(number))[1]
    assert rows.tolist() == list(range(number))[::-1]
    (tmp_path / "bad.npy").write_text("1 2 3")
    answer = call(*words, "--force", "--curriculum", tmp_path / "bad.npy")
    assert answer.exit_code == 2 and "a number for each row" in answer.stderr


def test_sources_are_told_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=1").mkdir()
    assert sources_of(["a=1", "b"]) == ({"a=1": "a=1", "b": "b"}, None)
    assert sources_of(["x/a=2"]) == ({"a": "x/a"}, {"a": 2.0})
    assert list(sources_of(["x/a", "y/a"])[0]) == ["x/a", "y/a"]
    with pytest.raises(InputError, match="each source once"):
        sources_of(["x/a", "x/a"])
