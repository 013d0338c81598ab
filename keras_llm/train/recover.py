"""Going on after a spike, and what is left of a batch that broke a run."""

import collections
import functools
from pathlib import Path
from typing import Any

from keras_llm.errors import InputError
from keras_llm.train import checkpoint
from keras_llm.train.folder import BAD_BATCH, config_of
from keras_llm.train.measure import Run
from keras_llm.train.state import checkpoints
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
        return self.distribution.feed(make)

    def fit_on(self: Any, trainer: Any, batches: Any, run: Run) -> None:
        """Fits; goes back to the last checkpoint where the guard says so.

        The batches between are left out, by what `run.skipped` grows. It
        travels in the checkpoints; a run that is killed before the next one
        meets the same spike and goes back again, to the same place.

        Raises:
            InputError: There were several spikes after the same checkpoint.
        """
        times: collections.Counter[int] = collections.Counter()
        if self.settings.guard == "roll_back" and not checkpoints(self.folder):
            self.save_first(trainer, self.folder)
        while True:
            try:
                return self._fit(trainer, batches, run)
            except Spike:
                state = self._resumed_state(trainer)
            run.skipped += run.step - state.step
            run.step, run.tokens = state.step, state.tokens
            times[run.step] += 1
            if times[run.step] > MOST:
                raise InputError(
                    f"Expected to get on from step {run.step} after leaving "
                    f"out batches. Received: {MOST + 1} spikes. Train into "
                    "another folder with a lower learning_rate or a higher "
                    "guard_limit."
                )
            batches = self.batches_from(run.step + run.skipped)

    def save_first(self: Any, trainer: Any, folder: Path) -> None:
        """Writes the checkpoint of step 0."""
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
