"""Curation in shards: the same bytes for every engine, and after any kill."""

import errno
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import executor_tasks
import pytest

from keras_llm.cli.curate_options import Asked
from keras_llm.data import (
    Counts,
    curate,
    curate_shards,
    curation_status,
    read_documents,
)
from keras_llm.errors import InputError
from keras_llm.executors import Inline, open_executor

FILES = ("train.jsonl", "heldout.jsonl", "rejects.jsonl", "curate.json")
SCRIPT = """
import sys
import test_curate_shards as tests
from keras_llm.data import curate_shards
from keras_llm.executors import open_executor
folder, out, marker, kind = sys.argv[1:]
with open_executor("local", 2) as executor:
    curate_shards(
        tests.read(folder), out, executor,
        steps=tests.steps_with(marker, kind), shard_bytes=tests.SMALL,
    )
"""
SMALL = 20_000
STAGES = [
    *("00-read", "01-repair"),
    *("02-exact_duplicates-note", "03-exact_duplicates-decide"),
    *("04-exact_duplicates", "05-repeated_lines-note"),
    *("06-repeated_lines-decide", "07-repeated_lines"),
    *("08-near_duplicates-note", "09-near_duplicates-decide"),
    *("10-near_duplicates-note", "11-near_duplicates-decide"),
    "12-near_duplicates",
]


def asked():
    return Asked(
        clean=True,
        recipe="gopher",
        unit="page",
        near_duplicates=0.7,
        repeated_lines=3,
        privacy=True,
        minimum_length=60,
        longest=1500,
    ).steps()


def steps_with(marker, kind):
    """The recipe, with a mishap in the middle of the documents."""
    steps = asked()
    return [*steps[:3], executor_tasks.mishap(str(marker), kind), *steps[3:]]


def read(folder):
    return read_documents(Path(folder) / "texts", encoding="detect")


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, shared_data):
    """Real dirt in files of several kinds, and a document with trouble."""
    folder = tmp_path_factory.mktemp("corpus")
    texts = folder / "texts"
    texts.mkdir()
    path = shared_data / "dirty" / "dirty_sample.jsonl.gz"
    with gzip.open(path, "rb") as file:
        lines = file.readlines()[::32]
    (texts / "a.jsonl").write_bytes(b"".join(lines[:50]))
    (texts / "b.jsonl").write_bytes(b"".join(lines[30:]))
    prose = [json.loads(line)["text"] for line in lines if b'"clean"' in line]
    for number, text in enumerate(prose[:12]):
        menu = f"Home | News | Contact\n{text}\nWrite to a{number}@example.org"
        (texts / f"c{number:02d}.txt").write_text(menu, encoding="utf-8")
    (texts / "d.txt").write_text("tr0uble " + prose[0], encoding="utf-8")
    (texts / "e.txt").write_bytes(prose[1].encode("cp1252", "replace") * 3)
    sale = f"{prose[2][:400]} {'We have to buy it and save it. ' * 40}"
    (texts / "g.txt").write_text(sale, encoding="utf-8")
    (texts / "f.png").write_bytes(b"no text")
    return folder


@pytest.fixture(scope="module")
def stream(corpus, tmp_path_factory):
    """What the documents become without shards."""
    out = tmp_path_factory.mktemp("stream") / "out"
    curate(read(corpus), out, 0.1, steps=asked())
    return contents(out)


@pytest.mark.parametrize(
    ("engine", "workers", "size"),
    [
        ("inline", None, 1 << 23),
        ("inline", None, 9_000),
        ("local", 1, SMALL),
        ("local", 2, 6_000),
        pytest.param("dask", 2, SMALL, marks=pytest.mark.slow),
    ],
)
def test_every_engine_gives_the_same_bytes(
    corpus, stream, tmp_path, engine, workers, size
):
    with open_executor(engine, workers) as executor:
        report = curate_shards(
            *(read(corpus), tmp_path / "out", executor, 0.1),
            steps=asked(),
            shard_bytes=size,
        )
    assert contents(tmp_path / "out") == stream
    assert report.to_dict() == json.loads(stream["curate.json"])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    stages = curation_status(tmp_path / "out")
    assert [stage.name for stage in stages] == STAGES
    assert all(stage.done == stage.tasks for stage in stages)
    if size < SMALL:
        assert stages[1].tasks > 10


def test_the_corpus_shows_every_kind_of_drop(stream):
    rejected = map(json.loads, stream["rejects.jsonl"].splitlines())
    order = [one["step"] for one in rejected]
    steps = [
        step["step"] for step in json.loads(stream["curate.json"])["steps"]
    ]
    assert order == sorted(order, key=steps.index)
    dropping = {"minimum_length", "gopher_quality", "gopher_repetition"}
    assert dropping | {"exact_duplicates", "near_duplicates"} <= set(order)
    counts = json.loads(stream["curate.json"])["steps"]
    assert counts[0]["dropped"] == {"unknown file type .png": 1}
    assert len(counts[-1]["samples"]["email"]) > 2
    assert stream["heldout.jsonl"] and stream["train.jsonl"]


def test_samples_of_shards_are_joined_and_cut():
    whole, parts = Counts("privacy"), [Counts("privacy"), Counts("privacy")]
    for number in range(30):
        for counts in (whole, parts[number // 15]):
            counts.find("email", str(number), most=20)
            counts.drop(f"{number}.txt", "binary")
    joined = Counts("privacy")
    for part in parts:
        joined.add(Counts.from_record(part.to_record()))
    assert joined == whole


def expected(corpus, marker, kind, out):
    """What the documents become with the mishap behind them."""
    marker.touch()
    curate(read(corpus), out, steps=steps_with(marker, kind))
    marker.unlink()
    return contents(out)


def test_a_killed_worker_loses_nothing(corpus, tmp_path):
    marker, kind = tmp_path / "marker", "worker killed"
    right = expected(corpus, marker, kind, tmp_path / "right")
    with open_executor("local", 2) as executor:
        curate_shards(
            *(read(corpus), tmp_path / "out", executor),
            steps=steps_with(marker, kind),
            shard_bytes=SMALL,
        )
    assert marker.exists()
    assert contents(tmp_path / "out") == right


def test_a_killed_run_goes_on(corpus, tmp_path, capfd):
    marker, kind, out = tmp_path / "marker", "run killed", tmp_path / "out"
    right = expected(corpus, marker, kind, tmp_path / "right")
    words = [*map(str, (corpus, out, marker)), kind]
    run = [sys.executable, "-c", SCRIPT, *words]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    assert subprocess.run(run, env=environment).returncode == -9
    stages = curation_status(out)
    assert [stage.name for stage in stages] == STAGES[:2]
    assert stages[0].done == stages[0].tasks
    assert stages[1].done < stages[1].tasks
    assert subprocess.run(run, env=environment).returncode == 0
    assert f"Going on with {out}.work" in capfd.readouterr().err
    assert contents(out) == right
    assert not Path(f"{out}.work").exists()


@pytest.mark.parametrize("engine", ["inline", "local"])
def test_a_full_disk_stops_and_a_later_run_goes_on(corpus, tmp_path, engine):
    marker, kind, out = tmp_path / "marker", "disk full", tmp_path / "out"
    right = expected(corpus, marker, kind, tmp_path / "right")

    reader = read(corpus)

    def go():
        with open_executor(engine, 1 if engine == "local" else None) as one:
            curate_shards(
                *(reader, out, one),
                steps=steps_with(marker, kind),
                shard_bytes=SMALL,
            )

    with pytest.raises(OSError, match="bytes free") as full:
        go()
    assert full.value.errno == errno.ENOSPC
    assert full.value.filename == f"{out}.work"
    assert not out.exists()
    done = curation_status(out)[1].done
    assert 0 < done < curation_status(out)[1].tasks
    go()
    assert contents(out) == right
    assert reader.counts.documents_out > 100


def test_a_refused_document_lets_the_others_be_done(corpus, tmp_path):
    marker, out = tmp_path / "marker", tmp_path / "out"

    def go():
        steps = steps_with(marker, "refused")
        sizes = {"steps": steps, "shard_bytes": SMALL}
        return curate_shards(read(corpus), out, Inline(), **sizes)

    with pytest.raises(InputError, match="Expected no trouble"):
        go()
    stage = curation_status(out)[1]
    assert stage.done == stage.tasks - 1
    assert stage.failed == ["Expected no trouble. Received: some."]
    go()  # The marker is there: no trouble this time.
    assert curation_status(out)[1].failed == []
