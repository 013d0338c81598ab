"""keras-llm data: what people see of packed rows, and pack with workers."""

import html.parser
import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from keras_llm.cli import app
from keras_llm.data import Document, curate, open_rows, pack_corpus
from keras_llm.tokenizers import HostTokenizer

TEXTS = [
    "A rose is a <b>rose</b> & so on.\nA second line: é, \t<|endoftext|>",
    "Short.",
    "A rose is a rose is a rose. " * 9,
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a tokenizer, rows and a corpus."""
    folder = tmp_path_factory.mktemp("made")
    documents = [Document(text, str(n)) for n, text in enumerate(TEXTS)]
    tokenizer = HostTokenizer.train(TEXTS, 280, progress=False)
    tokenizer.save(folder / "tokenizer")
    HostTokenizer.train(TEXTS, 270, progress=False).save(folder / "other")
    pack_corpus(documents, tokenizer, folder / "rows", 64)
    pack_corpus(documents, tokenizer, folder / "longer", 65)
    curate(documents, folder / "corpus", heldout=0.4, steps=[])
    return folder


@pytest.fixture
def folder(made, monkeypatch):
    monkeypatch.chdir(made)
    monkeypatch.setenv("COLUMNS", "160")
    return made


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def done(*words):
    answer = run(*words)
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def row_with(folder, text):
    """The number of a row in which a text stands, and its tokens."""
    tokenizer = HostTokenizer.load(folder / "tokenizer")
    for number, ids in enumerate(open_rows(folder / "rows")[:]["tokens"]):
        if text in tokenizer.decode(ids.tolist()):
            return number, ids.tolist()
    raise AssertionError(text)


def test_a_row_with_its_documents(folder):
    number, ids = row_with(folder, "Short.")
    shown = done(
        *("data", "inspect", "rows", "--row", number),
        *("--tokenizer", "tokenizer"),
    )
    assert f"Row {number} of {len(open_rows('rows'))} (from 0)" in shown
    assert "<|endoftext|>Short.<|endoftext|>" in shown
    assert re.search(r"Padding, \d+ places", shown)
    starts = re.findall(r"segment (\d+), places (\d+) to", shown)
    segments = open_rows("rows")[number]["segments"][0].tolist()
    assert starts == [
        (str(s), str(segments.index(s))) for s in sorted(set(segments) - {0})
    ]
    shown = done("data", "inspect", "rows", "--row", number)
    listed = shown.partition("Document 1")[2].partition("Padding")[0]
    numbers = re.sub(r"Document .*|.*positions.*", "", listed).split()
    used = sum(segment > 0 for segment in segments)
    assert "".join(numbers) == "".join(map(str, ids[:used]))


def test_a_document_that_goes_on_in_another_row(folder):
    shown = "".join(
        done("data", "inspect", "rows", "--row", row)
        for row in range(len(open_rows("rows")))
    )
    assert shown.count("goes on in another row") > 0
    assert shown.count("goes on in") == shown.count("goes on from")


def test_a_line_for_each_token(folder):
    number, ids = row_with(folder, "Short.")
    shown = done(
        *("data", "inspect", "rows", "--row", number, "--table"),
        *("--tokenizer", "tokenizer"),
    )
    lines = [line.split() for line in shown.splitlines()]
    lines = [line for line in lines if line and line[0].isdigit()]
    arrays = open_rows("rows").batch(np.array([number]))
    inputs, targets, weights = arrays  # what training gets
    assert len(lines) == (open_rows("rows")[number]["segments"] > 0).sum()
    for line in lines:
        place, segment, position, weight, token = map(int, line[:5])
        assert token == ids[place]
        if place < 64:
            assert segment == inputs["segments"][0][place]
            assert position == inputs["positions"][0][place]
        if place:
            assert token == targets[0][place - 1]
            assert weight == weights[0][place - 1]
        else:
            assert weight == 0


class Page(html.parser.HTMLParser):
    """Collects the texts of the tokens, and what would be loaded or run."""

    def __init__(self):
        super().__init__()
        self.tokens, self.others, self.open = [], [], False

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.open = tag == "span" and "title" in values
        if tag in ("script", "link", "img", "iframe", "b"):
            self.others.append(tag)

    def handle_data(self, data):
        if self.open:
            self.tokens.append(data)
        self.open = False


def test_the_page_has_all_of_it_and_loads_nothing(folder):
    number, _ = row_with(folder, "<b>rose</b>")
    options = ["--row", number, "--tokenizer", "tokenizer"]
    done("data", "inspect", "rows", *options, "--html", "row.html")
    text = (folder / "row.html").read_text()
    page = Page()
    page.feed(text)
    assert not page.others
    shown = "".join(page.tokens)
    assert "A rose is a <b>rose</b> & so on.⏎A second line:" in shown
    assert "\\t<|endoftext|>" in shown  # text that spells it: many tokens
    assert text.count('class="special') > 1
    assert 'title="place 0, segment 1, position 0, weight 0' in text


def test_stats_count_what_is_there(folder):
    shown = done("data", "stats", "rows", "--tokenizer", "tokenizer")
    info = open_rows("rows").info
    for name, value in (("rows", info.rows), ("targets", info.targets)):
        assert re.search(rf"│ {name} +│ {value} ", shown), shown
    packed = open_rows("rows")[:]
    parts = int(packed["segments"].max(axis=1).sum())
    assert re.search(rf"│ parts of documents +│ {parts} ", shown)
    used = len(set(packed["tokens"][packed["segments"] > 0].tolist()))
    assert f"{used} of 280" in shown


def test_verify_finds_a_flipped_byte(folder, tmp_path):
    done("data", "verify", "rows")
    done("data", "merge", "rows", "--output", tmp_path / "all")
    file = tmp_path / "all" / "train-00000.bin"
    data = bytearray(file.read_bytes())
    data[3] ^= 1
    file.unlink()  # a link to rows that others use
    file.write_bytes(data)
    answer = run("data", "verify", tmp_path / "all")
    assert answer.exit_code == 2
    assert "train-00000.bin" in answer.stderr


def test_merge_and_shuffle(folder, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    shown = done("data", "shuffle", "rows", "--output", one, "--seed", 3)
    assert "keras-llm data inspect" in shown
    done("data", "merge", "rows", one, "--output", two)
    assert len(open_rows(two)) == 2 * len(open_rows("rows"))
    assert json.loads((two / "manifest.json").read_text())["recipe"]["merged"]
    assert "--force" in run("data", "merge", "rows", "--output", two).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["inspect", "rows", "--row", "99"], "Received: 99"),
        (["inspect", "rows", "--row", "-1"], "Received: -1"),
        (["inspect", "rows", "--split", "heldout"], "split='heldout'"),
        (["inspect", "rows", "--tokenizer", "other"], "tokenizer that packed"),
        (["inspect", "corpus"], "no manifest.json"),
        (["stats", "nowhere"], "no manifest.json"),
        (["merge", "rows", "longer", "--output", "m"], "row_length 66"),
        (["shuffle", "rows", "--output", "s", "--memory", "0"], "memory=0"),
        (["shuffle", "rows", "--output", "s", "--seed", "-1"], "-1"),
    ],
)
def test_a_mistake_is_a_sentence(folder, words, said):
    answer = run("data", *words)
    assert answer.exit_code == 2
    assert said in answer.stderr
    assert "Traceback" not in answer.output
    assert not (folder / "m").exists() and not (folder / "s").exists()


@pytest.mark.parametrize(
    "options",
    [["--engine", "inline"], ["--work", "somewhere"], ["--workers", 2]],
)
def test_pack_by_others_gives_the_same_bytes(folder, tmp_path, options):
    words = ["pack", "corpus", "--context-length", 16]
    words += ["--tokenizer", "tokenizer", "--output"]
    done(*words, tmp_path / "here")
    done(*words, tmp_path / "there", *options)
    for path in (tmp_path / "here").iterdir():
        other = tmp_path / "there" / path.name
        assert path.read_bytes() == other.read_bytes()
    assert len(list(tmp_path.iterdir())) == 2
    assert not (folder / "somewhere").exists()


def test_pack_refuses_what_an_engine_does_not_take(folder, tmp_path):
    words = ["pack", "corpus", "--tokenizer", "tokenizer", "--output"]
    answer = run(*words, tmp_path / "r", "--scheduler", "tcp://host:1")
    assert answer.exit_code == 2
    assert "engines" in answer.stderr and not list(tmp_path.iterdir())
