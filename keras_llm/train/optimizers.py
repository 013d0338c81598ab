"""The optimizers by name; AdamW and Lion are Keras' own with `Updates`."""

from collections.abc import Callable
from typing import Any

import keras

from keras_llm.errors import check_choice
from keras_llm.train.muon import Muon
from keras_llm.train.schedule_free import ScheduleFreeAdamW
from keras_llm.train.updates import Updates


@keras.saving.register_keras_serializable("keras_llm")
class AdamW(Updates, keras.optimizers.AdamW):
    """AdamW that decays kernels only, also after it was saved and loaded.

    Keras' own exclusion list matches variable names but not paths, and is
    lost when an optimizer is saved; here the rule of `decay_groups` is
    applied whenever the optimizer is built. Arguments as in
    `keras.optimizers.AdamW`; betas and epsilon default to 0.9, 0.95, 1e-8,
    the usual values for language models.

    Args:
        learning_rate: A number or a schedule. Default: 3e-4.
        weight_decay: Of kernels. Default: 0.1.
        beta_1, beta_2, epsilon: Defaults: 0.9, 0.95, 1e-8.
        **kwargs: See `Updates`.

    Source: Loshchilov & Hutter 2017, https://arxiv.org/abs/1711.05101.

    Example:

    >>> optimizer = AdamW(learning_rate=1e-3, weight_decay=0.1)
    >>> float(optimizer.beta_2)
    0.95
    """

    def __init__(
        self,
        learning_rate: Any = 3e-4,
        weight_decay: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.95,
        epsilon: float = 1e-8,
        name: str = "adamw",
        **kwargs: Any,
    ):
        super().__init__(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            name=name,
            **kwargs,
        )


@keras.saving.register_keras_serializable("keras_llm")
class Lion(Updates, keras.optimizers.Lion):
    """Lion: the sign of a momentum, half the state of AdamW.

    Every element moves by the learning rate, so it should be 3 to 10 times
    below AdamW's, and the decay as much above. Decays kernels only.

    Args:
        learning_rate: A number or a schedule. Default: 1e-4.
        weight_decay: Of kernels. Default: 1.
        beta_1, beta_2: Of the update and of the momentum. Defaults: 0.9, 0.99.
        **kwargs: See `Updates`.

    Source: Chen et al. 2023, https://arxiv.org/abs/2302.06675.

    Example:

    >>> Lion().weight_decay
    1.0
    """

    def __init__(
        self,
        learning_rate: Any = 1e-4,
        weight_decay: float = 1.0,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        name: str = "lion",
        **kwargs: Any,
    ):
        super().__init__(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            beta_1=beta_1,
            beta_2=beta_2,
            name=name,
            **kwargs,
        )


OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "adamw": AdamW,
    "muon": Muon,
    "lion": Lion,
    "schedule_free": ScheduleFreeAdamW,
}
"""The name in a `TrainConfig` -> its class."""


def optimizer(name: str, learning_rate: Any, **settings: Any) -> Any:
    """Returns an optimizer by its name.

    Args:
        name: "adamw", "muon", "lion" or "schedule_free".
        learning_rate: A number or a schedule.
        **settings: Arguments of the class; Lion has no `epsilon`, so it is
            left out there.

    Raises:
        InputError: The name is unknown or a value out of range.

    Example:

    >>> optimizer("lion", 1e-4, beta_2=0.98, epsilon=1e-8).beta_2
    0.98
    """
    check_choice("optimizer", name, tuple(OPTIMIZERS))
    if name == "lion":
        settings = {k: v for k, v in settings.items() if k != "epsilon"}
    return OPTIMIZERS[name](learning_rate, **settings)
