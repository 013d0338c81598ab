"""A whole run of `fit` as one of several workers, which may be killed.

`python tests/distributed_fit.py KIND ROWS OUT [WHO WHEN]`: the worker WHO
dies by SIGKILL at the begin of step WHEN or, if WHEN is "saving", in the
middle of writing the second checkpoint; but only once for an OUT. KIND is
multi_worker, or mirrored for two virtual CPU devices.
"""

import sys
from pathlib import Path
from typing import Any

import tiny_run
from distributed_run import mirrored


def killer(out: Path, when: str) -> Any:
    """Returns a callback that kills the process, unless one was killed."""
    import keras

    from keras_llm.train import checkpoint

    mark = out / "killed"

    def die() -> None:
        if not mark.exists():
            mark.write_text(when)
            tiny_run.die()

    class Killer(keras.callbacks.Callback):
        steps = 0

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.steps += 1
            if str(self.steps) == when:
                die()

    write, written = checkpoint.write_arrays, []

    def write_or_die(file: Path, variables: Any) -> None:
        written.append(file)
        write(file, variables)
        if when == "saving" and len(written) == 3:
            die()

    checkpoint.write_arrays = write_or_die
    return Killer()


def main(kind: str, rows: str, out: str, who: str = "", when: str = "") -> None:
    """Trains, and says so at the end."""
    from keras_llm.data import open_rows
    from keras_llm.train import distribution

    chosen = mirrored() if kind == "mirrored" else distribution(kind)
    callbacks = []
    if who and int(who) == chosen.worker:
        callbacks.append(killer(Path(out), when))
    packed = open_rows(rows)
    with chosen.scope():
        model = tiny_run.build()
    tiny_run.train(packed, Path(out), model, accumulate=2, callbacks=callbacks)
    print("done", chosen.worker)


if __name__ == "__main__":
    main(*sys.argv[1:])
