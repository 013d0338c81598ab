"""How long training waits for a checkpoint, in the background and without.

`python benchmarks/checkpoints.py` trains the same small model in turns with
`save_in_background` on and off, a checkpoint every few steps, and prints the
least seconds that training waited for one, and the CPU time of the whole run,
which other users of the machine disturb less.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np


def batches(rows: int, time: int, vocabulary: int) -> Any:
    import tensorflow as tf

    tokens = np.random.default_rng(0).integers(0, vocabulary, (rows, time + 1))
    inputs = {
        "tokens": tokens[:, :-1].astype("int32"),
        "positions": np.tile(np.arange(time, dtype="int32"), (rows, 1)),
        "segments": np.ones((rows, time), "int32"),
    }
    data = (inputs, tokens[:, 1:].astype("int32"))
    return tf.data.Dataset.from_tensor_slices(data).batch(4, True).repeat()


def run(width: int, steps: int, **settings: Any) -> tuple[float, float, int]:
    """Returns least seconds waited, CPU seconds in all, and bytes."""
    import keras

    from keras_llm.config import DecoderConfig
    from keras_llm.model import build_decoder
    from keras_llm.train import fit

    keras.utils.set_random_seed(0)
    config = DecoderConfig(
        vocabulary_size=8192,
        context_length=128,
        num_layers=4,
        hidden_dim=width,
        num_heads=width // 64,
    )
    model = build_decoder(config)
    waits = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            waits.append(logs.get("save_wait", 0.0))

    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        report = fit(
            model, batches(8, 128, 8192), out=folder, steps=steps,
            batch_size=4, log_every=2, validate_every=8, checkpoint_every=8,
            sample_every=8, callbacks=[Look()], **settings,
        )  # fmt: skip
        seconds = time.process_time() - start
        path = Path(str(report.checkpoint))
        size = sum(file.stat().st_size for file in path.iterdir())
    each = [b - a for a, b in zip(waits, waits[1:], strict=False) if b > a]
    return min(each), seconds, size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=2)
    chosen = parser.parse_args()
    cases: dict[str, dict[str, Any]] = {
        "waiting": {"save_in_background": False},
        "background": {},
        "background, details": {"watch": {"detail_every": 8}},
    }
    for round_ in range(chosen.rounds):
        for name, settings in cases.items():
            wait, seconds, size = run(chosen.width, chosen.steps, **settings)
            print(
                f"round {round_}  {name:20} {wait:6.3f} s a checkpoint of "
                f"{size / 1e6:,.0f} MB, {seconds:5.1f} s of CPU in all",
                flush=True,
            )


if __name__ == "__main__":
    main()
