"""A few updates with every optimizer, in a process of its own.

`python tests/optimizer_steps.py [mirrored]` prints, as JSON, the weights and
their averages after the same gradients, on the backend of KERAS_BACKEND.
"""

import json
import sys

import numpy as np

SETTINGS = {
    "adamw": {"ema": 0.9, "guard": 4.0},
    "muon": {"ema": 0.9, "rate_scales": {"kernel": 0.5}},
    "lion": {"state_dtype": "bfloat16"},
    "schedule_free": {"guard": 4.0},
}
STEPS = 40


def gradients():
    """Gradients of a matrix and a bias; the one of step 36 is a spike."""
    random = np.random.default_rng(0)
    for step in range(STEPS):
        scale = 1e4 if step == 36 else 1.0
        yield [
            scale * random.normal(size=shape).astype("float32")
            for shape in ((3, 5), (5,))
        ]


def make(name):
    """An optimizer and the two variables it was built with."""
    import keras

    from keras_llm.train import WarmupConstant, optimizer

    kernel = np.random.default_rng(1).normal(size=(3, 5))
    variables = [
        keras.Variable(kernel, dtype="float32", name="kernel"),
        keras.Variable(np.zeros(5), dtype="float32", name="bias"),
    ]
    schedule = WarmupConstant(1e-2, STEPS, 4)
    built = optimizer(name, schedule, weight_decay=0.3, **SETTINGS[name])
    built.build(variables)
    return built, variables


def result(optimizer, variables):
    """Weights, averages and the number of skipped steps, as lists."""
    from keras import ops

    values = [*variables, *(optimizer.averages() or [])]
    arrays = [ops.convert_to_numpy(value).tolist() for value in values]
    return [*arrays, [optimizer.guard.skipped]]


def on_tensorflow(name):
    import tensorflow as tf

    optimizer, variables = make(name)

    @tf.function
    def step(first, second):
        norm = tf.linalg.global_norm([first, second])
        with optimizer.observing(norm, norm):
            optimizer.apply([first, second], variables)

    for pair in gradients():
        step(*pair)
    return result(optimizer, variables)


def on_jax(name):
    import jax
    import jax.numpy as jnp

    optimizer, variables = make(name)

    @jax.jit
    def step(state, weights, pair):
        norm = jnp.sqrt(sum(jnp.sum(g**2) for g in pair))
        with optimizer.observing(norm, norm):
            return optimizer.stateless_apply(state, pair, weights)

    state = [v.value for v in optimizer.variables]
    weights = [v.value for v in variables]
    for pair in gradients():
        weights, state = step(state, weights, pair)
    for variable, value in zip(
        [*variables, *optimizer.variables], [*weights, *state], strict=True
    ):
        variable.assign(value)
    return result(optimizer, variables)


def mirrored(name):
    """Two replicas, each with half of every gradient."""
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

    with strategy.scope():
        optimizer, variables = make(name)

    def update(first, second):
        norm = tf.linalg.global_norm([first, second])
        with optimizer.observing(norm, norm):
            optimizer.apply([first / 2, second / 2], variables)

    @tf.function
    def step(*pair):
        strategy.run(update, pair)

    for pair in gradients():
        step(*pair)
    return result(optimizer, variables)


def main(where=""):
    import keras

    if where == "mirrored":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
        work = mirrored
    else:
        jax = keras.backend.backend() == "jax"
        work = on_jax if jax else on_tensorflow
    print(json.dumps({name: work(name) for name in SETTINGS}))


if __name__ == "__main__":
    main(*sys.argv[1:])
