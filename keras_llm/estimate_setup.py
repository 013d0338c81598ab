"""How a decoder is trained, as far as memory and time depend on it."""

import dataclasses

from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.records import Record

MOST = 2**31 - 1
COMPUTE = {
    "float32": "float32",
    "mixed_bfloat16": "bfloat16",
    "mixed_float16": "float16",
}
"""Precision of training -> compute dtype; weights are float32 in all."""
STRATEGIES = ("single", "data_parallel", "mirrored", "fsdp", "model_parallel")
MOMENTS = {"adamw": 2, "muon": 1, "lion": 1, "schedule_free": 1}
"""Optimizer -> moments of each element of a kernel."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup(Record):
    """How a decoder is trained, as far as memory and time depend on it.

    Args:
        batch_size: Rows in a step, over all devices. Default: 16.
        context: Tokens in a row. Default: the decoder's context length.
        precision: "float32", "mixed_bfloat16" or "mixed_float16".
        devices: How many there are. Default: 1.
        strategy: "single", "data_parallel", "mirrored", "fsdp" or
            "model_parallel". Default: "single".
        model_axis: Devices that share the heads and widths of a layer, with
            "model_parallel"; the others share the rows. Default: 1.
        optimizer: "adamw", "muon", "lion" or "schedule_free".
        optimizer_state: "float32" or "bfloat16".
        ema: Whether an average of the weights is kept. Default: False.
        accumulate: Micro-batches in a step. Default: 1.
        remat: Whether blocks are computed twice instead of kept.
        loss_chunk: Tokens whose logits are held at a time; None for all,
            "auto" (default) as `TrainConfig` has it.

    Raises:
        InputError: A value is out of range or does not fit another.

    Example:

    >>> Setup(batch_size=64, devices=8, strategy="fsdp", accumulate=4).rows
    2
    """

    batch_size: int = 16
    context: int | None = None
    precision: str = "mixed_bfloat16"
    devices: int = 1
    strategy: str = "single"
    model_axis: int = 1
    optimizer: str = "adamw"
    optimizer_state: str = "float32"
    ema: bool = False
    accumulate: int = 1
    remat: bool = False
    loss_chunk: int | str | None = "auto"

    def __post_init__(self) -> None:
        self._one_of("precision", tuple(COMPUTE))
        self._one_of("strategy", STRATEGIES)
        self._one_of("optimizer", tuple(MOMENTS))
        self._one_of("optimizer_state", ("float32", "bfloat16"))
        self._positive(
            *("batch_size", "context", "devices", "model_axis"),
            "accumulate",
        )
        if self.loss_chunk not in (None, "auto"):
            self._whole("loss_chunk", 1, MOST)
        several = self.strategy == "model_parallel"
        if self.devices % self.model_axis or (
            self.model_axis > 1 and not several
        ):
            raise InputError(
                'Expected model_axis with strategy="model_parallel", and to '
                f"divide the devices. Received: model_axis={self.model_axis}, "
                f"devices={self.devices}, strategy={self.strategy!r}."
            )
        if self.strategy == "single" and self.devices > 1:
            raise InputError(
                "Expected one device with the strategy single. Received: "
                f"{self.devices}. Choose data_parallel, fsdp, mirrored or "
                "model_parallel to use all of them."
            )
        if self.batch_size % self.accumulate:
            raise InputError(
                "Expected accumulate to divide batch_size. Received: "
                f"accumulate={self.accumulate}, batch_size={self.batch_size}."
            )

    @property
    def data_axis(self) -> int:
        """Devices that share the rows."""
        return self.devices // self.model_axis

    @property
    def rows(self) -> int:
        """Rows of a micro-batch on one device, rounded up."""
        return -(-self.batch_size // (self.accumulate * self.data_axis))

    def tokens(self, config: DecoderConfig) -> int:
        """Returns the tokens of a micro-batch on one device."""
        return self.rows * (self.context or config.context_length)

    def replace(self, **changes: object) -> "Setup":
        """Returns a copy with some fields changed."""
        return dataclasses.replace(self, **changes)
