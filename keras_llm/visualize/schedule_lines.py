"""Learning-rate schedules: the rate of every step, before a run is started."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_llm.errors import InputError
from keras_llm.figures import new_figure
from keras_llm.train.recipe import schedule_of
from keras_llm.train.settings import TrainConfig
from keras_llm.visualize.palette import line_style, named

POINTS = 400  # of a curve at most
Schedule = TrainConfig | keras.optimizers.schedules.LearningRateSchedule


def schedule_rates(
    schedule: Schedule, steps: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the learning rates that a schedule gives.

    Args:
        schedule: A `TrainConfig`, one of `keras_llm.train`'s schedules, or
            any of Keras's.
        steps: Optimizer steps. Default: as many as the settings or the
            schedule have; for settings, also the length that is planned.

    Returns:
        Steps, int64, from 0, at most 400 of them; and their rates, float32.

    Raises:
        InputError: There is no number of steps, or it is below 1.

    Example:

    >>> from keras_llm.train import TrainConfig
    >>> at, rates = schedule_rates(TrainConfig(steps=100, learning_rate=1.0))
    >>> [round(float(rates[step]), 2) for step in (0, 4, 99)]
    [0.2, 1.0, 0.1]
    """
    settings = isinstance(schedule, TrainConfig)
    known = "steps" if settings else "total_steps"
    steps = getattr(schedule, known, None) if steps is None else steps
    if not isinstance(steps, int) or steps < 1:
        raise InputError(
            "Expected a number of steps, at least 1, where the schedule does "
            f"not say how long it is. Received: steps={steps!r}."
        )
    rate: Any = schedule
    if isinstance(schedule, TrainConfig):
        rate = schedule_of(schedule)
        rate.plan(steps, schedule.warmup(steps))
    at = np.unique(np.linspace(0, steps - 1, POINTS).astype("int64"))
    rates = [float(keras.ops.convert_to_numpy(rate(int(i)))) for i in at]
    return at, np.array(rates, "float32")


def schedule_figure(
    schedule: Schedule | Mapping[str, Schedule], steps: int | None = None
) -> Any:
    """Draws one learning-rate schedule, or several to choose from.

    Args:
        schedule: As for `schedule_rates`; or several by name.
        steps: As for `schedule_rates`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        InputError: As for `schedule_rates`; matplotlib is missing.

    Example:

    >>> from keras_llm.train import TrainConfig
    >>> axes = schedule_figure(TrainConfig(steps=9)).axes[0]
    >>> axes.get_xlabel(), len(axes.lines)
    ('step', 1)
    """
    figure = new_figure(7.2, 3.4)
    axes = figure.subplots()
    schedules = named(schedule)
    for index, (name, one) in enumerate(schedules.items()):
        style = line_style(index)
        axes.plot(*schedule_rates(one, steps), label=name or None, **style)
    axes.set(xlabel="step", ylabel="learning rate")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if any(schedules):
        figure.legend(loc="outside right upper", fontsize=8)
    return figure
