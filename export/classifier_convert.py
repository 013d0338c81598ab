"""Conversion of a classifier to `.tflite`, and a run of it.

Both are called in a process of their own: the converter takes several times
the model's memory, and the runtime must not need TensorFlow.
"""

import time
from pathlib import Path
from typing import Any

REPEATS = 5


def make(folder: str, path: str, width: int, tagger: bool) -> None:
    """Converts the classifier in a folder.

    Args:
        folder: From `Classifier.save` or `Tagger.save`.
        path: The file to write.
        width: Tokens of a row.
        tagger: Whether it is a `Tagger`.
    """
    import tensorflow as tf

    from keras_llm.classify import Classifier, Tagger
    from keras_llm.layers import dispatch_by

    one: Any = (Tagger if tagger else Classifier).load(folder)
    function = _function(one, width)
    module = tf.Module()
    module.weights = [weight.value for weight in one.model.weights]
    saved = str(Path(path).with_suffix(".saved_model"))
    with dispatch_by("blocks"):
        traced = function.get_concrete_function()
    tf.saved_model.save(module, saved, {"serving_default": traced})
    converter = tf.lite.TFLiteConverter.from_saved_model(saved)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    Path(path).write_bytes(converter.convert())


def _function(one: Any, width: int) -> Any:
    """From padded ids to probabilities."""
    import tensorflow as tf

    from keras_llm.classify.forward import row_inputs

    settings = one.settings
    spec = tf.TensorSpec([1, width], tf.int32, "tokens")

    @tf.function(input_signature=[spec], autograph=False)
    def function(tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        inside = tf.cast(tokens >= 0, tf.int32)
        inputs = row_inputs(tf.maximum(tokens, 0), inside)
        logits = one.model(inputs) / getattr(settings, "temperature", 1.0)
        if one.model.pooling is not None:
            logits = logits[:, 0]
        many = getattr(settings, "many", False)
        chances = tf.sigmoid(logits) if many else tf.nn.softmax(logits)
        return {"probabilities": chances}

    return function


def measure(path: str, rows: list[list[int]]) -> dict[str, Any]:
    """Runs a `.tflite` on padded rows, with `ai_edge_litert`.

    Returns:
        `found`, the probabilities of each row, and `milliseconds` of one.
    """
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(path, num_threads=1).get_signature_runner()
    inputs = [np.array([row], np.int32) for row in rows]
    found = [runner(tokens=one)["probabilities"] for one in inputs]
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        runner(tokens=inputs[0])
        times.append(time.perf_counter() - begin)
    return {
        "found": [one.tolist() for one in found],
        "milliseconds": 1000 * min(times),
    }
