"""What is written around the steps: the history, samples, checkpoints.

`fit` calls these at the end of every window of `log_every` steps, after
`Measure` has completed the logs. None of them touches a step's tensors in
between, so no step is waited for.
"""

import functools
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from keras_llm.closing import Closing
from keras_llm.errors import InputError
from keras_llm.files import write_text
from keras_llm.train import checkpoint, state
from keras_llm.train.background import Background
from keras_llm.train.ema import averaged
from keras_llm.train.folder import config_of
from keras_llm.train.measure import Run


class MetricsFile(keras.callbacks.Callback):
    """Appends a line of JSON for every window.

    Args:
        path: `metrics.jsonl`; its folder is made.
        step: Lines after this step are removed first: a resumed run writes
            them again, the same.

    Raises:
        InputError: A line before that is not JSON, or lines are missing.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "metrics.jsonl"
    >>> MetricsFile(path, 0).on_epoch_end(0, {"step": 10, "loss": 2.5})
    >>> read_history(path)
    [{'step': 10, 'loss': 2.5}]
    """

    def __init__(self, path: str | os.PathLike, step: int = 0):
        super().__init__()
        self.path = Path(path)
        last = cut_history(self.path, step)
        if last < step:
            raise InputError(
                f"Expected lines up to step {step} in {self.path}. Received: "
                f"lines up to step {last}. Restore the file, or remove the "
                f"checkpoints after step {last} to train from there again."
            )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Writes the window's line; what is not finite becomes null."""
        line = {"step": logs["step"]} | {
            name: value if _is_finite(value) else None
            for name, value in sorted(logs.items())
        }
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def cut_history(path: Path, step: int) -> int:
    """Removes the lines after `step` and what a kill left of a line.

    Returns:
        The step of the last line that is left, 0 without lines.
    """
    kept = [line for line in read_history(path) if line["step"] <= step]
    text = "".join(json.dumps(k, ensure_ascii=False) + "\n" for k in kept)
    write_text(path, text)
    return kept[-1]["step"] if kept else 0


def read_history(path: str | os.PathLike) -> list[dict[str, Any]]:
    """Returns the lines of a `metrics.jsonl`; [] if there is none.

    A last line that a kill cut short is left out.

    Raises:
        InputError: Another line is not JSON.

    Example:

    >>> read_history("no/such/file")
    []
    """
    path = Path(path)
    if not path.exists():
        return []
    *lines, last = path.read_text(encoding="utf-8").split("\n")
    try:  # what follows the last line break was cut, or is empty
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise InputError(
            f"Expected a JSON object in every line of {path}. Received: "
            f"{error}. Restore the file, or train into another folder."
        ) from error


class Samples(keras.callbacks.Callback):
    """Calls a function for generated text every so many steps.

    Args:
        run: Where the run stands.
        sample: Takes the decoder, returns a text or a list of texts.
        every: Steps between samples; the last step is sampled too.
        path: `samples.jsonl` to append to, or None.

    Example:

    >>> Samples(Run(1), lambda model: "hello", 10, None).texts
    []
    """

    def __init__(
        self,
        run: Run,
        sample: Callable[[keras.Model], str | list[str]],
        every: int,
        path: Path | None,
    ):
        super().__init__()
        self.run, self.sample, self.every, self.path = run, sample, every, path
        self.texts: list[str] = []
        if path is not None:
            cut_history(path, run.step)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Samples where it is due; `texts` is empty where it is not."""
        self.texts = []
        if self.run.step % self.every and not self.run.finished:
            return
        with averaged(self.model.decoder, self.model.optimizer):
            texts = self.sample(self.model.decoder)
        self.texts = [texts] if isinstance(texts, str) else list(texts)
        if self.path is not None:
            line = {"step": self.run.step, "texts": self.texts}
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


class Checkpoints(Closing, keras.callbacks.Callback):
    """Writes checkpoints: every so many steps, at the best validation, last.

    In the background, training waits until the values are copied (and until
    the one before is written, never two at once); the last one is waited
    for. Use it as a context then, so that a run that ends early waits, too.

    Args:
        run: Where the run stands; gets `save_seconds`, how long was waited.
        folder: Where they go.
        every: Steps between them.
        keep: How many of the newest to keep, beside the best.
        tokenizer: Fingerprint to note, or None.
        background: Whether a thread writes the files while training goes on.

    Raises:
        OSError: The disk is full; older checkpoints stay. In `on_epoch_end`,
            or in the background at the begin of the next step.

    Example:

    >>> Checkpoints(Run(1), Path("checkpoints"), 10, 2).every
    10
    """

    def __init__(
        self,
        run: Run,
        folder: Path,
        every: int,
        keep: int,
        tokenizer: str | None = None,
        background: bool = False,
    ):
        super().__init__()
        self.run, self.folder, self.every = run, folder, every
        self.keep, self.tokenizer = keep, tokenizer
        self.background = background
        self._thread = Background()
        best = state.best(folder)
        self._best = best and state.read_state(best).validation_loss

    def close(self) -> None:
        """Waits for what is being written."""
        self._thread.wait()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Raises what went wrong in the background."""
        self._thread.check()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Saves where it is due, then removes what is no longer kept."""
        loss = logs.get("validation_loss")
        due = self.run.finished or not self.run.step % self.every
        if due or self._improved(loss):
            self.save(validation_loss=loss)

    def save(self, **more: Any) -> None:
        """Saves now; `more` are further fields of `State`."""
        start, loss = time.perf_counter(), more.get("validation_loss")
        if self._improved(loss):
            self._best = loss
        self._thread.wait()
        model, optimizer = self.model.decoder, self.model.optimizer
        write = functools.partial(
            self._write,
            checkpoint.values_of(model, optimizer, copy=self.background),
            {**self._state(), **more},
        )
        self._thread.start(write)
        if self.run.finished or not self.background:
            self._thread.wait()
        self.run.save_seconds += time.perf_counter() - start

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.run.step,
            "config": config_of(self.model.decoder),
            "tokenizer": self.tokenizer,
            "tokens": self.run.tokens,
            "seconds": self.run.seconds,
            "skipped": self.run.skipped,
            "kwh": self.run.kwh,
        }

    def _write(self, values: checkpoint.Values, fields: dict) -> None:
        checkpoint.write(self.folder, values, **fields)
        checkpoint.prune(self.folder, self.keep)

    def _improved(self, loss: float | None) -> bool:
        return loss is not None and (self._best is None or loss < self._best)


class TakesPart(Checkpoints):
    """What a process does that is not the chief, when the chief saves.

    It holds parts of variables (`Distribution.takes_part`) and writes nothing.

    Example:

    >>> TakesPart(Run(1), Path("checkpoints"), 10, 2)._write(None, {})
    """

    def _write(self, values: checkpoint.Values | None, fields: dict) -> None:
        del values, fields


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
