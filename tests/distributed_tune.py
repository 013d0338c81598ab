"""Runs flavours of `finetune` over two virtual CPU devices.

`python tests/distributed_tune.py FOLDER FLAVOUR ...`: fills the folder as the
tests of the CLI do, and tunes under `--strategy mirrored`. A process of its
own, since devices are set before TensorFlow is used.
"""

import os
import sys
from pathlib import Path


def main(folder: str, *flavours: str) -> None:
    """Tunes one flavour after another."""
    from distributed_run import mirrored

    chosen = mirrored()
    from tuning_files import fill, tuned

    import keras_llm.train

    # No GPUs here: --strategy mirrored finds the two devices instead.
    keras_llm.train.distribution = lambda kind: chosen
    os.chdir(fill(Path(folder)))
    for name in flavours:
        tuned(name, "--strategy", "mirrored")


if __name__ == "__main__":
    main(*sys.argv[1:])
