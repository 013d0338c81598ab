"""On JAX a decoder is built and trained where TensorFlow is not installed."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_llm.layers import GroupedQueryAttention, attention

ROOT = Path(__file__).parents[1]

TRAIN = """
import sys
sys.modules["tensorflow"] = None  # an import of it fails
import numpy as np
from keras_llm.config import DecoderConfig
from keras_llm.model import build_decoder
from keras_llm.train import AdamW, TokenTrainer, choose_precision

config = DecoderConfig(vocabulary_size=50, context_length=8, num_layers=1,
                       hidden_dim=16, num_heads=2, dropout=0.1)
model = build_decoder(config, dtype=choose_precision())
trainer = TokenTrainer(model, clip_norm=1.0, accumulate=2, loss_chunk=16)
trainer.compile(AdamW(1e-2))
tokens = np.random.default_rng(0).integers(0, 50, (8, 9)).astype("int32")
losses = trainer.fit(tokens[:, :-1], tokens[:, 1:], batch_size=4, epochs=3,
                     shuffle=False, verbose=0).history["loss"]
assert losses[2] < losses[0] < 5, losses
"""


def run(*words):
    return subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_trains():
    done = run("-c", TRAIN)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_benchmark_runs_without_a_gpu_and_without_tensorflow():
    blocked = "import sys, runpy; sys.modules['tensorflow'] = None; "
    script = str(ROOT / "benchmarks" / "gpu.py")
    folder = str(ROOT / "benchmarks")
    go = f"sys.path.insert(0, {folder!r}); sys.argv = sys.argv[1:]; "
    words = f"runpy.run_path({script!r}, run_name='__main__')"
    done = run("-c", blocked + go + words, script)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "JAX sees no GPU on this machine" in done.stdout
    small = ["--cpu", "--rows", "1", "--steps", "2", "--rounds", "1"]
    done = run("-c", blocked + go + words, script, *small)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "TFLOP/s in a large matrix product" in done.stdout


@pytest.mark.parametrize("segments", [False, True])
@pytest.mark.parametrize(("rows", "window"), [(2, None), (1, 3)])
def test_fused_attention_is_attention(monkeypatch, segments, rows, window):
    """By Keras' operation, which on a CPU is plain products, too."""
    layer = GroupedQueryAttention(
        num_heads=4, window=window, dtype="mixed_bfloat16"
    )
    x = np.random.default_rng(0).normal(size=(rows, 6, 16))
    given = ()
    if segments:
        order = keras.ops.tile([[0, 1, 2, 0, 1, 2]], (rows, 1))
        documents = keras.ops.tile([[1, 1, 1, 2, 2, 2]], (rows, 1))
        mask = attention.visibility(order, order, window, documents, documents)
        given = (None, mask)  # by place: Keras looks at names
    expected = layer(x, *given)
    calls = []
    fused = attention.fused_attention
    monkeypatch.setattr(attention, "has_fused_attention", lambda: True)
    monkeypatch.setattr(
        attention,
        "fused_attention",
        lambda *args: calls.append(args[3]) or fused(*args),
    )
    found = layer(x, *given)
    causal = calls[0] is None
    assert causal == (rows == 2 and not segments)
    np.testing.assert_allclose(
        *(keras.ops.cast(y, "float32") for y in (found, expected)), atol=0.02
    )


def test_what_the_kernel_lacks_is_computed_as_ever(monkeypatch):
    monkeypatch.setattr(attention, "has_fused_attention", lambda: True)
    monkeypatch.setattr(attention, "fused_attention", None)  # would fail
    x = np.ones((2, 4, 16), "float32")
    half = {"num_heads": 2, "dtype": "mixed_bfloat16"}
    for options in (
        {**half, "softcap": 5.0},
        {**half, "sinks": True},
        {"num_heads": 2, "dtype": "float32"},
    ):
        assert GroupedQueryAttention(**options)(x).shape == (2, 4, 16)
    dropping = GroupedQueryAttention(**half, dropout=0.5)
    assert dropping(x, training=True).shape == (2, 4, 16)
