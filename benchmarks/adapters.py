"""What a step of tuning takes: all weights, some of them, or adapters.

    python benchmarks/adapters.py [--json PATH] [--steps N] [--ways NAME ...]

Each way trains the same decoder (8 blocks of width 640, 52 million numbers
in its matrices) on the same few rows by `fit`, in a process of its own, so
that the memory of one is not in another's peak. The table has what trains,
the bytes of the weights and of the optimizer, the peak of resident memory
during training over that of the empty process, the median seconds of a step
by the clock and by this process' CPU time (on a busy machine the fairer one),
and the loss of the first and the last step, which must fall.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from typing import Any

from rich.console import Console
from rich.table import Table

from keras_llm import files

CONFIG = {
    "vocabulary_size": 8192,
    "context_length": 128,
    "num_layers": 8,
    "hidden_dim": 640,
    "num_heads": 10,
    "mlp_dim": 2560,
}
SMALL = CONFIG | {"num_layers": 2, "hidden_dim": 64, "num_heads": 2}
ROWS, SKIPPED = 2, 2  # rows of a step; first steps, which compile
EVERY = {"targets": ("all-linear",)}
# Way -> integers of the base or None, what trains.
WAYS: dict[str, tuple[int | None, Any]] = {
    "full": (None, "all"),
    "last 2 blocks": (None, "last_2"),
    "LoRA, query and value": (None, {}),
    "LoRA": (None, EVERY),
    "DoRA": (None, EVERY | {"dora": True}),
    "LoRA over int8": (8, EVERY),
    "LoRA over int4": (4, EVERY),
}
MIB = 2**20


def train(way: str, steps: int, small: bool) -> dict[str, Any]:
    """What a child process does; returns a row."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    import keras

    from keras_llm import adapters
    from keras_llm.config import DecoderConfig
    from keras_llm.model import build_decoder
    from keras_llm.train import fit

    keras.utils.set_random_seed(1)
    base = _memory("VmRSS")
    config = DecoderConfig(**(SMALL if small else CONFIG))
    model = build_decoder(config, dtype="float32")
    bits, trained = WAYS[way]
    if bits:
        adapters.quantize_base(model, bits)
    if isinstance(trained, dict):
        adapters.attach(model, adapters.Lora(**trained))
    else:
        adapters.freeze(model, trained)
    _forget_the_peak()
    clock = _clock()
    report = fit(
        model,
        _rows(config, steps),
        steps=steps,
        batch_size=ROWS,
        learning_rate=1e-3,
        log_every=1,
        validate_every=steps,
        checkpoint_every=steps,
        sample_every=steps,
        callbacks=[clock],
    )
    trainable = sum(v.value.shape.num_elements() for v in clock.trained)
    return {
        "way": way,
        "trainable": trainable,
        "weights": sum(map(_bytes, model.weights)),
        "optimizer": sum(map(_bytes, clock.optimizer)),
        "peak": _memory("VmHWM") - base,
        "seconds": _median(clock.times),
        "cpu_seconds": _median(clock.cpu),
        "first_loss": clock.losses[0],
        "loss": clock.losses[-1],
        "steps": report.steps,
    }


def _clock() -> Any:
    import keras

    class Clock(keras.callbacks.Callback):
        """Times and losses of the steps; with log_every=1 an epoch is one."""

        def __init__(self):
            super().__init__()
            self.times, self.cpu, self.losses = [], [], []

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.times.append(time.perf_counter())
            self.cpu.append(time.process_time())
            self.losses.append(float((logs or {})["loss"]))
            self.trained = self.model.trainable_variables
            self.optimizer = self.model.optimizer.variables

    return Clock()


def _rows(config: Any, steps: int) -> Any:
    """The same few rows at each step."""
    import numpy as np
    import tensorflow as tf

    width = config.context_length
    random = np.random.default_rng(0)
    tokens = random.integers(0, config.vocabulary_size, (ROWS, width + 1))
    tokens = np.tile(tokens.astype("int32"), (steps, 1))
    inputs = {
        "tokens": tokens[:, :-1],
        "positions": np.tile(np.arange(width, dtype="int32"), (len(tokens), 1)),
        "segments": np.ones((len(tokens), width), "int32"),
    }
    data = (inputs, tokens[:, 1:], np.ones((len(tokens), width), "float32"))
    data = tf.data.Dataset.from_tensor_slices(data)
    return data.batch(ROWS, drop_remainder=True)


def _bytes(variable: Any) -> int:
    value = variable.value
    return value.shape.num_elements() * value.dtype.size


def _median(stamps: list[float]) -> float:
    gaps = [b - a for a, b in zip(stamps, stamps[1:], strict=False)]
    gaps = sorted(gaps[SKIPPED:])
    return gaps[len(gaps) // 2]


def _memory(name: str) -> int:
    """Bytes that /proc says of this process."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(name))
    return int(line.split()[1]) * 1024


def _forget_the_peak() -> None:
    """Gives freed memory back, and starts VmHWM anew: building is not meant."""
    import ctypes
    import gc

    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def measured(way: str, steps: int, small: bool) -> dict[str, Any]:
    """Returns the row of one way, from a process of its own.

    Raises:
        RuntimeError: The process failed.
    """
    words = [sys.executable, __file__, "--child", way, "--steps", str(steps)]
    done = subprocess.run(
        words + ["--small"] * small, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"The process failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def show(rows: list[dict[str, Any]]) -> None:
    """Prints the table."""
    table = Table(title="A step of tuning", title_justify="left")
    names = ("way", "trains", "weights", "optimizer", "peak", "step", "CPU")
    for name in (*names, "loss"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for row in rows:
        sizes = (row["weights"], row["optimizer"], row["peak"])
        table.add_row(
            row["way"],
            f"{row['trainable']:,}",
            *(f"{size / MIB:,.0f} MiB" for size in sizes),
            f"{row['seconds']:.2f} s",
            f"{row['cpu_seconds']:.2f} s",
            f"{row['first_loss']:.2f} -> {row['loss']:.2f}",
        )
    Console(width=110).print(table)


def main() -> None:
    """Measures, prints one table, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="PATH", help="write the rows here")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--ways", nargs="*", default=list(WAYS))
    parser.add_argument("--small", action="store_true", help="a tiny decoder")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(train(given.child, given.steps, given.small)))
        return
    rows = []
    for way in given.ways:
        rows.append(measured(way, given.steps, given.small))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    show(rows)
    if given.json:
        files.write_text(given.json, json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
