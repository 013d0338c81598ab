"""From settings to the trainer, its optimizer and its schedule."""

from typing import Any

import keras

from keras_llm.train.layerwise import layer_rates, unfreezing
from keras_llm.train.loss_scale import FIRST
from keras_llm.train.mup import rate_scales
from keras_llm.train.optimizers import optimizer
from keras_llm.train.ramp import Ramp
from keras_llm.train.schedules import Schedule, schedule
from keras_llm.train.settings import TrainConfig
from keras_llm.train.speed import precision_of


def schedule_of(settings: TrainConfig) -> Schedule:
    """Returns the schedule, whose length is planned later.

    Example:

    >>> schedule_of(TrainConfig(steps=10)).name
    'WarmupCosine'
    """
    free = settings.optimizer == "schedule_free"
    return schedule(
        settings.schedule or ("constant" if free else "cosine"),
        settings.learning_rate,
        min_ratio=settings.min_ratio,
        decay_share=settings.decay_share,
    )


def ramp_of(settings: TrainConfig) -> tuple[tuple[int, int], ...]:
    """Returns the sizes of batches that grow; () where they do not.

    Example:

    >>> ramp_of(TrainConfig(steps=10, batch_size=8, accumulate=2,
    ...     ramp_steps=4, ramp_from=4))
    ((0, 4), (4, 8))
    """
    s = settings
    if s.ramp_from is None:
        return ()
    part = s.batch_size // s.accumulate
    return Ramp(s.ramp_from, s.batch_size, part, s.ramp_steps).stages


def optimizer_of(
    settings: TrainConfig, rate: Schedule, model: keras.Model
) -> Any:
    """Returns the optimizer of a run, not built.

    Args:
        settings: Of the run.
        rate: From `schedule_of`.
        model: The decoder; muP looks at its width, float16 needs scaling.

    Raises:
        InputError: A setting does not fit the model.

    Example:

    >>> settings = TrainConfig(steps=10, optimizer="muon", ema=0.99)
    >>> optimizer_of(settings, schedule_of(settings), None).ema
    0.99
    """
    s = settings
    return optimizer(
        s.optimizer,
        rate,
        weight_decay=s.weight_decay,
        beta_1=s.beta_1,
        beta_2=s.beta_2,
        epsilon=s.epsilon,
        ema=s.ema,
        state_dtype=s.optimizer_state,
        rate_scales=_rate_scales(s, model),
        starts=unfreezing(model, s.unfreeze_every) if s.unfreeze_every else {},
        guard=s.guard_limit if s.guard else None,
        loss_scale=(
            FIRST
            if model is not None and precision_of(model) == "mixed_float16"
            else None
        ),
    )


def _rate_scales(settings: TrainConfig, model: keras.Model) -> dict[str, float]:
    """Factors on the rates: muP's by width times those by depth."""
    width, decay = settings.base_width, settings.layer_decay
    wide = rate_scales(model, width, settings.optimizer) if width else {}
    deep = layer_rates(model, decay) if decay is not None else {}
    paths = {**wide, **deep}
    return {p: wide.get(p, 1.0) * deep.get(p, 1.0) for p in paths}
