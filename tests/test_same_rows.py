"""However rows were packed, training sees the same rows in the same order."""

import itertools
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tiny_run
from tiny_run import Words

from keras_llm.data import Document, curate, open_rows, pack_corpus, row_dataset
from keras_llm.executors import Inline, open_executor
from keras_llm.train import read_history

TIME = 8
SHORT = dict.fromkeys(
    ("steps", "validate_every", "checkpoint_every", "sample_every"), 6
)
TIMES = ("seconds", "tokens_per_second", "mfu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A corpus of numbers that count up."""
    random = np.random.default_rng(1)
    documents = []
    for _ in range(120):
        start, length = random.integers(1, 30), random.integers(3, 18)
        words = " ".join(str(start + i) for i in range(length))
        documents.append(Document(words, ""))
    folder = tmp_path_factory.mktemp("corpus")
    curate(documents, folder, heldout=0.1, steps=[])
    return folder


KILLED = """
import os, signal, sys
from keras_llm.data import pack_corpus
from keras_llm.executors import Inline
from tiny_run import Words

class Killed(Inline):
    def map(self, function, tasks, title):
        for done, result in enumerate(super().map(function, tasks, title)):
            if done == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            yield result

pack_corpus(sys.argv[1], Words(), sys.argv[2], 8, executor=Killed(),
            work=sys.argv[3], block_bytes=300)
"""


def killed_and_resumed(corpus, folder):
    work = folder.with_name("work")
    result = subprocess.run(
        [sys.executable, "-c", KILLED, corpus, folder, work],
        cwd=os.path.dirname(__file__),
        capture_output=True,
        check=False,
    )
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert list(work.glob("*.done")) and not folder.exists()
    options = {"executor": Inline(), "work": work, "block_bytes": 300}
    pack_corpus(corpus, Words(), folder, TIME, **options)


def two_workers(corpus, folder):
    with open_executor("local", workers=2) as executor:
        options = {"executor": executor, "block_bytes": 500}
        pack_corpus(corpus, Words(), folder, TIME, **options)


def other_shards(corpus, folder):
    pack_corpus(corpus, Words(), folder, TIME, shard_rows=7)


def other_blocks(corpus, folder):
    options = {"executor": Inline(), "block_bytes": 1}
    pack_corpus(corpus, Words(), folder, TIME, shard_rows=50, **options)


WAYS = [two_workers, other_shards, other_blocks, killed_and_resumed]


@pytest.fixture(scope="module")
def folders(corpus, tmp_path_factory):
    """The same corpus, packed in this process and in every other way."""
    place = tmp_path_factory.mktemp("rows")
    pack_corpus(corpus, Words(), place / "serial", TIME)
    for way in WAYS:
        way(corpus, place / way.__name__)
    return place


def batches(folder, number=40, **options):
    """The arrays of the first batches, in order."""
    dataset = row_dataset(open_rows(folder), 4, seed=5, **options)
    return [
        [*inputs.values(), targets, weights]
        for inputs, targets, weights in itertools.islice(
            dataset.as_numpy_iterator(), number
        )
    ]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shuffle", [True, False])
def test_the_same_batches(folders, way, shuffle):
    expected = batches(folders / "serial", shuffle=shuffle)
    received = batches(folders / way.__name__, shuffle=shuffle)
    assert len(open_rows(folders / "serial")) > 100
    for one, two in zip(expected, received, strict=True):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_ways_are_not_the_same_files(folders):
    shards = {
        way.__name__: len(open_rows(folders / way.__name__).info.shards)
        for way in WAYS
    }
    assert shards["other_shards"] > shards["other_blocks"] > 1
    assert shards["two_workers"] == shards["killed_and_resumed"] == 1


def test_the_same_losses_and_weights(folders, tmp_path):
    """Bit for bit, also where the second run reads other files."""
    runs = []
    for name in ("serial", "other_shards"):
        model = tiny_run.build()
        out = tmp_path / name
        tiny_run.train(open_rows(folders / name), out, model, **SHORT)
        lines = read_history(out / "metrics.jsonl")
        history = [
            {key: line[key] for key in line if key not in TIMES}
            for line in lines
        ]
        runs.append((history, model.get_weights()))
    (one, first), (two, second) = runs
    assert one == two and any("loss" in line for line in one)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_goes_on_with_rows_that_two_workers_packed(folders, tmp_path):
    """They are the same bytes: the checkpoint takes them for its own."""
    rows = [
        open_rows(folders / name)
        for name in ("serial", "two_workers", "killed_and_resumed")
    ]
    assert len({part.fingerprint for part in rows}) == 1


@pytest.mark.slow
def test_dask_gives_the_same_bytes(corpus, folders, tmp_path):
    pytest.importorskip("distributed")
    with open_executor("dask", workers=2) as executor:
        options = {"executor": executor, "block_bytes": 500}
        pack_corpus(corpus, Words(), tmp_path, TIME, **options)
    for path in (folders / "serial").iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()
