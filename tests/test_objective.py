"""The step with any objective, and rows in memory."""

import copy

import numpy as np
import pytest
import tensorflow as tf
import tiny_run
from distributed_run import TIME, arrays
from keras import ops
from objectives import RowLoss

from keras_llm.data import ArrayRows, row_indices
from keras_llm.errors import InputError
from keras_llm.train import (
    AdamW,
    NextToken,
    TokenTrainer,
    fit,
    read_history,
    score_rows,
)


@pytest.fixture(scope="module")
def rows():
    return ArrayRows(*arrays())


def expected(model, rows):
    """The sums of `RowLoss` in plain numpy."""
    inputs, targets, weights = rows.batch(np.arange(len(rows)))
    logits = ops.convert_to_numpy(model(inputs)).astype("float64")
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    nats = -np.take_along_axis(logits, targets[..., None], -1)[..., 0]
    units = weights.any(1)
    each = (nats * weights).sum(1) / np.maximum(weights.sum(1), 1)
    return np.log1p(np.exp(each))[units].mean(), each[units].mean()


@pytest.mark.parametrize("batch", [40, 7])
def test_means_are_over_units_however_rows_are_batched(rows, batch):
    model = tiny_run.build(dropout=0.0)
    logs = score_rows(model, rows, RowLoss(), batch)
    loss, nats = expected(model, rows)
    assert logs["loss"] == pytest.approx(loss, rel=1e-5)
    assert logs["row_nats"] == pytest.approx(nats, rel=1e-5)
    assert set(logs) == {"loss", "accuracy", "row_nats"}


def test_micro_batches_are_the_whole_batch(rows):
    data = tf.data.Dataset.from_tensors(rows.batch(np.arange(len(rows))))

    def moved(accumulate):
        model = tiny_run.build(dropout=0.0)
        trainer = TokenTrainer(
            model, accumulate, clip_norm=0.5, objective=RowLoss()
        )
        trainer.compile(AdamW(1e-2, epsilon=1e-4))
        logs = trainer.fit(data, epochs=3, shuffle=False, verbose=0).history
        return model.get_weights(), logs

    whole, logs = moved(1)
    parts, others = moved(7)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    for name in ("loss", "row_nats", "tokens", "gradient_norm"):
        np.testing.assert_allclose(logs[name], others[name], rtol=1e-4)


def test_fit_shows_the_metrics_and_counts_tokens(rows, tmp_path):
    report = fit(
        tiny_run.build(),
        rows,
        objective=RowLoss(),
        validation_rows=rows,
        out=tmp_path / "run",
        **tiny_run.SETTINGS,
    )
    lines = read_history(tmp_path / "run" / "metrics.jsonl")
    assert report.perplexity is None and "perplexity" not in lines[-1]
    assert report.tokens == tiny_run.STEPS * 4 * TIME
    assert lines[-1]["row_nats"] > 0
    assert lines[-1]["validation_row_nats"] > 0


def test_next_token_is_the_default(rows):
    def trained(**changes):
        model = tiny_run.build()
        fit(model, rows, **(tiny_run.SETTINGS | {"steps": 4} | changes))
        return model.get_weights()

    for one, other in zip(
        trained(), trained(objective=NextToken()), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_rows_come_in_the_order_of_rows_on_disk(rows):
    from keras_llm.data import row_dataset

    batches = row_dataset(rows, 7, seed=3, start_step=4).take(3)
    for step, (inputs, targets, weights) in enumerate(batches, start=4):
        order = row_indices(step, 7, len(rows), seed=3)
        np.testing.assert_array_equal(targets, rows.targets[order])
        np.testing.assert_array_equal(weights, rows.weights[order])
        np.testing.assert_array_equal(
            inputs["tokens"], rows.inputs["tokens"][order]
        )


def test_a_stopped_run_goes_on_bit_for_bit(rows, tmp_path):
    settings = tiny_run.SETTINGS | {"objective": RowLoss()}
    whole = tiny_run.build()
    fit(whole, rows, out=tmp_path / "whole", **settings)

    class Stop(Exception):
        pass

    import keras

    class Stopper(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if logs["step"] == 8:
                raise Stop

    with pytest.raises(Stop):
        fit(
            tiny_run.build(),
            rows,
            out=tmp_path / "cut",
            callbacks=[Stopper()],
            **settings,
        )
    again = tiny_run.build(seed=99)
    fit(again, rows, out=tmp_path / "cut", **settings)
    for one, other in zip(
        whole.get_weights(), again.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


class Counting:
    """Batches that are made from the weights as they are."""

    batch_size, time, context_length, fingerprint = 4, TIME, TIME, "counting"

    def __init__(self, rows, model):
        self.rows, self.model, self.seen = rows, model, []

    def batches_from(self, step, seed):
        empty = self.rows.batch(np.empty(0, "int64"))

        def make(step):
            kernel = self.model.get_layer("block_0").mlp.up.kernel
            self.seen.append((int(step), float(ops.sum(kernel))))
            return tf.nest.flatten(self.rows.batch(np.arange(4) + step % 36))

        def batch(step):
            types = [array.dtype for array in tf.nest.flatten(empty)]
            arrays = tf.numpy_function(make, [step], types)
            for array in arrays:
                array.set_shape((4, TIME))
            return tf.nest.pack_sequence_as(empty, arrays)

        options = tf.data.Options()
        options.experimental_optimization.inject_prefetch = False
        steps = tf.data.Dataset.range(step, np.iinfo("int64").max)
        return steps.map(batch).with_options(options)


def test_what_makes_batches_sees_the_weights_of_the_step_before(rows):
    model = tiny_run.build(dropout=0.0)
    source = Counting(rows, model)
    fit(model, source, **(tiny_run.SETTINGS | {"steps": 6}))
    steps, sums = zip(*source.seen, strict=True)
    assert list(steps) == list(range(6))
    assert len(set(sums)) == 6  # each batch saw another kernel
    final = float(ops.sum(model.get_layer("block_0").mlp.up.kernel))
    assert final not in sums


def test_mistakes_are_sentences(rows):
    inputs, targets, weights = arrays()
    with pytest.raises(InputError, match="with one row each"):
        ArrayRows(inputs, targets[1:], weights)
    with pytest.raises(InputError, match="one shape"):
        ArrayRows(inputs, targets, weights[:, 1:])
    with pytest.raises(InputError, match="tokens, positions, segments"):
        ArrayRows({"tokens": inputs["tokens"]}, targets, weights)
    longer = copy.deepcopy(inputs)
    longer["positions"] = longer["positions"] + 1
    with pytest.raises(InputError, match="context_length=8"):
        fit(tiny_run.build(), ArrayRows(longer, targets), **tiny_run.SETTINGS)
    with pytest.raises(InputError, match="batches of 4"):
        source = Counting(rows, tiny_run.build())
        fit(
            tiny_run.build(),
            source,
            **(tiny_run.SETTINGS | {"batch_size": 8}),
        )
    rows = ArrayRows(inputs, targets, tokenizer="a" * 64)
    with pytest.raises(InputError, match="Expected the tokenizer of"):
        rows.require(tiny_run.Words())
