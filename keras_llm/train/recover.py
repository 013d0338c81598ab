"""Going on from the newest good checkpoint, after a spike or a signal."""

import collections
import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from keras import ops

from keras_llm.errors import InputError
from keras_llm.train import checkpoint
from keras_llm.train.folder import BAD_BATCH, config_of
from keras_llm.train.intact import newest_intact, set_aside
from keras_llm.train.measure import Run
from keras_llm.train.preemption import Interrupted, Signals, leave
from keras_llm.train.state import State, checkpoints, latest
from keras_llm.train.watch import Spike, write_batch

MOST = 5  # times that a run goes back to the same checkpoint


class Recovery:
    """The part of `Training` for runs that go wrong.

    Example:

    >>> hasattr(Recovery, "fit_on")
    True
    """

    def check_guard(self: Any) -> None:
        """Refuses to go back where nothing is kept to go back to.

        Raises:
            InputError: `guard` is "roll_back" without a folder.
        """
        if self.settings.guard == "roll_back" and self.out is None:
            raise InputError(
                'Expected out, a folder, with guard="roll_back": it holds the '
                "checkpoints to go back to. Received: out=None."
            )

    def batches_from(self: Any, step: int) -> Any:
        """Returns the batches of a step and all after it, for `fit`."""
        seed = self.settings.seed
        make = functools.partial(self.source.batches, seed, step)
        fed = self.distribution.feed(make)
        return fed if self.data_wait is None else self.data_wait.timed(fed)

    @contextlib.contextmanager
    def noting_signals(self: Any) -> Iterator[None]:
        """Notes signals to stop, if there is a folder to save to."""
        self.signals = Signals()
        if self.out is None:
            yield
            return
        with self.signals.noted():
            yield

    def resumed_state(self: Any, trainer: Any) -> State:
        """Restores the newest intact checkpoint, the same in all processes.

        Raises:
            InputError: There are checkpoints, but none that is intact.
        """
        state, damaged = None, {}
        if self.folder is not None:
            state, damaged = newest_intact(
                self.folder, lambda path: self.restore(path, trainer.optimizer)
            )
        state = state or State(step=0, seeds=[], files={})
        # Read by all before the chief writes; the same for all, or an error.
        self.distribution.require_same(state.step)
        if self.distribution.chief:
            set_aside(damaged, state.step)
        return state

    def restore(self: Any, path: Path, optimizer: Any) -> State:
        """Loads a checkpoint into the model and, if given, the optimizer."""
        return checkpoint.restore(
            path, self.model, optimizer, self.source.tokenizer
        )

    def fit_on(self: Any, trainer: Any, batches: Any, run: Run) -> None:
        """Fits; goes back to the last checkpoint where the guard says so.

        The batches between are left out, by what `run.skipped` grows. It
        travels in the checkpoints; a run that is killed before the next one
        meets the same spike and goes back again, to the same place.

        Raises:
            InputError: There were several spikes after the same checkpoint.
            SystemExit: After SIGTERM, with code 0; all is saved.
            KeyboardInterrupt: After Ctrl-C; all is saved.
        """
        times: collections.Counter[int] = collections.Counter()
        if self.settings.guard == "roll_back" and not checkpoints(self.folder):
            self.save_first(trainer, self.folder)
        while True:
            try:
                return self._fit(trainer, batches, run)
            except Interrupted as signal:
                self._leave(trainer, run, signal.args[0])
            except Spike:
                state = self.resumed_state(trainer)
            run.skipped += run.step - state.step
            run.step, run.tokens = state.step, state.tokens
            self.carried = state.metrics
            times[run.step] += 1
            if times[run.step] > MOST:
                raise InputError(
                    f"Expected to get on from step {run.step} after leaving "
                    f"out batches. Received: {MOST + 1} spikes. Train into "
                    "another folder with a lower learning_rate or a higher "
                    "guard_limit."
                )
            batches = self.batches_from(run.step + run.skipped)

    def _leave(self: Any, trainer: Any, run: Run, number: Any) -> NoReturn:
        """Saves between two steps, then ends as the signal says."""
        newest = latest(self.folder)
        kept = newest and newest.name == f"step-{run.step:08d}"
        kept = bool(self.distribution.gather([bool(kept)])[0][0])
        if self.distribution.takes_part and run.step and not kept:
            checkpoint.values_of(self.model, trainer.optimizer)
        if self.distribution.chief and run.step and not kept:
            checkpoint.save(
                self.folder,
                self.model,
                trainer.optimizer,
                step=run.step,
                config=config_of(self.model),
                tokenizer=self.source.tokenizer,
                tokens=run.tokens,
                seconds=run.seconds,
                skipped=run.skipped,
                kwh=run.kwh,
                metrics=self._metrics(trainer, run),
            )
            checkpoint.prune(self.folder, self.settings.keep)
        self.distribution.gather([run.step])  # it is there
        done = f"step {run.step:,} of {run.total_steps:,}"
        sentence = (
            f"Stopped by {number.name} after {done}, which is saved in "
            f"{self.folder}. Run the same command again to go on."
        )
        leave(number, sentence, self.distribution.chief)

    def _metrics(self: Any, trainer: Any, run: Run) -> list | None:
        """Values of the metrics, if the run is between two lines."""
        if not run.step % self.settings.log_every:
            return None
        variables = trainer.metrics_variables
        return [ops.convert_to_numpy(v).tolist() for v in variables]

    def save_first(self: Any, trainer: Any, folder: Path) -> None:
        """Writes the checkpoint of step 0."""
        if self.distribution.takes_part:
            checkpoint.values_of(self.model, trainer.optimizer)
        if self.distribution.chief:
            checkpoint.save(
                folder,
                self.model,
                trainer.optimizer,
                step=0,
                config=config_of(self.model),
                tokenizer=self.source.tokenizer,
            )
        self.distribution.gather([0])  # it is there

    def set_aside(self: Any, run: Run, step: int) -> Path | None:
        """Writes the batch of a step (from 0) that went wrong."""
        if self.out is None or not self.distribution.chief:
            return None
        at = step + run.skipped
        batch = next(iter(self.source.batches(self.settings.seed, at)))
        file = self.out / BAD_BATCH
        return write_batch(file, step + 1, batch, self.tokenizer)
