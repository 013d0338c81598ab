"""Dropout's masks follow from seed, step and row."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_run

from keras_llm.layers import Dropout, next_seeds, rows_from
from keras_llm.train import AdamW, TokenTrainer

SHAPES = [(6, 4), (6, 5), (6, 3, 7), (6, 2, 8, 8)]


def dropped(layer, x, first):
    with rows_from(first):
        return layer(x, training=True)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("xla", [False, True])
def test_parts_of_a_batch_get_the_masks_of_the_batch(shape, xla):
    layer = Dropout(0.4, seed=3)
    whole = dropped(layer, tf.ones(shape), 0).numpy()
    part = tf.function(
        lambda first: dropped(layer, tf.ones((2, *shape[1:])), first),
        jit_compile=xla,
    )
    for first in (0, 3, 4):
        found = part(tf.constant(first, tf.int64)).numpy()
        np.testing.assert_array_equal(found, whole[first : first + 2])
    assert set(np.unique(whole).round(4)) == {0, np.float32(1 / 0.6).round(4)}


def test_the_share_is_the_rate_and_rows_and_steps_differ():
    layer, x = Dropout(0.3, seed=5), tf.ones((400, 100))
    masks = []
    for _ in range(3):
        masks.append(dropped(layer, x, 0).numpy() == 0)
        next_seeds([layer])
    for mask in masks:
        assert mask.mean() == pytest.approx(0.3, abs=0.01)
        assert mask.mean(axis=0).std() < 0.04
    # independent: both zero with the product of the chances
    for one, other in ((masks[0], masks[1]), (masks[1], masks[2])):
        assert (one & other).mean() == pytest.approx(0.09, abs=0.01)
    assert (masks[0][1:] & masks[0][:-1]).mean() == pytest.approx(
        0.09, abs=0.01
    )


def test_two_layers_differ():
    x = tf.ones((50, 50))
    one, other = (dropped(Dropout(0.5, seed=s), x, 0) == 0 for s in (1, 2))
    assert float(tf.reduce_mean(tf.cast(one == other, "float32"))) < 0.6


def test_outside_it_is_keras_layer():
    ours, theirs = Dropout(0.4, seed=3), keras.layers.Dropout(0.4, seed=3)
    x = tf.ones((4, 8))
    for _ in range(2):
        np.testing.assert_array_equal(
            ours(x, training=True), theirs(x, training=True)
        )
    np.testing.assert_array_equal(dropped(ours, x, 0).shape, x.shape)
    with rows_from(0):
        np.testing.assert_array_equal(ours(x, training=False), x)


def test_rates_of_none_and_all():
    x = tf.ones((4, 8))
    np.testing.assert_array_equal(dropped(Dropout(0.0), x, 0), x)
    np.testing.assert_array_equal(dropped(Dropout(1.0), x, 0), 0 * x)
    next_seeds([Dropout(0.0), keras.layers.Dense(2)])


def test_it_is_saved_as_what_it_is():
    layer = Dropout(0.25, seed=4, name="drop")
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(again) is Dropout
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize("changes", [{"accumulate": 4}, {"remat": True}])
def test_the_same_step_with_dropout_however_it_is_computed(changes):
    random = np.random.default_rng(0)
    tokens = random.integers(0, 50, (8, 9)).astype("int32")

    def trained(accumulate=1, remat=False):
        model = tiny_run.build(dropout=0.3, remat=remat)
        trainer = TokenTrainer(model, accumulate=accumulate)
        trainer.compile(AdamW(1e-2, epsilon=1e-4))
        for _ in range(2):
            trainer.fit(
                {"tokens": tokens[:, :-1]},
                tokens[:, 1:],
                batch_size=8,
                verbose=0,
            )
        return model.get_weights()

    for one, other in zip(trained(), trained(**changes), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
