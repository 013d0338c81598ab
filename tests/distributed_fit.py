"""A whole run of `fit` as one of several workers, which may be killed.

`python tests/distributed_fit.py KIND ROWS OUT [FAULT...]` with KIND
multi_worker, or mirrored for two virtual CPU devices. Each FAULT is a worker
and a moment at which it dies by SIGKILL: 1:7 at the begin of the 7th step of
its process, 0:saving in the middle of writing its next checkpoint, 1:0.5s
half a second after the first step, 0:7! is a SIGTERM to its parent at the
begin of step 7. The first start meets the first fault, the next start the
second.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import tiny_run
from distributed_run import mirrored


def killer(out: Path, when: str) -> Any:
    """Returns a callback that kills the process, and notes it in OUT."""
    import keras

    from keras_llm.train import checkpoint

    def note_death() -> None:
        with open(out / "killed", "a") as file:
            file.write(f"{when}\n")

    def die() -> None:
        note_death()
        tiny_run.die()

    class Killer(keras.callbacks.Callback):
        steps = 0

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.steps += 1
            if f"{self.steps}!" == when:
                note_death()
                os.kill(os.getppid(), signal.SIGTERM)
                time.sleep(2)  # by then it has come back to us
            if str(self.steps) == when:
                die()
            if self.steps == 2 and when[-1] == "s":
                threading.Timer(float(when[:-1]), die).start()

    write = checkpoint.write_arrays

    def write_or_die(file: Path, variables: Any) -> None:
        write(file, variables)
        if when == "saving":
            die()

    checkpoint.write_arrays = write_or_die
    return Killer()


def main(kind: str, rows: str, out: str, *faults: str) -> None:
    """Trains, and says so at the end."""
    from keras_llm.data import open_rows
    from keras_llm.train import distribution, preemption

    preemption.AGREE_EVERY = 0.0  # at every step: there are few
    chosen = mirrored() if kind == "mirrored" else distribution(kind)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "killed"
    deaths = len(note.read_text().splitlines()) if note.exists() else 0
    callbacks = []
    for fault in faults[deaths : deaths + 1]:
        who, when = fault.split(":")
        if int(who) == chosen.worker:
            callbacks.append(killer(folder, when))
    packed = open_rows(rows)
    with chosen.scope():
        model = tiny_run.build()
    tiny_run.train(packed, folder, model, accumulate=2, callbacks=callbacks)
    print("done", chosen.worker)


if __name__ == "__main__":
    main(*sys.argv[1:])
