"""Runs that are stopped and continued, one for each setting with a state.

`python tests/resume_variants.py ROWS OUT NAME...` checks these on the backend
of KERAS_BACKEND; it prints their names.
"""

import sys
from pathlib import Path

import numpy as np
import tiny_run

VARIANTS = {
    "muon": {"optimizer": "muon", "ema": 0.9, "guard": "skip"},
    "small": {"optimizer_state": "bfloat16", "accumulate": 2, "ema": 0.9},
    "lion": {
        "optimizer": "lion",
        "schedule": "wsd",
        "accumulate": 4,
        "ramp_steps": 6,
        "ramp_from": 1,
    },
    "free": {"optimizer": "schedule_free", "label_smoothing": 0.1},
}
TIMES = ("seconds", "tokens_per_second", "mfu")


def build(name):
    """A decoder; one variant is in mixed precision."""
    options = {"dtype": "mixed_bfloat16"} if name == "small" else {}
    return tiny_run.build(**options)


def stop_at(step):
    """A callback that ends the process's work, as Ctrl-C would."""
    import keras

    class Stop(keras.callbacks.Callback):
        steps = 0

        def on_train_batch_begin(self, batch, logs=None):
            self.steps += 1
            if self.steps == step:
                raise KeyboardInterrupt

    return Stop()


def history(out):
    """The lines of a run without what depends on the clock."""
    from keras_llm.train import read_history

    return [
        {key: value for key, value in line.items() if key not in TIMES}
        for line in read_history(out / "metrics.jsonl")
    ]


def check(rows, out, name):
    """Compares a run with one that was stopped, and returns its weights."""
    whole = build(name)
    tiny_run.train(rows, out / "whole", whole, **VARIANTS[name])
    try:
        tiny_run.train(
            rows,
            out / "stopped",
            build(name),
            callbacks=[stop_at(7)],
            **VARIANTS[name],
        )
    except KeyboardInterrupt:
        stopped = build(name)
        tiny_run.train(rows, out / "stopped", stopped, **VARIANTS[name])
    assert history(out / "stopped") == history(out / "whole")
    for ours, theirs in zip(
        stopped.get_weights(), whole.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    return whole.get_weights()


def main(rows, out, *names):
    from keras_llm.data import open_rows

    opened = open_rows(rows)
    for name in names:
        check(opened, Path(out) / name, name)
        print(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
