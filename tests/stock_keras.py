"""What Keras itself makes of training under a strategy.

`python tests/stock_keras.py KIND CASE...` prints a JSON object: for each case
either the error, or the largest difference of a weight from training on one
device.
"""

import json
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from distributed_run import mirrored

from keras_llm.train import distribution

ARGUMENTS = ("steps_per_execution", "jit_compile")
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "clip": {"global_clipnorm": 0.01},
    "uneven": {"batch_size": 7},
    "token_mean": {"reduction": "mean_with_sample_weight"},
    "accumulate": {"gradient_accumulation_steps": 2},
    "several_steps": {"steps_per_execution": 2},
    "xla": {"jit_compile": True},
}


def train(scope: Any, case: dict[str, Any]) -> np.ndarray:
    """Returns the kernel of a small model after two epochs."""
    random = np.random.default_rng(0)
    x = random.normal(size=(16, 4)).astype("float32")
    y = (x @ random.normal(size=(4, 1))).astype("float32")
    weights = (np.arange(16) % 3 == 0).astype("float32")
    options = {name: case[name] for name in case if name in ARGUMENTS}
    optimizer = {
        name: value
        for name, value in case.items()
        if name in ("global_clipnorm", "gradient_accumulation_steps")
    }
    with scope:
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        loss = keras.losses.MeanSquaredError(
            case.get("reduction", "sum_over_batch_size")
        )
        model.compile(keras.optimizers.SGD(0.1, **optimizer), loss, **options)
    size = case.get("batch_size", 8)
    rows = (x, y, weights) if "reduction" in case else (x, y)
    data = tf.data.Dataset.from_tensor_slices(rows).batch(size)
    model.fit(data, epochs=2, verbose=0)
    return keras.ops.convert_to_numpy(model.layers[0].kernel)


def main(kind: str, *names: str) -> None:
    """Compares each case with one device."""
    found: dict[str, Any] = {}
    several = mirrored() if kind == "mirrored" else distribution(kind)
    for name in names:
        case = CASES[name]
        one = train(tf.distribute.get_strategy().scope(), case)
        try:
            two = train(several.scope(), case)
            found[name] = float(np.abs(one - two).max())
        except Exception as error:  # noqa: BLE001  (which, is the question)
            found[name] = f"{type(error).__name__}: {error}"
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
