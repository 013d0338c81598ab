"""An evaluation every so many steps of a training."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
from keras import ops

from keras_llm.errors import InputError
from keras_llm.evaluate.curves import Curves
from keras_llm.evaluate.finding import Finding, Measure
from keras_llm.evaluate.reports import plain, write_report
from keras_llm.evaluate.sections import measures_of
from keras_llm.evaluate.tensorboard_report import write_summaries
from keras_llm.train.callbacks import cut_history, read_history
from keras_llm.train.ema import averaged
from keras_llm.train.step import TokenTrainer

HISTORY, CURVES = "history.jsonl", "curves"


class Evaluation(keras.callbacks.Callback):
    """Evaluates every so many steps or epochs, and writes what was found.

    For Keras' own `fit` and for `keras_llm.train.fit`. There an epoch is a
    window of `log_every` steps, and evaluations happen at the end of one;
    averaged weights are evaluated where there are. The last step is
    evaluated, too.

    The folder gets a report for each look, `step-00000123/`; a line for each
    in `history.jsonl`; and `curves/report.html`, all measures over the steps.
    A run that is resumed continues the history: what it had of later steps is
    written again; an evaluation that a kill cut short is made up for at the
    next batch or window. (In Keras' own `fit`, place this after
    `BackupAndRestore`.) With several processes all evaluate, the chief writes.

    The measures are put into the epochs' logs by name, until there are newer
    ones, so that `ModelCheckpoint` and `EarlyStopping` can monitor
    "copa/acc"; these come later in the list of callbacks.

    Args:
        evaluate: From the step to findings; it knows the model. A step is a
            batch (in `keras_llm.train.fit`, an optimizer step).
        every_steps: Steps between two looks. This or `every_epochs`.
        every_epochs: Epochs between two looks.
        folder: Where the reports go. None writes none.
        log_dir: A folder for TensorBoard's events of these measures alone,
            such as `run/tensorboard/evaluation`. None writes none.
        title: Of the reports.

    Attributes:
        findings: Of the last look.

    Raises:
        InputError: Not one of `every_steps` and `every_epochs` is given, or
            it is below 1. While training: `evaluate` raises one, which is
            told with the step; it returns no findings; or a measure has the
            name of a number that is in the logs already.

    Example:

    >>> class Weight:
    ...     title = "Weight"
    ...     def __init__(self, value): self.value = value
    ...     def measures(self): return {"weight/size": Measure(self.value)}
    ...     def blocks(self): return []
    ...     def to_dict(self): return {}
    >>> import numpy as np
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> look = Evaluation(lambda step: [Weight(step / 2)], every_steps=3)
    >>> history = model.fit(np.ones((8, 1)), np.ones(8), batch_size=1,
    ...     callbacks=[look], verbose=0)
    >>> history.history["weight/size"]
    [4.0]
    """

    def __init__(
        self,
        evaluate: Callable[[int], Sequence[Finding]],
        every_steps: int | None = None,
        every_epochs: int | None = None,
        folder: str | os.PathLike | None = None,
        log_dir: str | os.PathLike | None = None,
        title: str = "Evaluation",
    ):
        super().__init__()
        chosen = [n for n in (every_steps, every_epochs) if n is not None]
        if len(chosen) != 1 or chosen[0] < 1:
            raise InputError(
                "Expected either every_steps or every_epochs, at least 1. "
                f"Received: every_steps={every_steps}, "
                f"every_epochs={every_epochs}."
            )
        self.evaluate, self.title = evaluate, title
        self.every_steps, self.every_epochs = every_steps, every_epochs
        self.folder = None if folder is None else Path(folder)
        self.log_dir = log_dir
        self.findings: Sequence[Finding] = []
        self._measures: dict[str, float] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        """Finds out where training stands, as far as it is known yet."""
        self._fresh, self._batches = True, 0
        if not self._windows:
            optimizer = self.model.optimizer
            each = getattr(optimizer, "gradient_accumulation_steps", None) or 1
            self._stand_at(ops.convert_to_numpy(optimizer.iterations) * each)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Counts the epoch's batches from zero."""
        self._batches = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Looks where it is due, in Keras' own `fit`."""
        done, self._batches = batch + 1 - self._batches, batch + 1
        if self._windows:
            return
        self._step += done
        if self._steps_due():
            self._look()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Looks where it is due; adds the newest measures to the logs."""
        logs = {} if logs is None else logs
        last = self.model.stop_training
        if self._windows:
            if self._fresh:
                self._stand_at(logs["step"] - self._batches)
            self._step = logs["step"]
        else:  # there an epoch may end a stretch of a run, not the run
            last = last or epoch + 1 == self.params["epochs"]
        due = self._steps_due() or (
            self.every_epochs and not (epoch + 1) % self.every_epochs
        )
        if due or (last and self._looked < self._step):
            self._look()
        known = sorted(self._measures.keys() & logs.keys())
        if known:
            raise InputError(
                "Expected measures whose names are not in the logs yet. "
                f"Received: {', '.join(known)}. Name the finding's part "
                "otherwise."
            )
        logs.update(self._measures)

    def _stand_at(self, step: Any) -> None:
        """Cuts the history where training begins, or begins again."""
        self._fresh, self._step = False, int(step)
        last = 0
        if self.folder is not None and self._writes:
            last = cut_history(self.folder / HISTORY, self._step)
        if self._windows:  # all processes look at the same steps
            last = int(self.model.distribution.gather([last])[0][0])
        self._looked = last or self._step

    @property
    def _windows(self) -> bool:
        """Whether this is `keras_llm.train.fit`, which measures windows."""
        return isinstance(self.model, TokenTrainer)

    @property
    def _writes(self) -> bool:
        return not self._windows or self.model.distribution.chief

    def _steps_due(self) -> bool:
        """Whether a multiple of `every_steps` was passed since."""
        every = self.every_steps
        return bool(every) and self._looked // every < self._step // every

    def _look(self) -> None:
        self._looked = self._step
        decoder = self.model.decoder if self._windows else self.model
        with averaged(decoder, self.model.optimizer):
            self.findings = self._found()
        measures = measures_of(self.findings)
        self._measures = {name: one.value for name, one in measures.items()}
        if self._writes:
            self._write(measures)

    def _found(self) -> Sequence[Finding]:
        try:
            found = self.evaluate(self._step)
        except InputError as error:
            raise InputError(
                f"The evaluation at step {self._step} failed. {error}"
            ) from error
        if not isinstance(found, list | tuple):
            raise InputError(
                "Expected a list of findings from the evaluation at step "
                f"{self._step}. Received: {type(found).__name__}."
            )
        return found

    def _write(self, measures: Mapping[str, Measure]) -> None:
        if self.log_dir is not None:
            write_summaries(self.log_dir, self.findings, self._step)
        if self.folder is None:
            return
        place = self.folder / f"step-{self._step:08d}"
        write_report(place, self.findings, f"{self.title}: step {self._step:,}")
        line = {
            "step": self._step,
            "measures": {
                name: plain(one._asdict(), name)
                for name, one in measures.items()
            },
        }
        with open(self.folder / HISTORY, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        curves = Curves(read_history(self.folder / HISTORY))
        write_report(self.folder / CURVES, [curves], f"{self.title}: curves")
