"""`keras-llm curate` by several processes, stopped, looked at, gone on with."""

import executor_tasks
import pytest
from test_cli_corpus import done, folder, run

from keras_llm.cli.curate_options import Asked
from keras_llm.cli.curating import engine_of
from keras_llm.data import read_documents

assert folder  # the fixture


@pytest.fixture
def stopped(folder, monkeypatch):
    """A curation whose disk was full once."""
    steps = Asked.steps
    step = executor_tasks.mishap(str(folder / "marker"), "disk full")
    monkeypatch.setattr(Asked, "steps", lambda asked: [step, *steps(asked)])
    (folder / "notes" / "z.txt").write_text("tr0uble " * 90)
    answer = run("curate", "notes", "--workers", "1")
    assert answer.exit_code == 2
    assert "bytes free: " in answer.stderr
    assert "make room, then run the same command again" in answer.stderr
    return folder


def test_a_stopped_run_is_looked_at_and_gone_on_with(stopped, caplog):
    for place in ([], ["runs/corpus"], ["runs/corpus.work"]):
        shown = done("curate", "status", *place)
        assert "00-read" in shown and "1 of 1" in shown
        assert "0 of 1" in shown
    shown = done("curate", "notes", "--workers", "1")
    assert "Going on with runs/corpus.work: 0 of 1" in caplog.text
    assert "Processor time" in shown and "exact_duplicates" in shown
    shown = done("curate", "status")
    assert "02-exact_duplicates-note" in shown and "0 of 1" not in shown


def test_other_options_need_force(stopped):
    answer = run("curate", "notes", "--seed", "3")
    assert answer.exit_code == 2
    assert "other seed" in answer.stderr and "--force" in answer.stderr
    done("curate", "notes", "--seed", "3", "--force")
    assert not (stopped / "runs" / "corpus.work").exists()


def test_a_folder_called_status(folder):
    (folder / "notes").rename(folder / "status")
    answer = run("curate", "status", "status")
    assert "is passed as ./status" in answer.stderr
    assert "one folder" in run("curate", "status", "a", "b").stderr
    assert "Curated runs/corpus" in done("curate", "./status")


def test_small_inputs_need_no_processes(folder):
    def chosen(*asked):
        return engine_of(read_documents("notes"), *asked)

    assert chosen(None, None, None) == "inline"
    assert chosen(None, 2, None) == "local"
    assert chosen(None, None, "tcp://a:1") == "local"
    assert chosen("dask", None, "tcp://a:1") == "dask"
    with open("notes/large.txt", "wb") as file:
        file.truncate(9_000_000)
    assert chosen(None, None, None) == "local"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--engine", "spark"), "'dask', 'beam'"),
        (("--workers", "0"), "workers >= 1"),
        (("--scheduler", "tcp://a:1"), 'engines "dask" and "beam" only'),
    ],
)
def test_a_mistake_is_a_sentence(folder, words, said):
    answer = run("curate", "notes", *words)
    assert answer.exit_code == 2, answer.output
    assert said in answer.stderr and "Expected" in answer.stderr
