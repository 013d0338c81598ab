"""One call of `fit`: checks, the plan, what to resume from, callbacks."""

import contextlib
import dataclasses
import functools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_llm.errors import InputError
from keras_llm.files import TEMPORARY
from keras_llm.train import checkpoint
from keras_llm.train import state as state_files
from keras_llm.train.callbacks import (
    Checkpoints,
    MetricsFile,
    Samples,
    TakesPart,
    read_history,
)
from keras_llm.train.data_wait import DataWait
from keras_llm.train.distribution import distribution_of
from keras_llm.train.ema import keep_averages
from keras_llm.train.folder import (
    CHECKPOINTS,
    HISTORY,
    PLAN,
    REPORT,
    SAMPLES,
    Plan,
    check_unchanged,
    config_of,
)
from keras_llm.train.intact import Damaged
from keras_llm.train.loggers import check_logger
from keras_llm.train.measure import Measure, Run
from keras_llm.train.objective import NextToken, Objective
from keras_llm.train.plan import plan_steps
from keras_llm.train.preemption import StopOnSignal
from keras_llm.train.progress_line import ProgressLine
from keras_llm.train.recipe import optimizer_of, ramp_of, schedule_of
from keras_llm.train.recover import Recovery
from keras_llm.train.settings import TrainConfig, TrainReport
from keras_llm.train.source import Source, open_source, open_validation
from keras_llm.train.speed import (
    flops_per_token,
    measured_peak,
    peak_memory,
    precision_of,
)
from keras_llm.train.step import TokenTrainer
from keras_llm.train.trial import JitTrial
from keras_llm.train.watch import StopOnNan, WatchGuard
from keras_llm.train.watchers import watchers


class Training(Recovery, JitTrial):
    """One call of `fit`: `open_data`, then `complete_report` or `run`.

    Args: as `fit`; `started` is the monotonic time of the call.

    Raises:
        InputError: The model has another precision or strategy than the
            settings say.

    Example: see `fit`.
    """

    def __init__(
        self,
        model: keras.Model,
        settings: TrainConfig,
        out: Path | None,
        sample: Callable | None,
        callbacks: Sequence[keras.callbacks.Callback],
        started: float,
        objective: Objective | None = None,
    ):
        self.model, self.settings, self.out = model, settings, out
        self.objective = objective
        self.sample, self.callbacks = sample, callbacks
        self.started = started
        self.precision = precision_of(model)
        if settings.precision not in ("auto", self.precision):
            raise InputError(
                f"Expected a model built in {settings.precision}, as the "
                f"setting says. Received: {self.precision}. Build it with "
                f'build_decoder(config, dtype="{settings.precision}").'
            )
        self.distribution = distribution_of(model)
        self.distribution.require(settings.strategy)
        check_logger(settings.watch.logger)
        timed = out is not None and self.distribution.kind == "single"
        self.data_wait = DataWait() if timed else None
        self.check_guard()
        self.jit = self.known_jit()
        self.limit = settings.minutes and settings.minutes * 60
        self.folder = out / CHECKPOINTS if out else None
        self.source: Source
        self.validation: Source | None = None

    def open_data(self, rows: Any, validation: Any, tokenizer: Any) -> None:
        """Checks both data sets against the model."""
        self.tokenizer = tokenizer
        size = self.settings.batch_size
        self.source = open_source(rows, self.model, size, tokenizer)
        self.source = self.source._replace(
            sizes=ramp_of(self.settings), prefetch=self.settings.prefetch
        )
        if validation is not None:
            self.validation = open_validation(
                validation, self.model, size, tokenizer
            )

    def complete_report(self, resume: bool) -> TrainReport | None:
        """Returns the report of a folder whose run is complete."""
        if self.out is None or not (self.out / PLAN).exists():
            return None
        if not resume:
            raise InputError(
                "Expected a new folder, because resume=False. Received: "
                f"{self.out}, which holds a run. Choose another folder, or "
                "pass resume=True to continue it."
            )
        saved = Plan.load(self.out / PLAN)
        check_unchanged(self.out, saved, self._plan(saved.planned_steps))
        if not (self.out / REPORT).exists():
            return None
        report = TrainReport.load(self.out / REPORT)
        # As the folder has it now: it may have been moved since.
        places = self._places()
        try:
            self.restore(Path(str(places["checkpoint"])), None)
        except Damaged:
            return None  # go on from the one before
        return dataclasses.replace(report, **places)

    def run(self) -> TrainReport:
        """Trains from the last checkpoint, or from the start."""
        with self.noting_signals():
            return self._run()

    def _run(self) -> TrainReport:
        trainer = self._trainer()
        state = self.resumed_state(trainer)
        batches = self.batches_from(state.step + state.skipped)
        self.decide_jit(trainer, batches)
        total = self._planned_steps(trainer, batches)
        if self.settings.steps is None and keras.backend.backend() == "jax":
            # JAX has the measured schedule compiled in as a constant.
            trainer = self._trainer()
            self.resumed_state(trainer)
        self.schedule.plan(total, self.settings.warmup(total))
        run = Run(total, state.step, state.tokens, state.seconds, self.started)
        run.stopped = self.limit is not None and self.distribution.any(
            run.seconds >= self.limit
        )
        run.skipped, run.kwh = state.skipped, state.kwh
        self.carried = state.metrics
        if not run.finished:
            self.fit_on(trainer, batches, run)
        self.distribution.gather([run.step])  # the last checkpoint is there
        keep_averages(self.model, trainer.optimizer)
        report = self._report(run)
        if self.out is not None and self.distribution.chief:
            report.save(self.out / REPORT)
        return report

    def _trainer(self) -> TokenTrainer:
        with self.distribution.scope():
            return self._new_trainer()

    def _new_trainer(self) -> TokenTrainer:
        s = self.settings
        trainer = TokenTrainer(
            self.model,
            *(s.accumulate, s.clip_norm),
            self.objective
            or NextToken(s.z_loss, s.label_smoothing, s.loss_chunk),
        )
        self.schedule = schedule_of(s)
        optimizer = optimizer_of(s, self.schedule, self.model)
        optimizer.build(trainer.trainable_variables)
        trainer.compile(
            optimizer,
            jit_compile=self.jit,
            steps_per_execution=s.steps_per_execution,
        )
        return trainer

    def _planned_steps(self, trainer: TokenTrainer, batches: Any) -> int:
        """Decides once; a resumed run reads what was decided."""
        if self.out is not None and (self.out / PLAN).exists():
            return Plan.load(self.out / PLAN).planned_steps
        steps = self.settings.steps
        if self.limit is not None:
            steps = plan_steps(
                trainer,
                batches,
                self.limit - (time.monotonic() - self.started),
                list(self._chores(trainer)),
            )
        # Each process has measured another time: the chief's counts.
        steps = int(self.distribution.gather([steps or 1])[0][0])
        if self.out is not None and self.distribution.chief:
            self._plan(steps).save(self.out / PLAN)
        return steps

    def _chores(self, trainer: TokenTrainer) -> Iterator[tuple]:
        """What takes time between the steps, and every how many steps."""
        s = self.settings
        sample, place = self.sample, self.folder

        def save(place: Path) -> None:
            # A temporary name there: what a kill leaves is pruned later.
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory("", TEMPORARY, place) as folder:
                checkpoint.save(folder, self.model, trainer.optimizer, step=0)

        held_out = self._validation_batches()
        if held_out is not None:
            yield (
                lambda: trainer.evaluate(held_out, verbose=0),
                s.validate_every,
            )
        if not (self.distribution.chief or self.distribution.takes_part):
            return
        if sample is not None:
            yield lambda: self._sample(self.model), s.sample_every
        if place is not None:
            yield functools.partial(save, place), s.checkpoint_every

    def _validation_batches(self) -> Any:
        if self.validation is None:
            return None
        return self.distribution.feed(self.validation.once)

    def _plan(self, steps: int) -> Plan:
        return Plan(
            settings=self.settings.to_dict(),
            planned_steps=steps,
            precision=self.precision,
            rows=self.source.fingerprint,
            config=config_of(self.model),
            jit=self.jit,
        )

    def _fit(self, trainer: TokenTrainer, batches: Any, run: Run) -> None:
        every = self.settings.log_every
        windows = -(-run.total_steps // every)
        per = self.settings.validate_every // every
        validate_at = [*range(per, windows, per), windows]
        with contextlib.ExitStack() as stack:
            calls = self._callbacks(run, validate_at, stack)
            for part, steps, end in self._stretches(batches, run, windows):
                trainer.fit(
                    part,
                    epochs=end,
                    initial_epoch=run.step // every,
                    steps_per_epoch=steps,
                    validation_data=self._validation_batches(),
                    validation_freq=validate_at,
                    callbacks=calls,
                    shuffle=False,
                    verbose=0,
                )

    def _stretches(
        self, batches: Any, run: Run, windows: int
    ) -> Iterator[tuple[Any, int, int]]:
        """Batches, steps of a window and the last window of each `fit`.

        One, and before it what is left of a window that a signal cut.
        """
        every = self.settings.log_every
        rest = -run.step % every
        if rest:
            yield batches, rest, run.step // every + 1
            batches = self.batches_from(run.step + run.skipped)
        if not run.finished:
            yield batches, every, windows

    def _callbacks(
        self, run: Run, validate_at: list[int], stack: contextlib.ExitStack
    ) -> list[keras.callbacks.Callback]:
        s = self.settings
        per_speed = self._flops() / self._peak()
        carried, self.carried = self.carried, None
        calls = [
            StopOnSignal(run, self.signals, self.distribution, carried),
            Measure(run, per_speed, self.limit, validate_at),
            StopOnNan(s.learning_rate, functools.partial(self.set_aside, run)),
        ]
        if s.guard:
            calls.append(WatchGuard(run, go_back=s.guard == "roll_back"))
        chief = self.distribution.chief
        if not (chief or self.distribution.takes_part):
            return [*calls, *self.callbacks]
        samples = None
        if self.sample is not None:
            path = self.out / SAMPLES if self.out and chief else None
            samples = Samples(run, self._sample, s.sample_every, path)
            calls.append(samples)
        if not chief:
            parts = [self._checkpoints(run, TakesPart)] if self.out else []
            return [*calls, *parts, *self.callbacks]
        if self.out is not None:
            # The line of a step comes before its checkpoint: a kill between
            # them only means that the line is written again.
            calls += [
                MetricsFile(
                    self.out / HISTORY, run.step - run.step % s.log_every
                ),
                *watchers(self, run, samples, stack),
                stack.enter_context(self._checkpoints(run)),
            ]
        line = stack.enter_context(ProgressLine(run))
        return [*calls, line, *self.callbacks]

    def _sample(self, model: keras.Model) -> str | list[str]:
        local = self.distribution.local(model)
        if self.sample is None or not self.distribution.chief:
            return []
        return self.sample(local)

    def _checkpoints(
        self, run: Run, kind: type[Checkpoints] = Checkpoints
    ) -> Checkpoints:
        s = self.settings
        return kind(
            run,
            Path(str(self.folder)),
            s.checkpoint_every,
            s.keep,
            self.source.tokenizer,
            background=s.save_in_background,
        )

    def _flops(self) -> int:
        return flops_per_token(self.model, self.source.time)

    def _peak(self) -> float:
        """FLOP/s of all devices together."""
        one = measured_peak(self.precision.removeprefix("mixed_"))
        return one * self.distribution.replicas

    def _report(self, run: Run) -> TrainReport:
        logs = run.logs or read_history(Path(str(self.out)) / HISTORY)[-1]
        speed = run.tokens_per_second
        return TrainReport(
            steps=run.step,
            planned_steps=run.total_steps,
            tokens=run.tokens,
            tokens_per_second=speed,
            mfu=speed and speed * self._flops() / self._peak(),
            flops_per_token=self._flops(),
            peak_flops=self._peak(),
            loss=logs["loss"],
            perplexity=logs.get("perplexity"),
            validation_loss=logs.get("validation_loss"),
            validation_perplexity=logs.get("validation_perplexity"),
            seconds=run.seconds,
            peak_memory=peak_memory(),
            parameters=sum(
                int(np.prod(v.shape)) for v in self.model.trainable_variables
            ),
            precision=self.precision,
            cost=run.cost,
            **self._places(),
        )

    def _places(self) -> dict[str, str | None]:
        """Where the history and the last checkpoint are; None for nowhere."""
        if self.out is None or self.folder is None:
            return {"history": None, "checkpoint": None}
        return {
            "history": str(self.out / HISTORY),
            "checkpoint": str(state_files.latest(self.folder)),
        }
