"""The pipeline: order from (seed, epoch, index), exact resume, fixed shapes."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

from keras_llm.data import (
    Document,
    open_rows,
    pack_corpus,
    row_dataset,
    row_indices,
    training_arrays,
)
from keras_llm.errors import InputError

GOLDEN = [
    [5, 0, 6, 4, 1, 2, 9, 3, 7, 8],
    [4, 1, 6, 9, 3, 5, 2, 0, 7, 8],
    [862633426, 331417710, 375952199, 663151565],
]


class Words:
    """A stand-in tokenizer: one id per word."""

    vocabulary_size = 1000
    fingerprint = "w" * 64
    bos_id = eos_id = 0

    def encode(self, texts, allowed_special=(), disallowed_special="all"):
        return [[int(word) for word in text.split()] for text in texts]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """A few rows of 8 tokens."""
    generator = np.random.default_rng(1)
    documents = [
        Document(" ".join(map(str, generator.integers(1, 1000, size=n))), "")
        for n in generator.integers(3, 30, size=15)
    ]
    folder = tmp_path_factory.mktemp("rows")
    pack_corpus(documents, Words(), folder, context_length=8, shard_rows=5)
    return open_rows(folder)


def batches(dataset, number=None):
    return list(itertools.islice(dataset.as_numpy_iterator(), number))


def assert_equal(first, second):
    """Compares lists of (inputs, targets, weights)."""
    assert len(first) == len(second)
    for (a, *rest_a), (b, *rest_b) in zip(first, second, strict=True):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
        for x, y in zip(rest_a, rest_b, strict=True):
            np.testing.assert_array_equal(x, y)


def indices(steps, batch_size, num_rows, **options):
    parts = [row_indices(s, batch_size, num_rows, **options) for s in steps]
    return np.concatenate(parts)


@pytest.mark.parametrize("num_rows", [1, 2, 3, 7, 64, 1000])
@pytest.mark.parametrize("batch_size", [1, 4, 5])
def test_each_row_once_per_epoch(num_rows, batch_size):
    # One long batch is enough to see epochs whole.
    steps = -(-3 * num_rows // batch_size)
    if num_rows > 64:
        steps, batch_size = 3, num_rows
    order = indices(range(steps), batch_size, num_rows, seed=5)
    for epoch in range(3):
        part = order[epoch * num_rows : (epoch + 1) * num_rows]
        assert sorted(part) == list(range(num_rows))


def test_order_depends_on_seed_and_epoch_only():
    first, second = (row_indices(s, 1000, 1000, seed=1) for s in (0, 1))
    other = row_indices(0, 1000, 1000, seed=2)
    for one, two in itertools.combinations([first, second, other], 2):
        assert np.mean(one == two) < 0.02
    np.testing.assert_array_equal(indices(range(40), 25, 1000, seed=1), first)
    # Neighbours on disk are not neighbours in a batch.
    assert np.mean(np.abs(np.diff(first)) == 1) < 0.01


def test_golden_order():
    # A change here would make every checkpoint resume on other rows.
    assert row_indices(0, 10, 10, seed=7).tolist() == GOLDEN[0]
    assert row_indices(1, 10, 10, seed=7).tolist() == GOLDEN[1]
    assert row_indices(123, 4, 10**9, seed=2**32 - 1).tolist() == GOLDEN[2]


def test_batches_hold_the_rows_of_row_indices(rows):
    dataset = row_dataset(rows, batch_size=4, seed=3)
    expected = []
    for step in range(12):
        packed = rows[row_indices(step, 4, len(rows), seed=3)]
        expected.append(training_arrays(packed["tokens"], packed["segments"]))
    assert_equal(batches(dataset, 12), expected)


@pytest.mark.parametrize("start", [1, 5, 9, 1000])
def test_resume_is_exact(rows, start):
    number = start + 4 if start < 100 else 4
    resumed = row_dataset(rows, 4, seed=3, start_step=start)
    if start < 100:
        whole = batches(row_dataset(rows, 4, seed=3), number)[start:]
    else:
        taken = [row_indices(start + n, 4, len(rows), seed=3) for n in range(4)]
        whole = [
            training_arrays(packed["tokens"], packed["segments"])
            for packed in (rows[i] for i in taken)
        ]
    assert_equal(batches(resumed, 4), whole)


def test_static_shapes_and_cardinality(rows):
    import tensorflow as tf

    dataset = row_dataset(rows, batch_size=4)
    inputs, targets, weights = dataset.element_spec
    assert set(inputs) == {"tokens", "positions", "segments"}
    for spec in (*inputs.values(), targets):
        assert (spec.shape, spec.dtype) == ((4, 8), tf.int32)
    assert (weights.shape, weights.dtype) == ((4, 8), tf.float32)
    assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY
    finite = row_dataset(rows, batch_size=4, epochs=2, start_step=1)
    assert finite.cardinality() == -(-2 * len(rows) // 4) - 1


@pytest.mark.parametrize("shuffle", [True, False])
def test_one_epoch_gives_every_target_once(rows, shuffle):
    assert len(rows) % 4
    dataset = row_dataset(rows, 4, epochs=1, shuffle=shuffle)
    received = batches(dataset)
    assert sum(weights.sum() for *_, weights in received) == rows.info.targets
    last_inputs, _, last_weights = received[-1]
    assert last_weights[-1].sum() == last_inputs["segments"][-1].sum() == 0
    if not shuffle:
        tokens = np.concatenate([i["tokens"] for i, *_ in received])
        expected = rows[:]["tokens"][:, :-1]
        np.testing.assert_array_equal(tokens[: len(rows)], expected)


def test_resume_after_the_end_is_empty(rows):
    assert not batches(row_dataset(rows, 4, epochs=1, start_step=10_000))


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"batch_size": 2, "seed": -1},
        {"batch_size": 2, "seed": 2**32},
        {"batch_size": 2, "start_step": -1},
        {"batch_size": 2, "epochs": 0},
    ],
)
def test_impossible_numbers_are_refused(rows, options):
    with pytest.raises(InputError, match="Received"):
        row_dataset(rows, **options)


def test_keras_fit_reads_it(rows):
    import keras

    inputs = {
        name: keras.Input((8,), dtype="int32", name=name)
        for name in ("tokens", "positions", "segments")
    }
    x = keras.layers.Embedding(1000, 4)(inputs["tokens"])
    model = keras.Model(inputs, keras.layers.Dense(1000)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    history = model.fit(
        row_dataset(rows, 4),
        steps_per_epoch=3,
        epochs=2,
        shuffle=False,
        verbose=0,
    )
    assert np.isfinite(history.history["loss"]).all()


def test_data_does_not_import_tensorflow():
    code = "import sys, keras_llm.data; print('tensorflow' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
