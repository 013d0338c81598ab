"""Decode speed of every artifact, beside the way without a cache.

    python benchmarks/artifacts.py [--json PATH] [--rounds 3]

One model (4 layers of 256, 8,192 tokens, random weights), one prompt of 64
tokens continued greedily by 64: by Keras, by the SavedModel (text to text), by
LiteRT (float32, fp16, int8, int4) with the cache in place, and by what Keras
itself exports (`Model.export(format="litert")`, as KerasHub does): one forward
pass over the whole context for each token, timed for 8 tokens. Alternately, in
one process; LiteRT runs on one thread.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import _pairs
import numpy as np
from _model import language_model

CONTEXT, PROMPT, NEW, UNCACHED = 256, 64, 64, 8
TEXT = "The quick brown fox jumps over the lazy dog. " * 4


def keras(lm) -> Callable:
    """Returns generation from ids in Keras."""
    from keras_llm import GenerationSettings
    from keras_llm.generate import TokenGenerator

    generator = TokenGenerator(lm.model)
    settings = GenerationSettings(max_new_tokens=NEW)
    return lambda: generator.generate([[1] * PROMPT], settings)


def saved_model(lm, folder: Path) -> Callable:
    """Returns a request to the loaded SavedModel, text to text."""
    import tensorflow as tf

    from keras_llm import export

    report = export.saved_model(
        lm, folder / "served", max_new_tokens=NEW, verify=False
    )
    loaded = tf.saved_model.load(report.path)
    serve = loaded.signatures["serving_default"]
    prompt = tf.constant([TEXT])
    return lambda keep=loaded: serve(prompt=prompt)


def litert(lm, folder: Path, quantization: str | None) -> Callable:
    """Returns generation from ids in LiteRT."""
    from keras_llm import export

    report = export.litert(
        lm.model,
        folder / f"{quantization}.tflite",
        quantization=quantization,
        verify=False,
    )
    runner = export.LitertRunner(report.path, slots=CONTEXT)
    return lambda: runner.generate([1] * PROMPT, NEW)


def uncached(lm, folder: Path) -> Callable:
    """Returns greedy tokens from Keras's own LiteRT export."""
    import keras as keras_core
    from ai_edge_litert.interpreter import Interpreter

    tokens = keras_core.Input((CONTEXT,), dtype="int32", batch_size=1)
    forward = keras_core.Model(tokens, lm.model(tokens))
    path = str(folder / "forward.tflite")
    forward.export(path, format="litert", verbose=False)
    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    where = interpreter.get_input_details()[0]
    out = interpreter.get_output_details()[0]["index"]

    def run() -> None:
        ids = np.zeros((1, CONTEXT), where["dtype"])
        for position in range(PROMPT, PROMPT + UNCACHED):
            interpreter.set_tensor(where["index"], ids)
            interpreter.invoke()
            logits = interpreter.get_tensor(out)[0, position - 1]
            ids[0, position] = logits.argmax()

    return run


def main() -> None:
    """Exports, runs and prints tokens per second and ratios to Keras."""
    options = _pairs.arguments(__doc__).parse_args()
    lm = language_model()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = {
            "Keras": (keras(lm), NEW),
            "SavedModel, text to text": (saved_model(lm, folder), NEW),
            **{
                f"LiteRT {kind or 'float32'}": (litert(lm, folder, kind), NEW)
                for kind in (None, "fp16", "int8", "int4")
            },
            "Keras's LiteRT export, no cache": (uncached(lm, folder), UNCACHED),
        }
        rows = _pairs.compare(
            {key: run for key, (run, _) in runs.items()}, options.rounds
        )
    speeds = {}
    for row in rows:
        tokens = runs[row["name"]][1]
        speeds[row["name"]] = tokens / row["best_s"]
    found = [
        {
            "name": key,
            "tokens/s": speed,
            "times Keras": speed / speeds["Keras"],
            "times no cache": speed / list(speeds.values())[-1],
            "times LiteRT float32": speed / speeds["LiteRT float32"],
        }
        for key, speed in speeds.items()
    ]
    _pairs.show(f"1 x ({PROMPT} + {NEW}) tokens, greedy", found)
    _pairs.write(options.json, {"artifacts": found})


if __name__ == "__main__":
    main()
