"""curate, tokenize and pack on a small corpus, as a person would run them."""

import json
import shlex

import pytest
from commands import check_verb
from typer.testing import CliRunner

from keras_llm.cli import app
from keras_llm.data import open_rows
from keras_llm.tokenizers import HostTokenizer

TEXTS = [
    f"Chapter {n}. " + "A rose is a rose is a rose. " * 9 for n in range(9)
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with texts, to work in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").mkdir()
    for number, text in enumerate([*TEXTS, TEXTS[0], "short"]):
        (tmp_path / "notes" / f"{number}.txt").write_text(text)
    return tmp_path


def run(*words: object, typed: str | None = None):
    return CliRunner().invoke(app, [str(word) for word in words], typed)


def done(*words: str) -> str:
    """Runs a verb that must succeed; returns what it printed."""
    answer = run(*words)
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def next_commands(shown: str) -> list[list[str]]:
    """Returns the words after `keras-llm` of every line below "Next:"."""
    lines = shown.partition("Next:\n")[2].splitlines()
    return [shlex.split(line)[1:] for line in lines]


def test_each_verb_takes_the_folder_of_the_one_before(folder):
    shown = done("curate", "notes", "--heldout", "0.3")
    assert "shorter than 200 characters" in shown
    assert next_commands(shown) == [["tokenize", "runs/corpus"]]
    shown = done("tokenize", "--vocabulary-size", 280)
    assert next_commands(shown)[0][:2] == ["pack", "runs/corpus"]
    shown = done("pack", "--context-length", 16)
    rows, tokenizer = (
        open_rows("runs/rows"),
        HostTokenizer.load("runs/tokenizer"),
    )
    assert rows.context_length == 16
    rows.require(tokenizer)
    assert f"{len(rows):,}" in shown


def test_the_next_commands_are_understood(folder):
    for words in (
        ["curate", "notes"],
        ["tokenize", "--vocabulary-size", 280],
        ["pack", "--context-length", 16],
    ):
        for found in next_commands(done(*words)):
            check_verb(found)


def test_every_drop_is_counted(folder):
    done("curate", "notes", "--heldout", "0.3")
    written = json.loads((folder / "runs/corpus/curate.json").read_text())
    dropped = [step["dropped"] for step in written["steps"]]
    assert {"same text as an earlier document": 1} in dropped
    assert {"shorter than 200 characters": 1} in dropped


def test_an_existing_tokenizer_is_taken_as_it_is(folder):
    done("curate", "notes")
    done("tokenize", "--vocabulary-size", 280, "--output", "one")
    done("tokenize", "--existing", "one", "--output", "two")
    one, two = HostTokenizer.load("one"), HostTokenizer.load("two")
    assert one.fingerprint == two.fingerprint


def test_force_replaces_an_earlier_corpus(folder):
    done("curate", "notes")
    assert "--force" in run("curate", "notes").stderr
    done("curate", "notes", "--minimum-length", 0, "--force")
    written = json.loads((folder / "runs/corpus/curate.json").read_text())
    assert written["train"]["documents"] + written["heldout"]["documents"] == 10


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["curate"], "Received: neither"),
        (["curate", "notes", "--standard-library"], "Received: both"),
        (["curate", "nowhere"], "nowhere, which does not exist"),
        (["curate", "notes", "--heldout", "7"], "Received: 7.0"),
        (["curate", "notes", "--minimum-length", "9999"], "none"),
        (["curate", "notes", "--longest", "0"], "Received: 0"),
        (["curate", "empty"], "Received: empty"),
        (["curate", "picture.txt"], "which is binary"),
        (["curate", "latin.txt"], "not UTF-8"),
        (["tokenize", "nowhere"], "Run curate first"),
        (["pack", "nowhere", "--tokenizer", "t"], "Received: t"),
    ],
)
def test_a_mistake_is_a_sentence(folder, words, said):
    (folder / "empty").mkdir()
    (folder / "picture.txt").write_bytes(b"\x89PNG\0\0")
    (folder / "latin.txt").write_bytes("café".encode("latin-1") * 99)
    answer = run(*words)
    assert answer.exit_code == 2
    assert said in answer.stderr
    assert "Traceback" not in answer.output
    assert not list(folder.glob("runs/*"))
