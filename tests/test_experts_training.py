"""Experts in training: their losses count, however a step is computed."""

import os
import subprocess
import sys
from pathlib import Path

import contract
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_llm import Experts, build_decoder
from keras_llm.evaluate import expert_load
from keras_llm.layers import dispatch_by
from keras_llm.train import AdamW, TokenTrainer

LOSSES = Experts(
    count=4, top_k=2, mlp_dim=24, balance_loss=0.5, router_z_loss=0.1
)


def gradients_of(experts, dtype="float32", remat=False, **options):
    """The change of every weight by one step of plain gradient descent."""
    jit = options.pop("jit_compile", False)
    config = contract.CONFIGS["mixtral"].replace(num_layers=2, experts=experts)
    model = contract.decoder(config, dtype, remat=remat)
    before = model.get_weights()
    trainer = TokenTrainer(model, **options)
    trainer.compile(keras.optimizers.SGD(1.0), jit_compile=jit)
    tokens = contract.tokens_of(8, 7)
    trainer.fit(
        {
            "tokens": tokens[:, :-1],
            "positions": np.tile(np.arange(6, dtype="int32"), (8, 1)),
            "segments": np.ones((8, 6), "int32"),
        },
        tokens[:, 1:],
        batch_size=8,
        shuffle=False,
        verbose=0,
    )
    return {
        variable.path: np.asarray(variable) - old
        for variable, old in zip(model.weights, before, strict=True)
    }


def expected_gradients() -> dict[str, np.ndarray]:
    """The same from Keras' own parts, with all experts in turn."""
    config = contract.CONFIGS["mixtral"].replace(num_layers=2, experts=LOSSES)
    model = contract.decoder(config)
    tokens = contract.tokens_of(8, 7)
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with dispatch_by("turns"), tf.GradientTape() as tape:
        logits = model(tokens[:, :-1], training=True)
        loss = entropy(tokens[:, 1:], logits) + sum(model.losses)
    values = [v.value for v in model.trainable_weights]
    found = tape.gradient(loss, values)
    return {
        v.path: -np.asarray(tf.convert_to_tensor(g))
        for v, g in zip(model.trainable_weights, found, strict=True)
    }


@pytest.fixture(scope="module")
def expected():
    return expected_gradients()


def assert_same(found, expected, tolerance=2e-4):
    assert found.keys() == expected.keys()
    for path, value in expected.items():
        size = np.abs(value).max() + 1e-3
        assert np.abs(found[path] - value).max() < tolerance * size, path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"remat": True},
        {"jit_compile": True},
        {"jit_compile": True, "remat": True},
    ],
    ids=str,
)
def test_losses_count_in_training(expected, options):
    assert_same(gradients_of(LOSSES, **options), expected)


def test_without_losses_the_router_learns_something_else(expected):
    without = Experts(count=4, top_k=2, mlp_dim=24, balance_loss=0.0)
    router = "block_1/experts/router/kernel"
    found = gradients_of(without)[router]
    assert np.abs(found - expected[router]).max() > 1e-3


@pytest.fixture(scope="module")
def in_parts():
    """With micro-batches: balance is a mean over each of them."""
    return gradients_of(LOSSES, accumulate=4)


def test_micro_batches_equal_the_batch():
    # The z-loss is a mean over tokens, whatever they are batched with.
    experts = Experts(
        count=4, top_k=2, mlp_dim=24, balance_loss=0.0, router_z_loss=0.1
    )
    assert_same(gradients_of(experts, accumulate=4), gradients_of(experts))


def test_losses_count_in_micro_batches(in_parts, expected):
    router = "block_1/experts/router/kernel"
    assert np.abs(in_parts[router] - expected[router]).max() > 1e-4
    found = gradients_of(LOSSES, accumulate=4, jit_compile=True, remat=True)
    assert_same(found, in_parts)


@pytest.mark.parametrize("remat", [False, True])
def test_losses_count_in_mixed_precision(expected, remat):
    found = gradients_of(LOSSES, "mixed_bfloat16", remat=remat)
    for path, value in expected.items():
        alike = np.corrcoef(np.ravel(found[path]), np.ravel(value))[0, 1]
        assert alike > 0.9, path


JAX = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, test_experts_training as training
for remat, accumulate in ((False, 1), (True, 1), (True, 4)):
    found = training.gradients_of(
        training.LOSSES, remat=remat, accumulate=accumulate,
        jit_compile=True)
    np.savez(f"{sys.argv[2]}/{remat}_{accumulate}.npz",
        **{k.replace("/", "|"): v for k, v in found.items()})
"""


def test_losses_count_on_jax(expected, in_parts, tmp_path):
    pytest.importorskip("jax", reason="JAX is not installed")
    subprocess.run(
        [sys.executable, "-c", JAX, str(Path(__file__).parent), str(tmp_path)],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        check=True,
    )
    for file in tmp_path.glob("*.npz"):
        found = {k.replace("|", "/"): v for k, v in np.load(file).items()}
        assert_same(found, expected if file.stem.endswith("_1") else in_parts)
    assert len(list(tmp_path.iterdir())) == 3


def test_training_balances_what_started_unbalanced():
    experts = Experts(count=4, top_k=1, balance_loss=1.0, normalize=False)
    config = contract.CONFIGS["mixtral"].replace(
        experts=experts, num_layers=1, mlp_dim=16
    )
    model = build_decoder(config)
    router = model.get_layer("block_0").mlp.router
    router.kernel.assign(np.asarray(router.kernel) + 0.3 * np.eye(16)[:, :4])
    tokens = contract.tokens_of(32, 9)
    before = expert_load(model, tokens)
    trainer = TokenTrainer(model)
    trainer.compile(AdamW(1e-2))
    trainer.fit(tokens[:, :-1], tokens[:, 1:], epochs=20, verbose=0)
    after = expert_load(model, tokens)
    assert np.ptp(after) < 0.5 * np.ptp(before)
