"""`fit` and the training step: the same update however it is computed."""

import importlib
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_run

from keras_llm.errors import InputError
from keras_llm.train import (
    AdamW,
    TokenTrainer,
    WarmupCosine,
    read_history,
)

TIME = 8


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return tiny_run.write_rows(tmp_path_factory.mktemp("rows"))


@pytest.fixture
def arrays():
    """24 rows in which some targets do not count."""
    random = np.random.default_rng(0)
    tokens = random.integers(0, 50, (24, TIME + 1)).astype("int32")
    inputs = {
        "tokens": tokens[:, :-1],
        "positions": np.tile(np.arange(TIME, dtype="int32"), (24, 1)),
        "segments": np.ones((24, TIME), "int32"),
    }
    weights = (random.random((24, TIME)) < 0.6).astype("float32")
    weights[5] = 0
    return inputs, tokens[:, 1:], weights


def trained(arrays, batch=8, dropout=0.0, epochs=2, jit=None, **options):
    """Weights and logs after a few steps through stock `fit`."""
    inputs, targets, weights = arrays
    model = tiny_run.build(dropout=dropout)
    trainer = TokenTrainer(model, **options)
    optimizer = AdamW(WarmupCosine(1e-2, 20, 3), epsilon=1e-6)
    trainer.compile(optimizer, jit_compile=jit)
    history = trainer.fit(
        inputs,
        targets,
        sample_weight=weights,
        batch_size=batch,
        epochs=epochs,
        shuffle=False,
        verbose=0,
    ).history
    return model.get_weights(), history


def assert_close(first, second, limit=1e-6):
    for one, other in zip(first, second, strict=True):
        assert np.abs(one - other).max() <= limit


@pytest.mark.parametrize(("accumulate", "clip_norm"), [(4, None), (3, 0.5)])
def test_micro_batches_equal_the_big_batch(arrays, accumulate, clip_norm):
    whole, logs = trained(arrays, clip_norm=clip_norm)
    parts, part_logs = trained(
        arrays, clip_norm=clip_norm, accumulate=accumulate
    )
    assert_close(whole, parts)
    for name in ("loss", "accuracy", "gradient_norm", "learning_rate"):
        np.testing.assert_allclose(logs[name], part_logs[name], rtol=1e-5)


@pytest.mark.parametrize("accumulate", [1, 4])
def test_a_step_compiled_whole_equals_the_default(arrays, accumulate):
    usual, logs = trained(arrays, epochs=1, accumulate=accumulate)
    whole, xla = trained(arrays, epochs=1, accumulate=accumulate, jit=True)
    assert_close(usual, whole, 1e-5)
    np.testing.assert_allclose(logs["loss"], xla["loss"], rtol=1e-5)


def test_step_equals_one_written_by_hand(arrays):
    """One step: tape, Keras' loss, tf.clip_by_global_norm, Keras' AdamW."""
    inputs, targets, weights = arrays
    model = tiny_run.build(dropout=0.0)
    kernels = [v for v in model.trainable_variables if v.name == "kernel"]
    others = [v for v in model.trainable_variables if v.name != "kernel"]
    optimizer = keras.optimizers.AdamW(
        1e-2, weight_decay=0.1, beta_2=0.95, epsilon=1e-4
    )
    optimizer.exclude_from_weight_decay(var_list=others)
    with tf.GradientTape() as tape:
        loss = keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="sum"
        )(targets, model(inputs), sample_weight=weights)
        loss = loss / weights.sum()
    gradients = tape.gradient(loss, [v.value for v in kernels + others])
    clipped, norm = tf.clip_by_global_norm(gradients, 0.5)
    optimizer.apply(clipped, kernels + others)

    ours = tiny_run.build(dropout=0.0)
    trainer = TokenTrainer(ours, clip_norm=0.5)
    trainer.compile(AdamW(1e-2, epsilon=1e-4))
    logs = trainer.fit(
        inputs, targets, sample_weight=weights, batch_size=24, verbose=0
    ).history
    assert_close(ours.get_weights(), model.get_weights())
    assert logs["loss"][0] == pytest.approx(float(loss), rel=1e-6)
    assert logs["perplexity"][0] == pytest.approx(np.exp(loss), rel=1e-5)
    assert logs["gradient_norm"][0] == pytest.approx(float(norm), rel=1e-5)
    assert logs["learning_rate"][0] == pytest.approx(1e-2)


def test_evaluate_is_the_mean_over_tokens_of_all_batches(arrays):
    inputs, targets, weights = arrays
    model = tiny_run.build()
    trainer = TokenTrainer(model)
    trainer.compile("adam")
    found = trainer.evaluate(
        inputs,
        targets,
        sample_weight=weights,
        batch_size=5,
        verbose=0,
        return_dict=True,
    )
    logits = model(inputs).numpy().astype("float64")
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    chosen = np.take_along_axis(log_p, targets[..., None], -1)[..., 0]
    hits = logits.argmax(-1) == targets
    total = weights.sum()
    expected = {
        "loss": -(chosen * weights).sum() / total,
        "accuracy": (hits * weights).sum() / total,
        "tokens": total,
    }
    expected["perplexity"] = np.exp(expected["loss"])
    assert found == pytest.approx(expected, rel=1e-5)


def test_layer_losses_are_trained_in_equal_shares(arrays):
    def run(accumulate):
        model = tiny_run.build(dropout=0.0)
        norm = model.get_layer("final_norm").trainable_variables[0]
        norm.regularizer = keras.regularizers.L2(1.0)
        trainer = TokenTrainer(model, accumulate=accumulate)
        trainer.compile(keras.optimizers.SGD(0.1))
        trainer.fit(
            *arrays[:2], sample_weight=arrays[2], batch_size=24, verbose=0
        )
        return model.get_weights()

    assert_close(run(1), run(4))
    plain, _ = trained(arrays, epochs=1)
    assert any(
        np.abs(a - b).max() > 1e-3 for a, b in zip(run(1), plain, strict=True)
    )


def test_jax_takes_the_same_steps(arrays, tmp_path):
    pytest.importorskip("jax", reason="JAX is not installed")
    inputs, targets, weights = arrays
    np.savez(tmp_path / "data.npz", targets=targets, weights=weights, **inputs)
    model = tiny_run.build(dropout=0.0)
    model.save_weights(tmp_path / "start.weights.h5")
    script = tmp_path / "script.py"
    script.write_text(JAX_SCRIPT)
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "PYTHONPATH": os.path.dirname(tiny_run.__file__),
    }
    done = subprocess.run(
        [sys.executable, script, tmp_path], env=environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    theirs = json.loads((tmp_path / "logs.json").read_text())
    _, ours = trained(arrays, accumulate=3, clip_norm=0.5)
    for name in ("loss", "accuracy", "gradient_norm", "learning_rate"):
        np.testing.assert_allclose(theirs[name], ours[name], rtol=1e-4)


JAX_SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
import tiny_run
from keras_llm.train import AdamW, TokenTrainer, WarmupCosine

folder = Path(sys.argv[1])
data = dict(np.load(folder / "data.npz"))
targets, weights = data.pop("targets"), data.pop("weights")
model = tiny_run.build(dropout=0.0)
model.load_weights(folder / "start.weights.h5")
trainer = TokenTrainer(model, accumulate=3, clip_norm=0.5)
trainer.compile(AdamW(WarmupCosine(1e-2, 20, 3), epsilon=1e-6))
history = trainer.fit(
    data, targets, sample_weight=weights, batch_size=8, epochs=2,
    shuffle=False, verbose=0,
).history
(folder / "logs.json").write_text(json.dumps(history))
"""


def test_report_adds_up(rows):
    report = tiny_run.train(rows, None)
    batches = tiny_run.STEPS * tiny_run.SETTINGS["batch_size"]
    assert report.steps == report.planned_steps == tiny_run.STEPS
    assert 0 < report.tokens < batches * TIME
    assert report.perplexity == pytest.approx(np.exp(report.loss), rel=1e-5)
    assert report.mfu == pytest.approx(
        report.tokens_per_second * report.flops_per_token / report.peak_flops
    )
    assert report.history is None and report.checkpoint is None
    assert report.precision == "float32"


def test_dataset_of_ones_own_sees_the_same_rows(rows):
    from keras_llm.data import row_dataset

    dataset = row_dataset(rows, 4, seed=3, epochs=20)
    ours = tiny_run.train(rows, None)
    theirs = tiny_run.train(dataset, None)
    assert theirs.loss == ours.loss


def test_bfloat16_learns_and_is_recorded(rows, tmp_path):
    model = tiny_run.build(dtype="mixed_bfloat16")
    tiny_run.train(rows, tmp_path, model, accumulate=2)
    history = read_history(tmp_path / "metrics.jsonl")
    assert history[-1]["loss"] < history[0]["loss"]
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    saved = json.loads((tmp_path / "train.json").read_text())
    assert saved["precision"] == "mixed_bfloat16"
    with pytest.raises(InputError, match="precision was mixed_bfloat16"):
        tiny_run.train(rows, tmp_path, accumulate=2)


def test_minutes_plan_the_steps_and_leave_no_trace(rows):
    """Measuring trains a few steps and must undo them."""
    trainer = TokenTrainer(model := tiny_run.build())
    optimizer = AdamW(WarmupCosine(1e-2, 20, 3))
    optimizer.build(trainer.trainable_variables)
    trainer.compile(optimizer)
    variables = [*model.variables, *optimizer.variables]
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in variables]
    plan = importlib.import_module("keras_llm.train.plan")
    from keras_llm.data import row_dataset

    done = []
    chores = [(lambda: done.append(1), 4)]
    batches = row_dataset(rows, 4)
    assert plan.plan_steps(trainer, batches, 60.0, chores) > 10
    assert len(done) == 2
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_time_limit_stops_with_validation_and_checkpoint(
    rows, tmp_path, monkeypatch
):
    module = importlib.import_module("keras_llm.train.training")
    monkeypatch.setattr(module, "plan_steps", lambda *args: 10_000_000)
    settings = {"steps": None, "minutes": 0.05}
    report = tiny_run.train(rows, tmp_path, **settings)
    assert 0 < report.steps < report.planned_steps
    last = read_history(tmp_path / "metrics.jsonl")[-1]
    assert last["step"] == report.steps and "validation_loss" in last
    assert report.checkpoint.endswith(f"step-{report.steps:08d}")
    again = tiny_run.train(rows, tmp_path, **settings)
    assert again == report


def test_diverged_run_says_so_and_keeps_its_checkpoint(rows, tmp_path):
    model = tiny_run.build()

    class Break(keras.callbacks.Callback):
        steps = 0

        def on_train_batch_begin(self, batch, logs=None):
            self.steps += 1
            if self.steps == 7:
                kernel = model.get_layer("token_embedding").embeddings
                kernel.assign(kernel * float("nan"))

    with pytest.raises(InputError, match="nan at step 7. Its batch is in"):
        tiny_run.train(rows, tmp_path, model, callbacks=[Break()])
    names = os.listdir(tmp_path / "checkpoints")
    assert names == ["step-00000004"]
