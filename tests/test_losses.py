"""Token cross-entropy against NumPy and against Keras' own loss."""

import keras
import numpy as np
import pytest

from keras_llm.train import token_loss
from keras_llm.train.losses import compiled_token_loss

LOSSES = {"plain": token_loss, "compiled": compiled_token_loss()}


@pytest.fixture(params=LOSSES)
def loss_of(request):
    return LOSSES[request.param]


@pytest.fixture
def batch():
    random = np.random.default_rng(0)
    logits = random.normal(0, 5, (3, 7, 11)).astype("float32")
    targets = random.integers(0, 11, (3, 7)).astype("int32")
    weights = (random.random((3, 7)) < 0.6).astype("float32")
    return logits, targets, weights


def by_hand(logits, targets, weights, z_loss):
    """Sums of cross-entropy, of hits, and the penalty, in float64."""
    logits = logits.astype("float64")
    normalizer = np.log(np.exp(logits).sum(-1))
    chosen = np.take_along_axis(logits, targets[..., None], -1)[..., 0]
    hits = logits.argmax(-1) == targets
    return (
        ((normalizer - chosen) * weights).sum(),
        (hits * weights).sum(),
        z_loss * (normalizer**2 * weights).sum(),
    )


@pytest.mark.parametrize("z_loss", [0.0, 1e-2])
def test_equals_numpy(loss_of, batch, z_loss):
    entropy, hits, penalty = by_hand(*batch, z_loss)
    loss = loss_of(*batch, z_loss)
    np.testing.assert_allclose(loss.cross_entropy, entropy, rtol=1e-6)
    np.testing.assert_allclose(loss.objective, entropy + penalty, rtol=1e-6)
    assert float(loss.correct) == hits
    assert float(loss.tokens) == batch[2].sum()


def test_equals_keras(batch):
    logits, targets, weights = batch
    keras_loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction="sum"
    )(targets, logits, sample_weight=weights)
    loss = token_loss(logits, targets, weights)
    np.testing.assert_allclose(loss.cross_entropy, keras_loss, rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.1, 0.4])
def test_label_smoothing_is_that_of_keras(loss_of, batch, smoothing):
    logits, targets, weights = batch
    theirs = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=smoothing, reduction="sum"
    )(keras.ops.one_hot(targets, 11), logits, sample_weight=weights)
    found = loss_of(logits, targets, weights, 0.0, smoothing)
    np.testing.assert_allclose(found.objective, theirs, rtol=1e-6)
    plain = loss_of(logits, targets, weights, 0.0)
    np.testing.assert_array_equal(found.cross_entropy, plain.cross_entropy)


def test_gradient_is_probability_minus_target(loss_of, batch):
    import tensorflow as tf

    logits, targets, weights = (tf.constant(array) for array in batch)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        objective = loss_of(logits, targets, weights, 0.0).objective
    expected = tf.nn.softmax(logits) - tf.one_hot(targets, 11)
    np.testing.assert_allclose(
        tape.gradient(objective, logits),
        expected * weights[..., None],
        atol=1e-6,
    )


def test_large_logits_and_bfloat16_stay_finite(loss_of):
    logits = keras.ops.cast([[1e4, -1e4], [3e4, 3e4]], "bfloat16")
    loss = loss_of(logits, [0, 1], [1.0, 1.0], 0.0)
    np.testing.assert_allclose(loss.cross_entropy, np.log(2), rtol=1e-6)


def test_ties_share_the_hit(loss_of):
    logits = np.zeros((4, 8), "float32")
    loss = loss_of(logits, [0, 1, 5, 7], [1.0, 1.0, 1.0, 0.0], 0.0)
    assert float(loss.correct) == pytest.approx(3 / 8)


def test_no_weight_at_all_is_zero(loss_of, batch):
    logits, targets, weights = batch
    loss = loss_of(logits, targets, weights * 0, 1e-2)
    assert [float(part) for part in loss[:4]] == [0.0] * 4


def test_sums_add_up_over_any_split(batch):
    whole = token_loss(*batch)
    parts = [
        token_loss(*(array[rows] for array in batch))
        for rows in (slice(0, 1), slice(1, 3))
    ]
    for name in whole._fields[:4]:
        total = sum(float(getattr(part, name)) for part in parts)
        np.testing.assert_allclose(getattr(whole, name), total, rtol=1e-6)
