"""Which callbacks watch a run that has a folder."""

import contextlib
from typing import Any

import keras

from keras_llm.train.callbacks import Samples
from keras_llm.train.cost import Cost
from keras_llm.train.details import Details
from keras_llm.train.folder import BOARD
from keras_llm.train.loggers import logging_to
from keras_llm.train.measure import Run
from keras_llm.train.meters import Meters
from keras_llm.train.profile import Profile
from keras_llm.train.projector import Projector
from keras_llm.train.tensorboard import TensorBoard
from keras_llm.train.whole import spans_processes

PROFILE = "profile"  # beside the event file: TensorBoard follows only one


def watchers(
    training: Any,
    run: Run,
    samples: Samples | None,
    stack: contextlib.ExitStack,
) -> list[keras.callbacks.Callback]:
    """Returns them in their order; they come after `Measure` and samples.

    Args:
        training: The `Training`.
        run: Where the run stands.
        samples: The callback that makes samples.
        stack: Closes what they open.

    Example: see `fit`, which uses it.
    """
    settings, folder = training.settings.watch, training.out / BOARD
    cost = Cost(settings, run.kwh)
    plan = training._plan(run.total_steps).to_dict()
    described = {**plan, "energy": cost.source}
    board = TensorBoard(folder, described, run.step, samples)
    calls: list[keras.callbacks.Callback] = [
        Meters(run, cost, training.data_wait),
        stack.enter_context(board),
    ]
    # Where processes hold parts of the weights, the chief alone has not all.
    if not any(map(spans_processes, training.model.variables)):
        every = settings.detail_every
        details = Details(run, board, every, training.settings.log_every)
        calls += [
            stack.enter_context(details),
            Projector(run, folder, training.tokenizer),
        ]
    if settings.profiled is not None:
        profile = Profile(run, folder / PROFILE, *settings.profiled)
        calls.append(stack.enter_context(profile))
    logger = logging_to(settings.logger, training.out, described)
    return [*calls, *stack.enter_context(logger)]
