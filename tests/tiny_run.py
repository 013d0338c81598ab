"""A training run of seconds: rows, a decoder, and a process that is killed.

`python tests/tiny_run.py ROWS OUT WHEN` trains and dies by SIGKILL: at the
begin of step WHEN, or, if WHEN is one of MOMENTS, while it writes the second
checkpoint.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

STEPS = 12
SETTINGS = {
    "steps": STEPS,
    "batch_size": 4,
    "learning_rate": 1e-2,
    "warmup_steps": 2,
    "log_every": 2,
    "validate_every": 4,
    "checkpoint_every": 4,
    "sample_every": 4,
    "keep": 2,
    "seed": 3,
}


class Words:
    """A stand-in tokenizer: one id per number in the text."""

    vocabulary_size = 50
    fingerprint = "w" * 64
    bos_id = eos_id = 0

    def encode(self, texts, allowed_special=(), disallowed_special="all"):
        return [[int(word) for word in text.split()] for text in texts]


def write_rows(folder: Path, count: int = 40, time: int = 8) -> Any:
    """Packs documents that count up, with a held-out part."""
    from keras_llm.data import Document, open_rows, pack_corpus

    random = np.random.default_rng(1)
    documents = []
    for _ in range(count):
        start, length = random.integers(1, 30), random.integers(3, 18)
        words = " ".join(str(start + i) for i in range(length))
        documents.append(Document(words, ""))
    pack_corpus(documents, Words(), folder, context_length=time)
    return open_rows(folder)


def build(seed: int = 5, **changes: Any) -> Any:
    """Returns a decoder of one block with dropout, always the same."""
    import keras

    from keras_llm.config import DecoderConfig
    from keras_llm.model import build_decoder

    keras.utils.set_random_seed(seed)
    dtype, remat = changes.pop("dtype", "float32"), changes.pop("remat", False)
    sizes = {
        "vocabulary_size": 50,
        "context_length": 8,
        "num_layers": 1,
        "hidden_dim": 16,
        "num_heads": 2,
        "dropout": 0.1,
    }
    config = DecoderConfig(**{**sizes, **changes})
    return build_decoder(config, dtype=dtype, remat=remat)


def train(rows: Any, out: Path | None, model: Any = None, **changes: Any):
    """Runs `fit` with the settings above."""
    from keras_llm.train import fit

    options = {"validation_rows": rows, "sample": lambda model: "text"}
    return fit(
        model or build(), rows, out=out, **{**options, **SETTINGS, **changes}
    )


# Module, function, and after how many calls: before the next is done.
MOMENTS = {
    "saving": ("checkpoint", "write_arrays", 3),
    "file1": ("checkpoint", "write_arrays", 3),
    "file2": ("checkpoint", "sha256_of", 2),
    "state": ("checkpoint", "sha256_of", 3),
    "rename": ("files", "_flush", 0),
    "renamed": ("checkpoint", "prune", 1),
    "prune": ("checkpoint", "checkpoints", 3),
}


def die_at(moment: str) -> None:
    """Kills the process at a moment of a write."""
    import importlib

    module, name, calls = MOMENTS[moment]
    place = {"checkpoint": "keras_llm.train.checkpoint"}.get(
        module, f"keras_llm.{module}"
    )
    there = importlib.import_module(place)
    before, done = getattr(there, name), []

    def work_or_die(*args: Any) -> Any:
        if name == "_flush" and args[0].name == "step-00000008":
            die()
        if len(done) == calls and name != "_flush":
            die()
        done.append(1)
        return before(*args)

    setattr(there, name, work_or_die)


def die() -> None:
    """As power loss: nothing is flushed, nothing is tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(rows: str, out: str, when: str) -> None:
    """Trains until it is killed."""
    import keras

    from keras_llm.data import open_rows

    class Killer(keras.callbacks.Callback):
        steps = 0

        def on_train_batch_begin(self, batch, logs=None):
            self.steps += 1
            if str(self.steps) == when:
                die()

    if when in MOMENTS:
        die_at(when)
    # The checkpoint before a step is complete then, not on its way.
    background = not when.isdigit()
    train(
        open_rows(rows),
        Path(out),
        callbacks=[Killer()],
        save_in_background=background,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
