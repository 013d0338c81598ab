"""Adapters over integers, and what is made of models with adapters."""

import gc
import json
import os
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
import tiny_run
from adapted import EVERY, TOKENS, adapted_lm, logits, stir
from contract import CONFIGS, decoder
from keras import ops

from keras_llm import adapters, zoo
from keras_llm.adapters import Lora, attach
from keras_llm.errors import InputError
from keras_llm.pruning import prune
from keras_llm.quantize import Quantization, integers, rounding
from keras_llm.resize import resize_embedding

# === Over integers ===


@pytest.mark.parametrize(
    ("bits", "group"), [(8, None), (8, 5), (4, 5), (4, 64)]
)
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_integers_are_those_of_the_exports(bits, group, dtype):
    model = decoder(CONFIGS["gpt2"], dtype)
    expected = decoder(CONFIGS["gpt2"], dtype)
    expected.set_weights(model.get_weights())
    for weight in expected.weights:
        if weight.path.endswith("/kernel"):
            found = rounding(np.array(weight), bits, group)
            weight.assign(found.dequantize())
    before = adapters.kernel_bytes(model)
    after = adapters.quantize_base(model, bits, group)
    assert not any(w.path.endswith("/kernel") for w in model.weights)
    assert after == adapters.kernel_bytes(model) < before / 2
    limit = 1e-5 if dtype == "float32" else 0.1
    np.testing.assert_allclose(logits(model), logits(expected), atol=limit)
    [layer] = [
        layer
        for path, layer in adapters.layers.dense_layers(model).items()
        if path == "block_0/mlp/up"
    ]
    np.testing.assert_array_equal(
        layer.integers.found().dequantize(), layer.integers.floats()
    )
    assert model.trainable_variables == []


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("bits", [8, 4])
def test_an_adapter_over_integers_learns(tmp_path, bits, dora):
    rows = tiny_run.write_rows(tmp_path / "rows")
    model = tiny_run.build()
    adapters.quantize_base(model, bits)
    attach(model, Lora(rank=4, targets=EVERY, dora=dora))
    before = {w.path: np.array(w) for w in model.weights}
    trained = {v.path for v in model.trainable_variables}
    tiny_run.train(rows, tmp_path / "run", model)
    history = [
        json.loads(line)["loss"]
        for line in (tmp_path / "run" / "metrics.jsonl").read_text().split("\n")
        if '"loss"' in line
    ]
    assert history[-1] < history[0]
    changed = {
        w.path for w in model.weights if (before[w.path] != np.array(w)).any()
    }
    assert changed == trained
    copy = adapters.merged_copy(model)
    tokens = TOKENS[:, :8] % 50
    np.testing.assert_allclose(copy(tokens), model(tokens), atol=1e-5)
    with pytest.raises(InputError, match="merged_copy"):
        adapters.merge(model)


def test_gradients_over_integers_are_those_over_their_floats():
    import tensorflow as tf

    model, floats = (decoder(CONFIGS["llama"]) for _ in range(2))
    floats.set_weights(model.get_weights())
    adapters.quantize_base(model, 4)
    floats.set_weights(adapters.merged_copy(model).get_weights())
    gradients = []
    for one in (model, floats):
        attach(one, Lora(rank=2, targets=EVERY))
        stir(one)
        with tf.GradientTape() as tape:
            loss = ops.mean(ops.square(one(TOKENS, training=True)))
        sources = [v.value for v in one.trainable_variables]
        gradients.append(tape.gradient(loss, sources))
    for first, second in zip(*gradients, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)


def test_the_floats_are_freed():
    model = decoder(CONFIGS["llama"])
    kernels = [
        weakref.ref(layer.kernel)
        for layer in adapters.layers.dense_layers(model).values()
    ]
    adapters.quantize_base(model, 4)
    gc.collect()
    assert [kernel() for kernel in kernels] == [None] * 21


def test_integers_that_cannot_be_are_refused():
    model = decoder(CONFIGS["llama"])
    for wrong in ({"bits": 2}, {"group": 0}, {"targets": ("x",)}):
        with pytest.raises(InputError, match="Expected"):
            adapters.quantize_base(model, **wrong)
    adapters.quantize_base(model, targets=("query",))
    with pytest.raises(InputError, match="are integers"):
        adapters.quantize_base(model)


# === What is made of it ===


def test_exports_and_tools_see_merged_weights(tmp_path):
    from keras_llm.export import hugging_face

    lm = adapted_lm()
    plain = lm.replace(model=adapters.merged_copy(lm.model))
    tokens = TOKENS % 290
    hugging_face(lm, tmp_path / "hf")
    again = zoo.load_hugging_face(tmp_path / "hf")
    np.testing.assert_array_equal(again(tokens), plain.model(tokens))
    zoo.save_hugging_face(lm.model, tmp_path / "bare", "llama")
    again = zoo.load_hugging_face(tmp_path / "bare")
    np.testing.assert_array_equal(again(tokens), plain.model(tokens))
    settings = Quantization(storage="int8")
    ours, theirs = (integers(one.model, settings) for one in (lm, plain))
    for path, found in theirs.items():
        np.testing.assert_array_equal(ours[path].values, found.values)
    smaller, same = (prune(one, layers=2).model for one in (lm, plain))
    np.testing.assert_array_equal(smaller(tokens), same(tokens))
    larger = resize_embedding(lm.model, 300)
    np.testing.assert_array_equal(
        larger(tokens)[..., :290], plain.model(tokens)
    )
    with pytest.raises(InputError, match="merged_copy"):
        from keras_llm.weights import save_safetensors

        table = zoo.find_family("llama").weights
        save_safetensors(lm.model, tmp_path / "x.safetensors", table)


@pytest.mark.slow
def test_a_saved_model_answers_as_the_adapter_does(tmp_path):
    from keras_llm.export import saved_model

    lm = adapted_lm()
    report = saved_model(
        lm, tmp_path / "sm", signatures=["serving_default"], prompts=["a rose"]
    )
    assert report.equal


def test_jax_trains_adapters_over_integers():
    pytest.importorskip("jax", reason="JAX is not installed")
    done = subprocess.run(
        [sys.executable, "-c", JAX],
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "PYTHONPATH": str(Path(__file__).parent),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]


JAX = """
import numpy as np, tiny_run
from keras_llm import adapters
from keras_llm.train import AdamW, TokenTrainer

model = tiny_run.build(dropout=0.0)
adapters.quantize_base(model, 4)
adapters.attach(model, adapters.Lora(
    rank=4, dropout=0.1, targets="all-linear", dora=True))
before = {w.path: np.array(w) for w in model.weights}
trained = {v.path for v in model.trainable_variables}
trainer = TokenTrainer(model, clip_norm=1.0)
trainer.compile(AdamW(1e-2))
tokens = np.random.default_rng(0).integers(0, 50, (8, 9)).astype("int32")
losses = trainer.fit(tokens[:, :-1], tokens[:, 1:], batch_size=4, epochs=4,
                     shuffle=False, verbose=0).history["loss"]
assert losses[-1] < losses[0], losses
changed = {w.path for w in model.weights
           if (before[w.path] != np.array(w)).any()}
assert changed == trained, changed ^ trained
"""
