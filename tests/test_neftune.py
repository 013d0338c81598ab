"""Noise on embeddings: its size, its rows, and that it leaves no trace."""

import keras
import numpy as np
import pytest
import tiny_run
from keras import ops

from keras_llm.adapters import neftune
from keras_llm.errors import InputError
from keras_llm.layers import EmbeddingNoise, rows_from
from keras_llm.train import fit


def test_the_noise_is_uniform_and_of_the_published_length():
    noise = EmbeddingNoise(5.0, seed=3)
    x = ops.zeros((64, 32, 16))
    for first in (None, 0):
        if first is None:
            y = noise(x, training=True)
        else:
            with rows_from(first):
                y = noise(x, training=True)
        limit = 5.0 / np.sqrt(32 * 16)
        values = ops.convert_to_numpy(y)
        assert np.abs(values).max() <= limit
        assert values.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)
        assert abs(values.mean()) < 0.01 * limit


def test_a_row_has_its_noise_wherever_the_batch_is_cut():
    noise = EmbeddingNoise(5.0, seed=3)
    x = ops.ones((4, 8, 8))
    with rows_from(0):
        whole = noise(x, training=True)
    with rows_from(2):
        part = noise(x[2:], training=True)
    np.testing.assert_array_equal(whole[2:], part)
    np.testing.assert_array_equal(noise(x), x)


def test_training_differs_and_the_model_is_as_before_afterwards(tmp_path):
    rows = tiny_run.write_rows(tmp_path / "rows")
    settings = dict(tiny_run.SETTINGS, steps=4)

    def trained(alpha, **changes):
        model = tiny_run.build(dropout=0.0)
        if alpha:
            neftune(model, alpha, seed=1)
        fit(model, rows, **(settings | changes))
        neftune(model, None)
        return model

    plain, noisy, cut = trained(None), trained(5.0), trained(5.0, accumulate=2)
    assert type(noisy.get_layer("token_embedding")) is (
        keras.layers.ReversibleEmbedding
    )
    paths = [v.path for v in plain.variables]
    assert [v.path for v in noisy.variables] == paths
    assert noisy.get_config() == plain.get_config()
    kernels = [
        m.get_layer("block_0").mlp.up.kernel.numpy()
        for m in (plain, noisy, cut)
    ]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-4
    np.testing.assert_allclose(kernels[1], kernels[2], atol=1e-5)


def test_mistakes_are_sentences():
    with pytest.raises(InputError, match="alpha above zero"):
        neftune(tiny_run.build(), 0.0)
    with pytest.raises(InputError, match="decoder from build_decoder"):
        neftune(keras.Sequential(), 5.0)
