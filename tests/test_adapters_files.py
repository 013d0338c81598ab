"""Adapters on disk, over integers, and in what is made of their models."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tiny_run
from contract import CONFIGS, decoder
from keras import ops
from safetensors.numpy import load_file, save_file
from served_models import language_model

from keras_llm import CausalLM, adapters, zoo
from keras_llm.adapters import Lora, attach
from keras_llm.errors import InputError
from keras_llm.pruning import prune
from keras_llm.quantize import Quantization, integers, rounding
from keras_llm.resize import resize_embedding

TOKENS = np.random.default_rng(0).integers(0, 61, (3, 12)).astype("int32")
EVERY = ("all-linear",)


def logits(model):
    return ops.convert_to_numpy(model(TOKENS))


def stir(model, size=0.1):
    random = np.random.default_rng(2)
    for variable in model.trainable_variables:
        change = random.normal(size=variable.shape) * size
        variable.assign(variable + change.astype("float32"))


# === An adapter alone ===


@pytest.mark.parametrize("dora", [False, True])
def test_an_adapter_goes_to_the_same_base_elsewhere(tmp_path, dora):
    first, second = (decoder(CONFIGS["llama"]) for _ in range(2))
    second.set_weights(first.get_weights())
    attach(first, Lora(rank=3, targets=EVERY, dora=dora))
    stir(first)
    adapters.save_adapter(first, tmp_path / "adapter")
    adapters.load_adapter(second, tmp_path / "adapter", "mine")
    np.testing.assert_array_equal(logits(second), logits(first))
    assert adapters.active(second) == "mine"
    assert adapters.lora_of(second, "mine") == adapters.lora_of(first)
    held = sorted(file.name for file in (tmp_path / "adapter").iterdir())
    assert held == ["adapter_config.json", "adapter_model.safetensors"]
    tensors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert tensors["block_0/attention/query/lora_a"].shape == (16, 3)
    # Over the base in 4 bits it is still that base.
    rounded = decoder(CONFIGS["llama"])
    rounded.set_weights([np.array(w) for w in decoder_weights(second)])
    adapters.quantize_base(rounded, 4)
    adapters.load_adapter(rounded, tmp_path / "adapter")


def decoder_weights(model):
    return list(adapters.frozen.base_variables(model))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = decoder(CONFIGS["llama"])
    attach(model, Lora(rank=3))
    folder = tmp_path_factory.mktemp("saved") / "adapter"
    adapters.save_adapter(model, folder)
    adapters.detach(model)
    return model, folder


def change_config(folder, **changes):
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(config))


def change_tensors(folder, function):
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    function(tensors)
    save_file(tensors, path)
    change_config(folder, sha256="")


def cut(folder):
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])


FIRST = "block_0/attention/query/lora_a"
BROKEN = {
    "whole safetensors": cut,
    "no such file": lambda f: (f / "adapter_model.safetensors").unlink(),
    "without": lambda f: (f / "adapter_config.json").unlink(),
    "is missing": lambda f: change_tensors(f, lambda t: t.pop(FIRST)),
    "is unknown": lambda f: change_tensors(
        f, lambda t: t.update({FIRST + "x": t[FIRST]})
    ),
    "does not have": lambda f: change_tensors(
        f, lambda t: t.update({"head/lora_a": t[FIRST]})
    ),
    "rank 5": lambda f: change_config(f, lora=Lora(rank=5).to_dict()),
    "another SHA-256": lambda f: change_config(f, sha256="0" * 64),
    "format version 1": lambda f: change_config(f, format_version=9),
    "another format": lambda f: change_config(f, format="other"),
    "load_peft": lambda f: change_config(f, peft_type="LORA"),
}


@pytest.mark.parametrize("words", BROKEN)
def test_what_is_wrong_is_said(saved, tmp_path, words):
    model, folder = saved
    shutil.copytree(folder, tmp_path / "adapter")
    BROKEN[words](tmp_path / "adapter")
    with pytest.raises(InputError, match=words):
        adapters.load_adapter(model, tmp_path / "adapter")
    assert type(model).__name__ == "Decoder"


def test_another_base_is_refused(saved, tmp_path):
    _, folder = saved
    with pytest.raises(InputError, match="an adapter means nothing"):
        adapters.load_adapter(decoder(CONFIGS["llama"]), folder)
    with pytest.raises(InputError, match="does not have"):
        adapters.load_adapter(tiny_run.build(), folder)
    other = tmp_path / "notes"
    other.mkdir()
    (other / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="other files"):
        model, _ = saved
        attach(model, name="x")
        try:
            adapters.save_adapter(model, other, "x")
        finally:
            adapters.detach(model, "x")


def test_a_keras_file_keeps_adapters(tmp_path):
    model = decoder(CONFIGS["llama"])
    adapters.quantize_base(model, 8, targets=("mlp/.*",))
    attach(model, Lora(rank=2, targets=EVERY))
    stir(model)
    attach(model, name="other")
    adapters.activate(model, "default")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(logits(again), logits(model))
    assert adapters.state_of(again) == adapters.state_of(model)


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


def test_integers_that_cannot_be_are_refused():
    model = decoder(CONFIGS["llama"])
    for wrong in ({"bits": 2}, {"group": 0}, {"targets": ("x",)}):
        with pytest.raises(InputError, match="Expected"):
            adapters.quantize_base(model, **wrong)
    adapters.quantize_base(model, targets=("query",))
    with pytest.raises(InputError, match="are integers"):
        adapters.quantize_base(model)


# === A CausalLM ===


def adapted_lm():
    lm = language_model("llama")
    for name in ("one", "two"):
        attach(lm.model, Lora(rank=2, targets=EVERY), name=name)
        stir(lm.model, 0.3)
    adapters.activate(lm.model, "one")
    return lm


@pytest.mark.parametrize("bits", [None, 8, 4])
@pytest.mark.parametrize("merged", [False, True])
def test_a_language_model_keeps_its_adapters(tmp_path, bits, merged):
    if bits and merged:
        return  # refused, see above
    lm = adapted_lm()
    if bits:
        adapters.quantize_base(lm.model, bits)
    if merged:
        adapters.merge(lm.model)
    lm.save(tmp_path / "lm")
    again = CausalLM.load(tmp_path / "lm")
    tokens = TOKENS % 290
    np.testing.assert_array_equal(again.model(tokens), lm.model(tokens))
    assert adapters.state_of(again.model) == adapters.state_of(lm.model)
    if merged:
        adapters.unmerge(again.model)
        adapters.unmerge(lm.model)
    for name in ("two", None):
        adapters.activate(again.model, name)
        adapters.activate(lm.model, name)
        np.testing.assert_array_equal(again.model(tokens), lm.model(tokens))
    manifest = json.loads((tmp_path / "lm" / "keras_llm.json").read_text())
    assert manifest["format_version"] == 2


def test_a_plain_one_is_saved_as_ever(tmp_path):
    lm = language_model("llama")
    lm.save(tmp_path / "lm")
    manifest = json.loads((tmp_path / "lm" / "keras_llm.json").read_text())
    assert manifest["format_version"] == 1
    assert not (tmp_path / "lm" / "adapters.json").exists()


def test_a_lost_file_of_adapters_is_named(tmp_path):
    lm = adapted_lm()
    lm.save(tmp_path / "lm")
    (tmp_path / "lm" / "adapters.json").unlink()
    with pytest.raises(InputError, match=r"Expected adapters\.json"):
        CausalLM.load(tmp_path / "lm")


CONTINUE = """
import sys
import keras, numpy as np, tiny_run
from pathlib import Path
from keras_llm.train import fit
from keras_llm.data import open_rows
from keras_llm import adapters

folder = Path(sys.argv[1])
model = keras.saving.load_model(folder / "half.keras")
print("LOSS", fit(model, open_rows(folder / "rows"), steps=4, batch_size=4,
    learning_rate=1e-2, seed=3, log_every=2).loss)
"""


def test_a_saved_model_goes_on_in_a_new_process(tmp_path):
    rows = tiny_run.write_rows(tmp_path / "rows")
    model = tiny_run.build(dropout=0.0)
    attach(model, Lora(rank=2))
    from keras_llm.train import fit

    settings = dict(batch_size=4, learning_rate=1e-2, seed=3, log_every=2)
    fit(model, rows, steps=4, **settings)
    model.save(tmp_path / "half.keras")
    here = fit(model, rows, steps=4, **settings).loss
    done = subprocess.run(
        [sys.executable, "-c", CONTINUE, tmp_path],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.split()[-1]) == here


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
trainer = TokenTrainer(model, clip_norm=1.0, accumulate=2)
trainer.compile(AdamW(1e-2))
tokens = np.random.default_rng(0).integers(0, 50, (8, 9)).astype("int32")
losses = trainer.fit(tokens[:, :-1], tokens[:, 1:], batch_size=4, epochs=4,
                     shuffle=False, verbose=0).history["loss"]
assert losses[-1] < losses[0], losses
changed = {w.path for w in model.weights
           if (before[w.path] != np.array(w)).any()}
assert changed == trained, changed ^ trained
"""
