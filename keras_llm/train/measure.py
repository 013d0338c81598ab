"""Where a run stands, how fast it is, and when it has to stop."""

import time
from typing import Any

import keras


class Run:
    """Where a run stands; shared by the callbacks of one `fit`.

    Args:
        total_steps: Planned optimizer steps.
        step: Steps done.
        tokens: Target tokens trained on.
        seconds: Time spent before this process.
        skipped: Batches left out by going back to a checkpoint: step s takes
            the batch of step s + skipped.
        kwh: Energy used so far, or None if nobody knows.

    Attributes:
        save_seconds: How long training waited for checkpoints.
        carried: Tokens in the metrics that an earlier process counted.
        cost: What the run cost so far, as far as it is known.

    Example:

    >>> run = Run(total_steps=10)
    >>> run.finished
    False
    """

    def __init__(
        self,
        total_steps: int,
        step: int = 0,
        tokens: int = 0,
        seconds: float = 0.0,
        started: float | None = None,
        skipped: int = 0,
        kwh: float | None = None,
    ):
        self.total_steps, self.step, self.tokens = total_steps, step, tokens
        self.skipped, self.kwh = skipped, kwh
        self.save_seconds, self.carried = 0.0, 0.0
        self.cost: dict[str, Any] | None = None
        self._before = seconds
        self._started = time.monotonic() if started is None else started
        self.measured_tokens, self.measured_seconds = 0.0, 0.0
        self.stopped = False
        self.logs: dict[str, Any] = {}

    @property
    def seconds(self) -> float:
        """Time spent so far, over all resumptions."""
        return self._before + time.monotonic() - self._started

    @property
    def finished(self) -> bool:
        """Whether no step is left to do."""
        return self.stopped or self.step >= self.total_steps

    @property
    def tokens_per_second(self) -> float | None:
        """Mean speed of this process without its first step."""
        if not self.measured_seconds:
            return None
        return self.measured_tokens / self.measured_seconds


class Measure(keras.callbacks.Callback):
    """Counts steps, tokens and speed; stops at the last step or time limit.

    Adds to the logs: `step`, `tokens` (all so far), `seconds`,
    `tokens_per_second` and `mfu` of the window (without the first step,
    which compiles), and renames Keras' `val_...` to `validation_...`.

    Args:
        run: Where the run stands.
        flops_per_second: FLOPs per token over the machine's peak: an MFU is
            tokens per second times this.
        limit: Seconds after which training stops, or None.
        validate_at: Epochs (windows) at which `fit` validates; the last one
            is added when time stops the run.

    Example:

    >>> Measure(Run(10), 1e-6).limit is None
    True
    """

    def __init__(
        self,
        run: Run,
        flops_per_second: float,
        limit: float | None = None,
        validate_at: list[int] | None = None,
    ):
        super().__init__()
        self.run, self.mfu_per_speed = run, flops_per_second
        self.limit, self.validate_at = limit, validate_at
        self._first: int | None = None
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts the window's clock."""
        self._epoch, self._clock = epoch, time.perf_counter()
        self._end: float | None = None
        self._steps, self._skipped = 0, 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Counts; Keras looks at `stop_training` after the step."""
        run = self.run
        if self._first is None:
            self._first = run.step
        elif run.step == self._first + self._each:  # the first compiled
            self._clock, self._skipped = time.perf_counter(), self._each
        run.step += self._each
        self._steps += self._each
        late = self.limit is not None and self.model.distribution.any(
            run.seconds >= self.limit
        )
        if late and not run.finished:
            run.stopped = True
            if self.validate_at is not None:
                self.validate_at.append(self._epoch + 1)
        self.model.stop_training = run.finished

    def on_test_begin(self, logs: Any = None) -> None:
        """Stops the clock before validation."""
        self._stop_clock()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Completes the window's logs, which later callbacks read."""
        self._stop_clock()
        run, tokens = self.run, round(logs.pop("tokens"))
        run.tokens += tokens
        logs.pop("val_tokens", None)
        for name in [name for name in logs if name.startswith("val_")]:
            logs[name.replace("val_", "validation_")] = logs.pop(name)
        seconds = (self._end or 0.0) - self._clock
        counted = (self._steps - self._skipped) / self._steps
        speed = self._speed((tokens - run.carried) * counted, seconds)
        run.carried = 0.0
        logs |= {
            "step": run.step,
            "tokens": run.tokens,
            "seconds": run.seconds,
            "tokens_per_second": speed,
            "mfu": speed and speed * self.mfu_per_speed,
        }
        run.logs = dict(logs)

    def _speed(self, tokens: float, seconds: float) -> float | None:
        if self.run.step == (self._first or 0) + self._each:
            return None  # only the compiling step so far
        self.run.measured_tokens += tokens
        self.run.measured_seconds += seconds
        return tokens / seconds

    @property
    def _each(self) -> int:
        """Steps that run as one."""
        return self.model.steps_per_execution

    def _stop_clock(self) -> None:
        if self._end is None:
            sums = self.model.token_metrics.sums["tokens"]
            keras.ops.convert_to_numpy(sums)  # waits for the device
            self._end = time.perf_counter()
