"""float16 with loss scaling: what is left out, learned, saved and said."""

import logging
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_run
from resume_variants import history, stop_at

from keras_llm.errors import InputError
from keras_llm.train import (
    AdamW,
    TokenTrainer,
    WarmupCosine,
    choose_precision,
    loss_scale,
    precision_of,
    recipe,
)

HALF = {"dtype": "mixed_float16", "dropout": 0.0}


def arrays():
    random = np.random.default_rng(0)
    tokens = random.integers(0, 50, (8, 9)).astype("int32")
    return tokens[:, :-1], tokens[:, 1:]


def trained(dtype, steps=8, scale=None, **options):
    model = tiny_run.build(dtype=dtype, dropout=0.0)
    trainer = TokenTrainer(model, accumulate=2, clip_norm=0.5, **options)
    trainer.compile(AdamW(WarmupCosine(1e-2, 20, 3), loss_scale=scale, ema=0.9))
    tokens, targets = arrays()
    logs = trainer.fit(
        tokens, targets, batch_size=8, epochs=steps, shuffle=False, verbose=0
    ).history
    return trainer, logs


def test_float16_learns_what_float32_learns():
    half, logs = trained("mixed_float16", scale=2.0**12)
    _, expected = trained("float32")
    for name in ("loss", "gradient_norm"):  # clipped after unscaling
        np.testing.assert_allclose(logs[name], expected[name], rtol=2e-2)
    assert logs["learning_rate"] == expected["learning_rate"]
    assert half.optimizer.loss_scale.skipped == 0


@pytest.mark.parametrize("chunk", [None, 16])
def test_a_step_that_does_not_fit_is_left_out(chunk):
    trainer, _ = trained("mixed_float16", 2, 2.0**10, loss_chunk=chunk)
    state = trainer.optimizer.loss_scale.state
    state.assign([2.0**24, 7.0, 0.0])
    variables = [
        *trainer.decoder.variables,
        *(v for v in trainer.optimizer.variables if v is not state),
    ]
    before = [np.array(variable) for variable in variables]
    tokens, targets = arrays()
    logs = trainer.fit(tokens, targets, batch_size=8, verbose=0).history
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable, value, variable.path)
    assert np.array(state).tolist() == [2.0**23, 0.0, 1.0]
    assert np.isfinite(logs["loss"]) and logs["gradient_norm"] == [0.0]


def test_factor_follows_what_fits(monkeypatch):
    monkeypatch.setattr(loss_scale, "PATIENCE", 2)
    optimizer = AdamW(loss_scale=2.0)
    optimizer.build([keras.Variable([1.0])])
    scale, infinite = optimizer.loss_scale, float("inf")
    seen = []
    for loss, norm in (
        (1.0, 1.0),
        (1.0, 1.0),  # the second good one: doubled
        (1.0, infinite),
        (1.0, infinite),
        (1.0, infinite),  # at 1 it is not the factor's fault
        (infinite, 1.0),
    ):
        counts = bool(scale.decide(loss, norm))
        seen.append((counts, float(scale.factor)))
    good, left_out = True, False
    assert seen == [
        *((good, 2.0), (good, 4.0), (left_out, 2.0)),
        *((left_out, 1.0), (good, 1.0), (good, 2.0)),
    ]
    assert scale.skipped == 2


def test_stopped_run_goes_on_exactly(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "FIRST", 2.0**24)  # begins with overflows
    rows = tiny_run.write_rows(tmp_path / "rows")
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    tiny_run.train(rows, whole, tiny_run.build(**HALF))
    with pytest.raises(KeyboardInterrupt):
        tiny_run.train(
            rows, stopped, tiny_run.build(**HALF), callbacks=[stop_at(7)]
        )
    model = tiny_run.build(**HALF)
    report = tiny_run.train(rows, stopped, model)
    assert history(stopped) == history(whole)
    assert report.precision == "mixed_float16"
    optimizer = dict(_arrays(whole, "optimizer"))
    factor, _, skipped = optimizer["adamw/loss_scale"]
    assert skipped > 0
    assert factor == 2.0 ** (24 - skipped)
    assert optimizer["adamw/iteration"] == tiny_run.STEPS - skipped
    for name, value in _arrays(stopped, "optimizer"):
        np.testing.assert_array_equal(value, optimizer[name], name)


def _arrays(out, name):
    from safetensors.numpy import load_file

    path = out / "checkpoints" / f"step-{tiny_run.STEPS:08d}"
    return load_file(path / f"{name}.safetensors").items()


def test_what_is_missing_or_slow_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        assert choose_precision("mixed_float16") == "mixed_float16"
    assert "float16 is slow without a GPU" in caplog.text
    model = tiny_run.build(**HALF)
    assert precision_of(model) == "mixed_float16"
    with pytest.raises(InputError, match="an optimizer with loss scaling"):
        TokenTrainer(model).compile("adam")
    with pytest.raises(InputError, match="a power of two"):
        AdamW(loss_scale=1000.0)
    assert AdamW.from_config(AdamW(loss_scale=8.0).get_config()).loss_scale


@pytest.mark.parametrize("jit", [True])
def test_xla_and_keras_policy_do_not_scale_twice(jit):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = tiny_run.build(**HALF)
        trainer = TokenTrainer(model, loss_chunk=16)
        optimizer = AdamW(1e-2, loss_scale=2.0**10)
        trainer.compile(optimizer, jit_compile=jit)
    finally:
        keras.config.set_dtype_policy("float32")
    assert trainer.optimizer is optimizer
    tokens, targets = arrays()
    data = tf.data.Dataset.from_tensors((tokens, targets)).repeat()
    logs = trainer.fit(
        data, steps_per_epoch=4, epochs=2, shuffle=False, verbose=0
    ).history
    assert logs["loss"][1] < logs["loss"][0]


IN_JAX = """
import numpy as np, tiny_run
from keras_llm.train import AdamW, TokenTrainer

model = tiny_run.build(dtype="mixed_float16", dropout=0.0)
trainer = TokenTrainer(model, accumulate=2, clip_norm=0.5)
trainer.compile(AdamW(1e-2, loss_scale=2.0**24))
random = np.random.default_rng(0)
tokens = random.integers(0, 50, (8, 9)).astype("int32")
logs = trainer.fit(
    tokens[:, :-1], tokens[:, 1:], batch_size=8, epochs=24, shuffle=False,
    verbose=0,
).history
from keras import ops

state = ops.convert_to_numpy(trainer.optimizer.loss_scale.state)
factor, good, skipped = state
assert skipped > 0 and factor == 2.0 ** (24 - skipped), (factor, skipped)
assert int(trainer.optimizer.iterations) == 24 - skipped >= good, state
assert logs["loss"][-1] < logs["loss"][0], logs["loss"]
assert np.isfinite(logs["gradient_norm"]).all()
"""


def test_the_same_on_jax():
    done = subprocess.run(
        [sys.executable, "-c", IN_JAX],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        cwd=os.path.dirname(__file__),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
