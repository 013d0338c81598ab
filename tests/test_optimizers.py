"""The optimizer against Keras' AdamW, the schedule against a formula."""

import keras
import numpy as np
import pytest
import tiny_run

from keras_llm.errors import InputError
from keras_llm.train import AdamW, WarmupCosine, decay_groups

GRADIENT = np.array([[0.3, -0.2], [0.1, 4.0]], "float32")


def variables():
    kernel = keras.Variable(np.ones((2, 2)), name="kernel")
    bias = keras.Variable(np.ones((2, 2)), name="bias")
    return kernel, bias


def updated(optimizer, chosen):
    for _ in range(3):
        gradients = [keras.ops.convert_to_tensor(GRADIENT)] * len(chosen)
        optimizer.apply(gradients, chosen)
    return [keras.ops.convert_to_numpy(variable) for variable in chosen]


def test_kernel_moves_as_with_keras_and_bias_without_decay():
    options = {"beta_1": 0.9, "beta_2": 0.95, "epsilon": 1e-8}
    theirs = keras.optimizers.AdamW(0.1, weight_decay=0.3, **options)
    plain = keras.optimizers.Adam(0.1, **options)
    kernel, bias = updated(AdamW(0.1, weight_decay=0.3), variables())
    expected = updated(theirs, variables())[0]
    np.testing.assert_array_equal(kernel, expected)
    np.testing.assert_array_equal(bias, updated(plain, variables())[1])
    assert np.abs(kernel - bias).max() > 0.01


def test_decay_survives_saving():
    before = AdamW(0.1, weight_decay=0.3)
    config = keras.saving.serialize_keras_object(before)
    after = keras.saving.deserialize_keras_object(config)
    assert isinstance(after, AdamW)
    for ours, loaded in zip(
        updated(before, variables()), updated(after, variables()), strict=True
    ):
        np.testing.assert_array_equal(ours, loaded)


@pytest.mark.parametrize(
    "changes",
    [
        {"norm": "layer", "mlp": "gelu", "bias": "all", "rope": None},
        {"tie_embeddings": False, "qk_norm": "head", "attention_sinks": True},
    ],
)
def test_groups_of_a_decoder(changes):
    model = tiny_run.build(**changes)
    decayed, others = decay_groups(model.trainable_variables)
    assert {v.path.rsplit("/", 1)[-1] for v in decayed} == {"kernel"}
    assert all(len(v.shape) >= 2 for v in decayed)
    assert not [v.path for v in others if v.path.endswith("kernel")]
    assert len(decayed) + len(others) == len(model.trainable_variables)


def test_schedule_equals_the_formula():
    rate = WarmupCosine(2e-3, total_steps=100, warmup_steps=10, min_ratio=0.05)

    def formula(step):
        if step < 10:
            return 2e-3 * (step + 1) / 10
        share = min((step - 10) / 90, 1)
        return 2e-3 * (0.05 + 0.95 * (1 + np.cos(np.pi * share)) / 2)

    for step in (0, 4, 9, 10, 11, 55, 99, 100, 1000):
        assert float(rate(step)) == pytest.approx(formula(step), rel=1e-5)


def test_schedule_is_loaded_again_and_can_be_replanned():
    rate = WarmupCosine(1.0, total_steps=10, warmup_steps=2)
    config = keras.saving.serialize_keras_object(rate)
    again = keras.saving.deserialize_keras_object(config)
    assert float(again(7)) == float(rate(7))
    rate.plan(1000, 2)
    assert float(rate(7)) > 0.99


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0, 10), "learning rate above zero. Received: -1.0"),
        ((1.0, 0), "at least one step"),
        ((1.0, 10, 11), "warmup_steps=11"),
        ((1.0, 10, 1, 1.5), "min_ratio between 0 and 1"),
    ],
)
def test_schedule_refuses(arguments, message):
    with pytest.raises(InputError, match=message):
        WarmupCosine(*arguments)
