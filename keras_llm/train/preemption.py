"""Signals to stop: the step is finished, saved, and the process ends well.

SIGTERM is what clusters send before they take a machine away; Ctrl-C is
SIGINT. Between two steps all processes of a run agree on whether one of them
got a signal, so that all stop at the same step.
"""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

import keras

from keras_llm.errors import InputError
from keras_llm.train.distribution import Distribution
from keras_llm.train.measure import Run

SIGNALS = (signal.SIGTERM, signal.SIGINT)
AGREE_EVERY = 1.0  # seconds; each time the processes wait for each other
MOST = 1000  # steps between two agreements


class Interrupted(Exception):
    """Says to `fit` that a signal to stop came; the argument is its number.

    Example:

    >>> Interrupted(signal.SIGTERM).args[0].name
    'SIGTERM'
    """


class Signals:
    """Notes signals to stop instead of obeying at once.

    A second Ctrl-C is obeyed at once.

    Attributes:
        number: The signal that came, or 0.

    Example:

    >>> signals = Signals()
    >>> with signals.noted():
    ...     signal.raise_signal(signal.SIGTERM)
    >>> signals.number == signal.SIGTERM
    True
    """

    def __init__(self) -> None:
        self.number = 0

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Notes signals within; threads other than the main one get none."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[Any, Any] = {
            number: signal.signal(number, self._note) for number in SIGNALS
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                # None: not set from Python, so it cannot be set again.
                signal.signal(number, handler or signal.SIG_DFL)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number


class StopOnSignal(keras.callbacks.Callback):
    """Stops between two steps when a signal came; comes first of all.

    Also goes on with the metrics of a window that was cut.

    Args:
        run: Where the run stands.
        signals: What came.
        distribution: All its processes stop at the same step.
        metrics: Values to go on with, from `State.metrics`, or None.

    Raises:
        Interrupted: In `on_train_batch_begin`.
        InputError: The metrics are others than those of the model.

    Example:

    >>> StopOnSignal(Run(1), Signals(), Distribution()).agreed()
    0
    """

    def __init__(
        self,
        run: Run,
        signals: Signals,
        distribution: Distribution,
        metrics: list[Any] | None = None,
    ):
        super().__init__()
        self.run, self.signals = run, signals
        self.distribution, self.metrics = distribution, metrics
        self._pause = 0
        self._since: tuple[float, int] | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Puts the metrics of a cut window back, once."""
        values, self.metrics = self.metrics, None
        if values is None:
            return
        variables = self.model.metrics_variables
        if len(values) != len(variables):
            raise InputError(
                f"Expected {len(variables)} metrics in the checkpoint. "
                f"Received: {len(values)}, of another version of keras_llm. "
                "Continue with that version up to the next checkpoint."
            )
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        self.run.carried = float(self.model.token_metrics.result()["tokens"])

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Looks for a signal: the step before is complete."""
        number = self.agreed()
        if number:
            raise Interrupted(signal.Signals(number))

    def agreed(self) -> int:
        """Returns the signal that any process got, or 0; the same in all."""
        here = self.signals.number
        if self.distribution.workers == 1:
            return here
        if self._pause:
            self._pause -= 1
            return 0
        now, step = time.monotonic(), self.run.step
        since, before = self._since or (now, step)
        self._since = now, step
        rows = self.distribution.gather(
            [here, (now - since) / max(step - before, 1)]
        )
        slowest = max(row[1] for row in rows)
        if slowest > 0:
            self._pause = min(int(AGREE_EVERY / slowest), MOST)
        return int(max(row[0] for row in rows))


def leave(number: int, sentence: str, show: bool) -> NoReturn:
    """Ends a run that was told to stop.

    Args:
        number: The signal.
        sentence: What was saved and how to go on.
        show: Whether to print the sentence; one process of several does.

    Raises:
        KeyboardInterrupt: With the sentence, after Ctrl-C.
        SystemExit: With code 0, after SIGTERM.

    Example:

    >>> leave(signal.SIGTERM, "Saved.", show=False)
    Traceback (most recent call last):
    SystemExit: 0
    """
    if number == signal.SIGINT:
        raise KeyboardInterrupt(sentence if show else "")
    if show:
        print(sentence, file=sys.stderr, flush=True)
    raise SystemExit(0)
