"""Spikes, NaN, and runs with every kind of state: stopped and continued."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import resume_variants
import tensorflow as tf
import tiny_run

from keras_llm.errors import InputError
from keras_llm.train import TokenTrainer, latest, read_history, restore
from keras_llm.train.ema import averaged
from keras_llm.train.watch import write_batch

BAD = 44  # the batch, from 0, that breaks a run
SETTINGS = {
    "steps": 56,
    "log_every": 2,
    "checkpoint_every": 4,
    "validate_every": 8,
    "sample_every": 8,
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return tiny_run.write_rows(tmp_path_factory.mktemp("rows"))


def dataset(rows, left_out=(), bad=True):
    """The batches of a run; the weighted loss of one is infinite."""
    from keras_llm.data import row_dataset

    batches = list(row_dataset(rows, 4, seed=3).take(64).as_numpy_iterator())
    if bad:
        inputs, targets, weights = batches[BAD]
        weights = np.zeros_like(weights)
        weights[0, 0] = 3.3e38
        batches[BAD] = (inputs, targets, weights)
    kept = [b for i, b in enumerate(batches) if i not in left_out]
    stacked = tf.nest.map_structure(lambda *x: np.stack(x), *kept)
    return tf.data.Dataset.from_tensor_slices(stacked)


def train(data, out, model=None, **changes):
    return tiny_run.train(
        data, out, model, **{"validation_rows": None, **SETTINGS, **changes}
    )


@pytest.mark.parametrize("name", resume_variants.VARIANTS)
def test_stopped_run_continues_bit_for_bit(rows, tmp_path, name):
    resume_variants.check(rows, tmp_path, name)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["muon", "small"], marks=pytest.mark.slow),
        pytest.param(["lion", "free"], marks=pytest.mark.long),
    ],
)
def test_stopped_run_continues_bit_for_bit_on_jax(names, rows, tmp_path):
    pytest.importorskip("jax", reason="JAX is not installed")
    script = resume_variants.__file__
    done = subprocess.run(
        [sys.executable, script, rows.folder, tmp_path, *names],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().split() == names


def test_nan_stops_and_its_batch_is_set_aside(rows, tmp_path):
    with pytest.raises(InputError, match="inf at step 45. Its batch is in "):
        train(dataset(rows), tmp_path, log_every=4)
    found = json.loads((tmp_path / "bad_batch.json").read_text())
    assert found["step"] == BAD + 1
    batch = next(iter(dataset(rows).skip(BAD)))
    tokens = [row["tokens"] for row in found["rows"]]
    assert tokens == batch[0]["tokens"].numpy().tolist()
    assert found["rows"][0]["weights"][0] > 3e38


def test_batch_is_written_with_its_text(tmp_path):
    class Decoder:
        def decode(self, ids):
            return " ".join(map(str, ids))

    batch = {"tokens": np.array([[1, 2]])}, np.array([[2, 3]])
    file = write_batch(tmp_path / "batch.json", 1, batch, Decoder())
    assert json.loads(file.read_text())["rows"][0]["text"] == "1 2"


def test_skip_leaves_out_one_update_and_goes_on(rows, tmp_path, caplog):
    report = train(dataset(rows), tmp_path, guard="skip")
    assert report.steps == SETTINGS["steps"] and np.isfinite(report.loss)
    lines = read_history(tmp_path / "metrics.jsonl")
    skipped = {line["step"]: line["skipped_updates"] for line in lines}
    assert skipped[44] == 0 and skipped[46] == skipped[56] == 1
    assert all(np.isfinite(line["loss"]) for line in lines)
    assert "Steps 45 to 46: 1 with a spike" in caplog.text


def test_going_back_equals_a_run_without_those_batches(rows, tmp_path):
    went_back, clean, stopped = (tiny_run.build() for _ in range(3))
    settings = {"guard": "roll_back"}
    train(dataset(rows), tmp_path / "a", went_back, **settings)
    # At step 46 back to 44: the batches 44 and 45 are never trained on.
    other = dataset(rows, left_out=(44, 45))
    train(other, tmp_path / "b", clean, **settings)
    assert resume_variants.history(tmp_path / "a") == resume_variants.history(
        tmp_path / "b"
    )
    with pytest.raises(KeyboardInterrupt):
        train(
            dataset(rows),
            tmp_path / "c",
            tiny_run.build(),
            callbacks=[resume_variants.stop_at(53)],
            **settings,
        )
    train(dataset(rows), tmp_path / "c", stopped, **settings)
    for model in (went_back, stopped):
        for ours, theirs in zip(
            model.get_weights(), clean.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


def test_a_run_that_is_never_finite_ends(rows, tmp_path):
    model = tiny_run.build()
    table = model.get_layer("token_embedding").embeddings
    table.assign(table * float("nan"))
    with pytest.raises(InputError, match="none in 2 steps up to step 2"):
        train(dataset(rows), tmp_path / "a", model, guard="skip")
    with pytest.raises(InputError, match="Expected out, a folder"):
        train(dataset(rows), None, guard="roll_back")


def test_files_and_the_final_model_hold_the_averages(rows, tmp_path):
    """And what training goes on with is kept beside them."""
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            with averaged(self.model.decoder, self.model.optimizer) as raw:
                assert raw is not None
                with averaged(self.model.decoder, self.model.optimizer) as no:
                    assert no is None
                seen.append(self.model.decoder.get_weights())
            self.raw = self.model.decoder.get_weights()

    look, model = Look(), tiny_run.build()
    report = tiny_run.train(rows, tmp_path, model, ema=0.9, callbacks=[look])
    other = tiny_run.build(seed=9)
    restore(latest(tmp_path / "checkpoints"), other)
    differ = 0.0
    for ours, kept, average, raw in zip(
        model.get_weights(),
        other.get_weights(),
        seen[-1],
        look.raw,
        strict=True,
    ):
        np.testing.assert_array_equal(ours, average)
        if "float" in str(kept.dtype):
            np.testing.assert_array_equal(kept, average)
            differ = max(differ, np.abs(raw - average).max())
    assert differ > 1e-4
    trainer = TokenTrainer(model)
    trainer.compile("adam")
    loss = trainer.evaluate(_once(rows), verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(report.validation_loss, rel=1e-6)


def test_batches_grow_and_each_row_comes_once(rows, tmp_path):
    from keras_llm.train.ramp import Ramp
    from keras_llm.train.source import open_source

    ramp = Ramp(first=1, rows=4, part=1, steps=6)
    assert ramp.stages == ((0, 1), (2, 2), (4, 3), (6, 4))
    source = open_source(rows, tiny_run.build(), 4)
    grown = source._replace(sizes=ramp.stages)
    steps = list(grown.batches(3, 0).take(9).as_numpy_iterator())
    filled = [
        batch[0]["tokens"][batch[0]["segments"].any(-1)] for batch in steps
    ]
    assert [len(part) for part in filled] == [1, 1, 2, 2, 3, 3, 4, 4, 4]
    plain = [
        batch[0]["tokens"]
        for batch in source.batches(3, 0).take(6).as_numpy_iterator()
    ]
    np.testing.assert_array_equal(np.concatenate(filled), np.concatenate(plain))
    later = next(iter(grown.batches(3, 5)))[0]["tokens"]
    np.testing.assert_array_equal(later, steps[5][0]["tokens"])
    settings = {"accumulate": 4, "ramp_steps": 6, "ramp_from": 1}
    tokens = sum(int(batch[2].sum()) for batch in steps)
    report = tiny_run.train(
        rows, tmp_path, steps=9, validation_rows=None, **settings
    )
    assert report.tokens == tokens


def test_a_step_of_the_ramp_is_the_step_on_its_rows_alone(rows):
    """Empty micro-batches change nothing, and are not computed."""
    grown = _batch(rows, keep=2)
    alone = tf.nest.map_structure(lambda x: x[:2], grown)
    found = []
    for batch, accumulate in ((grown, 4), (alone, 1)):
        model = tiny_run.build(dropout=0.0)
        trainer = TokenTrainer(model, accumulate=accumulate)
        trainer.compile(keras.optimizers.SGD(0.1))
        trainer.fit(*batch[:2], sample_weight=batch[2], verbose=0)
        found.append(model.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    parts = trainer.parts_in_use(np.zeros((1, 2, 8)))
    assert int(parts) == 0


def _batch(rows, keep):
    from keras_llm.data import row_dataset

    batch = next(iter(row_dataset(rows, 4).as_numpy_iterator()))
    mask = (np.arange(4) < keep)[:, None]
    return tf.nest.map_structure(lambda x: x * mask.astype(x.dtype), batch)


def _once(rows):
    from keras_llm.train.source import open_source

    return open_source(rows, tiny_run.build(), 4).once()
