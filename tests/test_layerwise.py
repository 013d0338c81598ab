"""Rates that fall with the depth, and layers that begin later."""

import keras
import numpy as np
import pytest
import tiny_run

from keras_llm.errors import InputError
from keras_llm.train import TrainConfig, fit, layer_rates, unfreezing
from keras_llm.train.optimizers import OPTIMIZERS, optimizer

SETTINGS = dict(tiny_run.SETTINGS, steps=4, warmup_steps=0)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return tiny_run.write_rows(tmp_path_factory.mktemp("rows"))


def moved(rows, **settings):
    """How far each variable of a decoder of two blocks moves, by path."""
    model = tiny_run.build(dropout=0.0, num_layers=2)
    before = [v.numpy() for v in model.trainable_variables]
    fit(model, rows, **(SETTINGS | settings))
    return {
        v.path: np.abs(v.numpy() - old).max()
        for v, old in zip(model.trainable_variables, before, strict=True)
    }


def test_factors_are_those_of_the_layers():
    model = tiny_run.build(num_layers=3)
    rates = layer_rates(model, 0.5)
    assert rates["block_2/attention/query/kernel"] == 0.5
    assert rates["block_0/attention/query/kernel"] == 0.125
    assert rates["token_embedding/embeddings"] == 0.0625
    assert "final_norm/scale" not in rates


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - {"schedule_free"}))
def test_a_layer_stays_as_it_is_until_its_turn(rows, name):
    away = moved(rows, optimizer=name, unfreeze_every=2, weight_decay=0.5)
    for path, distance in away.items():
        lower = path.startswith(("block_0", "token_embedding"))
        assert (distance == 0) == lower, path  # 3 * 2 and 2 * 2 of 4 steps


def test_one_step_of_sgd_moves_by_the_factor(rows):
    whole = moved(rows, steps=2, optimizer="lion", learning_rate=1e-3)
    part = moved(
        rows, steps=2, optimizer="lion", learning_rate=1e-3, layer_decay=0.5
    )
    path = "block_0/mlp/up/kernel"
    assert part[path] < 0.3 * whole[path]
    assert part["final_norm/scale"] == pytest.approx(
        whole["final_norm/scale"], rel=1e-3
    )


def test_an_optimizer_with_starts_is_loaded_again():
    before = optimizer("adamw", 1e-3, starts={"a/kernel": 3})
    config = keras.saving.serialize_keras_object(before)
    after = keras.saving.deserialize_keras_object(config)
    assert after.starts == {"a/kernel": 3}


def test_mistakes_are_sentences():
    plain = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    with pytest.raises(InputError, match="without. Leave out layer_decay"):
        unfreezing(plain, 2)
    with pytest.raises(InputError, match="layer_decay above 0"):
        layer_rates(tiny_run.build(), 1.5)
    with pytest.raises(InputError, match="layer_decay"):
        TrainConfig(steps=2, layer_decay=2.0)
    with pytest.raises(InputError, match="another optimizer"):
        TrainConfig(steps=2, optimizer="schedule_free", unfreeze_every=2)
