"""WatchConfig: what is shown of a run beside its losses."""

import dataclasses
import re

from keras_llm.errors import InputError
from keras_llm.hardware import carbon_intensity
from keras_llm.records import Record

LOGGERS = (None, "wandb", "mlflow")


@dataclasses.dataclass(frozen=True, kw_only=True)
class WatchConfig(Record):
    """How a run is watched; nothing here changes what is trained.

    Args:
        detail_every: Steps between update norms and histograms of the
            weights in TensorBoard, which take a copy of the weights; they
            are made at the end of a window of `log_every` steps. 0 for
            none. Default: 200.
        profile: Steps to profile, "FIRST:LAST" counted from 1, for
            TensorBoard's profile plugin. Default: none.
        logger: "wandb" or "mlflow": also log there, through the Keras
            callback of that package. Default: none.
        watts: What the machine draws, for the energy where it cannot be
            measured. Default: unknown.
        region: Where the electricity is from (see `hardware.REGIONS`), or
            grams of CO2 for a kWh. Default: "world".
        price_per_hour: Of the machine, in any currency.
        price_per_kwh: Of electricity, in the same currency.

    Raises:
        InputError: A value is out of range.

    Example:

    >>> WatchConfig(profile="10:12").profiled
    (10, 12)
    """

    detail_every: int = 200
    profile: str | None = None
    logger: str | None = None
    watts: float | None = None
    region: str = "world"
    price_per_hour: float | None = None
    price_per_kwh: float | None = None

    def __post_init__(self) -> None:
        self._whole("detail_every", 0, 2**31 - 1)
        self._one_of("logger", LOGGERS)
        self._positive("watts", "price_per_hour", "price_per_kwh")
        carbon_intensity(self.region)
        first, last = self.profiled or (1, 1)
        if not 1 <= first <= last:
            raise InputError(
                "Expected profile with the first step above zero and not "
                f"after the last. Received: {self.profile!r}."
            )

    @property
    def profiled(self) -> tuple[int, int] | None:
        """First and last step to profile, or None."""
        if self.profile is None:
            return None
        found = re.fullmatch(r"(\d+):(\d+)", self.profile)
        if not found:
            raise InputError(
                'Expected profile as "FIRST:LAST", for example "10:12". '
                f"Received: {self.profile!r}."
            )
        return int(found[1]), int(found[2])
