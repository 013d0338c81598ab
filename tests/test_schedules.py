"""The schedules against formulas and against those of transformers."""

import importlib.util

import keras
import numpy as np
import pytest

from keras_llm.errors import InputError
from keras_llm.train.schedules import SCHEDULES, WarmupCosine, schedule

TOTAL, WARMUP = 50, 8
live = pytest.mark.skipif(
    not importlib.util.find_spec("torch")
    or not importlib.util.find_spec("transformers"),
    reason="transformers and PyTorch are not installed",
)
PEERS = {
    "cosine": ("cosine_with_min_lr", {"min_lr_rate": 0.1}, 0.1),
    "linear": ("linear", {}, 0.0),
    "inverse_square_root": ("inverse_sqrt", {"timescale": WARMUP}, 0.0),
    "constant": ("constant_with_warmup", {}, 0.0),
    "wsd": (
        "warmup_stable_decay",
        {"num_decay_steps": 21, "decay_type": "1-sqrt"},
        0.0,  # theirs raises the warm-up by it, too
    ),
}


@live
@pytest.mark.parametrize("name", SCHEDULES)
def test_equals_transformers(name):
    import torch
    from transformers import get_scheduler

    peer, options, least = PEERS[name]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 2e-3)
    theirs = get_scheduler(
        peer, optimizer, WARMUP, TOTAL, scheduler_specific_kwargs=options
    )
    # Theirs counts warm-up steps from 0 and so begins with a rate of zero.
    formula = theirs.lr_lambdas[0]
    rate = schedule(name, 2e-3, TOTAL, WARMUP, least, decay_share=0.5)
    for step in range(TOTAL + 1):
        expected = 2e-3 * formula(step + 1 if step < WARMUP else step)
        assert float(rate(step)) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_cosine_equals_the_formula():
    rate = WarmupCosine(2e-3, total_steps=100, warmup_steps=10, min_ratio=0.05)

    def formula(step):
        if step < 10:
            return 2e-3 * (step + 1) / 10
        share = min((step - 10) / 90, 1)
        return 2e-3 * (0.05 + 0.95 * (1 + np.cos(np.pi * share)) / 2)

    for step in (0, 4, 9, 10, 11, 55, 99, 100, 1000):
        assert float(rate(step)) == pytest.approx(formula(step), rel=1e-5)


@pytest.mark.parametrize("name", SCHEDULES)
def test_is_loaded_again(name):
    rate = schedule(name, 1.0, TOTAL, WARMUP, 0.2, decay_share=0.3)
    config = keras.saving.serialize_keras_object(rate)
    again = keras.saving.deserialize_keras_object(config)
    steps = range(0, TOTAL + 9, 3)
    assert [float(again(s)) for s in steps] == [float(rate(s)) for s in steps]
    assert again.get_config() == rate.get_config()


@pytest.mark.parametrize("name", SCHEDULES)
def test_without_warmup_it_begins_at_the_peak_and_never_below_the_end(name):
    rate = schedule(name, 1.0, 20, 0, 0.25)
    values = [float(rate(step)) for step in range(30)]
    assert values[0] == pytest.approx(1.0)
    assert min(values) >= 0.25 - 1e-6
    assert values == sorted(values, reverse=True)


def test_a_new_plan_is_followed_by_a_traced_step():
    import tensorflow as tf

    rate = schedule("linear", 1.0, 10, 2, 0.0)
    traced = tf.function(lambda step: rate(step))
    assert float(traced(tf.constant(6))) == pytest.approx(0.5)
    rate.plan(1002, 2)
    assert float(traced(tf.constant(6))) > 0.99


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cosine", -1.0), "learning rate above zero. Received: -1.0"),
        (("cosine", 1.0, 0), "at least one step"),
        (("cosine", 1.0, 10, 11), "warmup_steps=11"),
        (("cosine", 1.0, 10, 1, 1.5), "min_ratio between 0 and 1"),
        (("wsd", 1.0, 10, 1, 0.1, 0.0), "decay_share above 0"),
        (("stairs", 1.0), "Expected schedule to be one of 'cosine'"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(InputError, match=message):
        schedule(*arguments)
