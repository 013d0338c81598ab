"""The optimizers against those of Keras, PyTorch and TensorFlow."""

import importlib.util
import json
import os
import subprocess
import sys

import keras
import numpy as np
import optimizer_steps
import pytest
import tensorflow as tf
import tiny_run

from keras_llm.errors import InputError
from keras_llm.train import (
    AdamW,
    Lion,
    Muon,
    ScheduleFreeAdamW,
    WarmupConstant,
    decay_groups,
    optimizer,
)
from keras_llm.train.optimizers import OPTIMIZERS

GRADIENT = np.array([[0.3, -0.2], [0.1, 4.0]], "float32")


def variables():
    return variable(np.ones((2, 2))), variable(np.ones((2, 2)), "bias")


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


def numbers(value):
    return keras.ops.convert_to_numpy(value)


def variable(values, name="kernel"):
    return keras.Variable(values, dtype="float32", name=name)


def applied(built, chosen, gradients):
    built.build(chosen)
    for each in gradients:
        built.apply([keras.ops.convert_to_tensor(g) for g in each], chosen)
    return [numbers(v) for v in chosen]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_is_loaded_again_with_all_it_was_told(name):
    options = {"state_dtype": "bfloat16", "rate_scales": {"kernel": 0.5}}
    if name != "schedule_free":
        options["ema"] = 0.9
    before = optimizer(name, 1e-2, guard=5.0, beta_2=0.8, **options)
    config = keras.saving.serialize_keras_object(before)
    after = keras.saving.deserialize_keras_object(config)
    assert after.get_config() == before.get_config()
    for ours, loaded in zip(
        updated(before, variables()), updated(after, variables()), strict=True
    ):
        np.testing.assert_array_equal(ours, loaded)


def test_lion_is_that_of_keras_with_groups():
    theirs = keras.optimizers.Lion(0.1, 0.9, 0.95, weight_decay=0.3)
    plain = keras.optimizers.Lion(0.1, 0.9, 0.95)
    kernel, bias = updated(
        Lion(0.1, weight_decay=0.3, beta_2=0.95), variables()
    )
    np.testing.assert_array_equal(kernel, updated(theirs, variables())[0])
    np.testing.assert_array_equal(bias, updated(plain, variables())[1])


@pytest.mark.skipif(
    not importlib.util.find_spec("torch"), reason="PyTorch is not installed"
)
@pytest.mark.parametrize("shape", [(4, 6), (7, 3)])
def test_muon_moves_a_kernel_as_that_of_pytorch(shape):
    import torch

    random = np.random.default_rng(0)
    start, *gradients = random.normal(size=(9, *shape)).astype("float32")
    parameter = torch.nn.Parameter(torch.tensor(start))
    theirs = torch.optim.Muon(
        [parameter], lr=1e-2, adjust_lr_fn="match_rms_adamw"
    )
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient)
        theirs.step()
    [ours] = applied(Muon(1e-2), [variable(start)], [[g] for g in gradients])
    moved = np.abs(ours - start).max()
    # PyTorch iterates in bfloat16.
    assert np.abs(ours - parameter.detach().numpy()).max() < 0.02 * moved


def test_muon_takes_matrices_of_experts_alone_and_leaves_the_rest_to_adamw():
    random = np.random.default_rng(0)
    stack = random.normal(size=(2, 3, 5))
    others = [
        variable(random.normal(size=(6, 4)), name)
        for name in ("embeddings", "gate_bias")
    ]
    with keras.name_scope("router"):
        others.append(variable(random.normal(size=(4, 2))))
    chosen = [variable(stack), *others]
    gradients = [
        [random.normal(size=v.shape).astype("float32") for v in chosen]
        for _ in range(4)
    ]
    first = [numbers(v) for v in chosen]
    ours = applied(Muon(1e-2), chosen, gradients)
    for expert in range(2):
        [alone] = applied(
            Muon(1e-2),
            [variable(stack[expert])],
            [[g[0][expert]] for g in gradients],
        )
        np.testing.assert_allclose(ours[0][expert], alone, atol=1e-6)
    for v, value in zip(chosen, first, strict=True):
        v.assign(value)
    adamw = applied(AdamW(1e-2), chosen, gradients)
    for one, other in zip(ours[1:3], adamw[1:3], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)
    np.testing.assert_allclose(ours[3], adamw[3], atol=1e-7)
    assert np.abs(ours[0] - adamw[0]).max() > 1e-3


def test_schedule_free_equals_the_package_of_its_authors():
    """Numbers of schedulefree 1.4.1 (PyTorch): y while training, then x."""
    theirs_y = [
        [0.9483122825622559, 0.8885743021965027],
        [0.9483122825622559, 0.9483122825622559],
    ]
    theirs_x = [
        [0.9382242560386658, 0.9062274098396301],
        [0.9382242560386658, 0.9382242560386658],
    ]
    kernel = variable(np.ones((2, 2)))
    built = ScheduleFreeAdamW(WarmupConstant(0.1, 99, 3), weight_decay=0.3)
    built.build([kernel])

    @tf.function  # where Keras' own reads its state too late
    def step(gradient):
        built.apply([gradient], [kernel])

    for index in range(5):
        step(tf.constant(GRADIENT * (1 - 0.5 * index)))
    np.testing.assert_allclose(numbers(kernel), theirs_y, rtol=1e-6)
    np.testing.assert_allclose(built.averages()[0], theirs_x, rtol=1e-6)


def test_ema_equals_that_of_tensorflow():
    kernel, peer = variable(np.ones((2, 2))), tf.Variable(np.ones((2, 2)))
    built = AdamW(0.1, ema=0.6)
    built.build([kernel])
    steps = tf.Variable(0)
    theirs = tf.train.ExponentialMovingAverage(0.6, steps)
    theirs.apply([peer])
    for index in range(12):
        gradient = GRADIENT * np.float32(1 - 0.5 * index)
        built.apply([keras.ops.convert_to_tensor(gradient)], [kernel])
        peer.assign(numbers(kernel))
        steps.assign(index)
        theirs.apply([peer])
    np.testing.assert_allclose(
        built.averages()[0], theirs.average(peer), rtol=1e-6
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_in_bfloat16_takes_half_the_memory_of_moments(name):
    def size(dtype):
        built = optimizer(name, 1e-3, state_dtype=dtype)
        built.build(tiny_run.build().trainable_variables)
        return sum(
            numbers(v).nbytes
            for v in built.variables
            if len(v.shape) and "guard" not in v.path
        )

    kept = 0.75 if name == "schedule_free" else 0.5  # z stays exact
    assert size("bfloat16") == kept * size("float32")


def test_bfloat16_moments_follow_a_slow_average():
    """Rounded to the nearest they would stop at about 0.5."""
    wide = variable(np.zeros(2000), "bias")
    options = {"beta_2": 0.999, "epsilon": 1e-6}
    built = AdamW(1e-3, state_dtype="bfloat16", **options)
    one = keras.ops.ones((2000,))
    built.build([wide])
    step = tf.function(lambda: built.apply([one], [wide]))
    for _ in range(3000):
        step()
    velocity = next(v for v in built.variables if "velocity" in v.path)
    assert velocity.dtype == "bfloat16"
    mean = numbers(velocity).astype("float64").mean()
    assert mean == pytest.approx(1 - 0.999**3000, abs=2e-3)


def test_scaled_rates_scale_the_update_and_not_the_decay():
    def moved(scale, decay):
        kernel = variable(np.ones((2, 2)))
        built = AdamW(0.1, decay, rate_scales={"kernel": scale})
        return 1 - applied(built, [kernel], [[GRADIENT]])[0]

    np.testing.assert_allclose(moved(0.5, 0), 0.5 * moved(1.0, 0), rtol=1e-5)
    decay = moved(1.0, 0.3) - moved(1.0, 0)
    np.testing.assert_allclose(
        moved(0.5, 0.3) - moved(0.5, 0), decay, rtol=1e-4
    )


def test_guard_leaves_out_the_spike_and_nothing_else():
    """As if the step had not been, but for the step counter."""
    found = optimizer_steps.on_tensorflow("adamw")
    assert found[-1] == [1]
    assert optimizer_steps.on_tensorflow("muon")[-1] == [0]
    built, chosen = optimizer_steps.make("adamw")
    for step, pair in enumerate(optimizer_steps.gradients()):
        if step == 36:
            before = [numbers(v) for v in (*chosen, *built.variables)]
        norm = tf.linalg.global_norm(pair)
        with built.observing(norm, norm):
            built.apply([tf.constant(g) for g in pair], chosen)
        if step == 36:
            break
    after = [*chosen, *built.variables]
    changed = [
        v.path
        for v, old in zip(after, before, strict=True)
        if np.any(numbers(v) != old) and "average" not in v.path
    ]
    assert changed == ["adamw/iteration", "adamw/guard_counts"]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_guard_leaves_out_what_is_no_number_and_keeps_its_step(bad):
    kernel = variable(np.ones((2, 2)))
    guarded, plain = AdamW(0.1, guard=3.0), AdamW(0.1)
    for built in (guarded, plain):
        built.build([kernel])
        assert built.guard.first_bad is None
        for norm in (1.0, bad, bad):
            gradient = tf.fill((2, 2), tf.constant(norm))
            with built.observing(1.0, norm):
                built.apply([gradient], [kernel])
        assert built.guard.first_bad == 1
        if built is guarded:
            assert built.guard.skipped == 2
            assert np.isfinite(numbers(kernel)).all()


def test_guard_takes_a_new_level_after_eight_steps():
    kernel = variable(np.ones((2, 2)))
    built = AdamW(0.1, guard=3.0)
    built.build([kernel])
    step = tf.function(lambda loss: _observe(built, kernel, loss))
    for index in range(60):
        step(tf.constant(1.0 + 0.01 * (index % 3) + (index >= 40)))
    assert built.guard.skipped == 8


def _observe(built, kernel, loss):
    with built.observing(loss, 1.0):
        built.apply([tf.ones((2, 2))], [kernel])


@pytest.mark.parametrize("place", ["jax", "mirrored"])
def test_equal_on_jax_and_on_two_replicas(place):
    if place == "jax":
        pytest.importorskip("jax", reason="JAX is not installed")
    backend = {"KERAS_BACKEND": "jax" if place == "jax" else "tensorflow"}
    done = subprocess.run(
        [sys.executable, optimizer_steps.__file__, place],
        env={**os.environ, **backend},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    theirs = json.loads(done.stdout)
    for name in optimizer_steps.SETTINGS:
        ours = optimizer_steps.on_tensorflow(name)
        for one, other in zip(ours, theirs[name], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sgd", {}, "optimizer to be one of 'adamw'"),
        ("adamw", {"ema": 1.0}, "ema between 0 and 1"),
        ("adamw", {"state_dtype": "float16"}, "state_dtype to be one of"),
        ("adamw", {"guard": 0.0}, "guard's limit above zero"),
        ("schedule_free", {"ema": 0.9}, "averages by itself"),
    ],
)
def test_refuses(name, options, message):
    with pytest.raises(InputError, match=message):
        optimizer(name, 1e-3, **options)
