"""Every config column through one contract."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import contract
import keras
import numpy as np
import pytest

from keras_llm import DecoderConfig, build_decoder, decoder_step
from keras_llm.layers import new_cache

GOLDEN = Path(__file__).parent / "golden"
configs = pytest.mark.parametrize(
    "name", list(contract.CONFIGS), ids=list(contract.CONFIGS)
)


@configs
def test_cached_equals_uncached(name):
    contract.check_cached_equals_uncached(
        contract.decoder(contract.CONFIGS[name])
    )


@configs
def test_packed_equals_unpacked(name):
    contract.check_packed_equals_unpacked(
        contract.decoder(contract.CONFIGS[name])
    )


@configs
def test_unequal_prompts_equal_one_by_one(name):
    contract.check_unequal_prompts(contract.decoder(contract.CONFIGS[name]))


@configs
def test_save_and_load(name, tmp_path):
    model = contract.decoder(contract.CONFIGS[name])
    contract.check_save_and_load(model, tmp_path / "model.keras")


@configs
def test_xla_on_and_off(name):
    contract.check_xla(contract.decoder(contract.CONFIGS[name]))


@configs
def test_mixed_precision(name):
    contract.check_mixed_precision(contract.CONFIGS[name])


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2"])
def test_mixed_precision_steps_and_is_saved(name, tmp_path):
    model = contract.decoder(contract.CONFIGS[name], "mixed_bfloat16")
    tokens = contract.tokens_of(2, 6)
    positions = np.tile(np.arange(6, dtype="int32"), (2, 1))
    caches = new_cache(model.config, 2, 8, model.compute_dtype)
    logits, caches = decoder_step(model)(tokens, positions, caches)
    assert {str(cache.dtype.name) for cache in caches} == {"bfloat16"}
    contract.close(logits, model(tokens), 0.1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.dtype_policy.name == "mixed_bfloat16"
    contract.close(loaded(tokens), model(tokens), 1e-7)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3"])
def test_remat_changes_no_gradient(name):
    contract.check_remat(contract.CONFIGS[name])


def test_the_future_is_hidden():
    model = contract.decoder(contract.CONFIGS["gemma2"])
    tokens = contract.tokens_of(1, 8)
    changed = tokens.copy()
    changed[0, 5] = (changed[0, 5] + 1) % contract.VOCABULARY
    before, after = np.asarray(model(tokens)), np.asarray(model(changed))
    contract.close(before[:, :5], after[:, :5], 1e-6)
    assert np.abs(before[:, 5:] - after[:, 5:]).max() > 1e-3


def test_a_window_forgets():
    # One layer of window 4: position 7 sees 4, 5, 6, 7 and nothing before.
    config = contract.CONFIGS["mistral"].replace(num_layers=1)
    model = contract.decoder(config)
    tokens = contract.tokens_of(1, 8)
    changed = tokens.copy()
    changed[0, 3] = (changed[0, 3] + 1) % contract.VOCABULARY
    before, after = np.asarray(model(tokens)), np.asarray(model(changed))
    contract.close(before[:, 7], after[:, 7], 1e-6)
    assert np.abs(before[:, 6] - after[:, 6]).max() > 1e-3


def test_dropout_drops_only_in_training():
    model = contract.decoder(contract.CONFIGS["gpt2"].replace(dropout=0.5))
    tokens = contract.tokens_of(1, 8)
    contract.close(model(tokens), model(tokens), 1e-7)
    trained = [np.asarray(model(tokens, training=True)) for _ in range(2)]
    assert np.abs(trained[0] - trained[1]).max() > 1e-3


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_variable_names_are_api(name):
    # Sharding rules and weight tables match these paths.
    model = build_decoder(contract.CONFIGS[name].replace(num_layers=1))
    paths = {v.path: list(v.shape) for v in model.trainable_variables}
    golden = json.loads((GOLDEN / "variable_paths.json").read_text())
    assert paths == golden[name]


@pytest.mark.parametrize("name", ["gpt2", "llama", "mixtral"])
def test_every_weight_starts_with_values_of_its_own(name):
    # A Keras initializer that is used again gives the same values again.
    config = contract.CONFIGS[name].replace(tie_embeddings=False)
    model = build_decoder(config)
    matrices = {
        f"{v.path}[{index}]": np.ravel(matrix)
        for v in model.trainable_variables
        if len(v.shape) > 1 and "bias" not in v.path
        for index, matrix in enumerate(np.reshape(v, (-1, *v.shape[-2:])))
    }
    for (a, first), (b, second) in itertools.combinations(matrices.items(), 2):
        size = min(len(first), len(second))
        alike = np.corrcoef(first[:size], second[:size])[0, 1]
        assert abs(alike) < 0.5, f"{a} and {b} start alike"


JAX = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, contract
from keras_llm.layers import new_cache
from keras_llm.step import decoder_step
tokens = contract.tokens_of(2, 9)
found = {}
for name, config in contract.CONFIGS.items():
    model = contract.decoder(config)
    found[name] = np.asarray(model(tokens))
    positions = np.tile(np.arange(9, dtype="int32"), (2, 1))
    caches = new_cache(config, 2, 10)
    logits, _ = decoder_step(model)(tokens, positions, caches)
    found[name + "_step"] = np.asarray(logits)
np.savez(sys.argv[2], **found)
"""


def test_jax_equals_tensorflow(tmp_path):
    pytest.importorskip("jax", reason="JAX is not installed")
    output = tmp_path / "jax.npz"
    subprocess.run(
        [sys.executable, "-c", JAX, str(Path(__file__).parent), str(output)],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        check=True,
    )
    found = np.load(output)
    tokens = contract.tokens_of(2, 9)
    for name, config in contract.CONFIGS.items():
        logits = contract.decoder(config)(tokens)
        contract.close(found[name], logits, 1e-4)
        contract.close(found[name + "_step"], logits, 1e-4)


def test_fits_with_stock_keras():
    model = build_decoder(contract.CONFIGS["llama"])
    tokens = np.tile(contract.tokens_of(1, 9), (8, 1))
    model.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    history = model.fit(tokens[:, :-1], tokens[:, 1:], epochs=12, verbose=0)
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]


def test_is_a_layer_of_other_models(tmp_path):
    decoder = contract.decoder(contract.CONFIGS["llama"])
    tokens = keras.Input((None,), dtype="int32")
    last = keras.layers.Dense(2)(decoder(tokens)[:, -1])
    classifier = keras.Model(tokens, last)
    ids = contract.tokens_of(3, 5)
    assert classifier(ids).shape == (3, 2)
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.models.load_model(tmp_path / "classifier.keras")
    contract.close(loaded(ids), classifier(ids), 1e-6)


def test_config_travels_as_json(tmp_path):
    for config in contract.CONFIGS.values():
        config.save(tmp_path / "config.json")
        assert DecoderConfig.load(tmp_path / "config.json") == config


def test_weights_that_do_not_fit_on_the_disk_are_an_error(tmp_path):
    resource = pytest.importorskip("resource", reason="not on this system")
    model = build_decoder(contract.CONFIGS["llama"])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, limits[1]))
    try:  # HDF5 alone would end this process
        with pytest.raises(OSError, match="weights.h5"):
            model.save_weights(tmp_path / "model.weights.h5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())
