"""A run on JAX that is stopped by a signal, and what is shown of it.

`KERAS_BACKEND=jax python tests/watched_on_jax.py ROWS OUT` compares it with a
whole run and prints "equal".
"""

import signal
import sys
from pathlib import Path

import numpy as np
import tiny_run


def main(rows: str, out: str) -> None:
    import keras

    from keras_llm.data import open_rows
    from keras_llm.train import read_history

    class Stop(keras.callbacks.Callback):
        steps = 0

        def on_train_batch_begin(self, batch, logs=None):
            self.steps += 1
            if self.steps == 7:
                signal.raise_signal(signal.SIGTERM)

    folder, packed = Path(out), open_rows(rows)
    watch = {"watch": {"detail_every": 2, "profile": "3:4"}}
    whole = tiny_run.build()
    tiny_run.train(packed, folder / "whole", whole, **watch)
    stopped = tiny_run.build()
    try:
        tiny_run.train(
            packed, folder / "stopped", stopped, callbacks=[Stop()], **watch
        )
    except SystemExit as end:
        assert end.code == 0
    stopped = tiny_run.build(seed=9)
    tiny_run.train(packed, folder / "stopped", stopped, **watch)
    one, two = (
        [
            (line["step"], line["loss"], line["gradient_norm"])
            for line in read_history(folder / name / "metrics.jsonl")
        ]
        for name in ("whole", "stopped")
    )
    assert one == two
    for ours, theirs in zip(
        stopped.get_weights(), whole.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    board = folder / "whole" / "tensorboard"
    assert list((board / "profile").rglob("*.xplane.pb"))
    from test_callbacks import events

    found = events(board)
    for step in (2, 4, 12):
        assert 0 < float(found["update_norm/block_0"][step]) < 10
        assert 0 < float(found["gradient_norm/block_0"][step]) < 100
    print("equal")


if __name__ == "__main__":
    main(*sys.argv[1:])
