"""What a model is quantized to, and how: the choices, checked."""

import dataclasses
from typing import Any

from keras_llm.records import Record

FLOAT32, BFLOAT16, INT8, INT4 = "float32", "bfloat16", "int8", "int4"
STORAGES = (FLOAT32, BFLOAT16, INT8, INT4)
BITS = {INT8: 8, INT4: 4}
ROUND, GPTQ, AWQ = "round", "gptq", "awq"
METHODS = (ROUND, GPTQ, AWQ)
AUTO = "auto"  # the storage decides


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quantization(Record):
    """How weights are stored, how their integers are found, what computes.

    Args:
        storage: "float32", "bfloat16", "int8" or "int4": the form on disk.
        method: "round", "gptq" or "awq": how integers are found. The last
            two read a calibration text. Default: "round".
        group: int4: how many inputs share a scale. Default: 32. (int8 has one
            scale for each output.)
        compute: "bfloat16", "float32", or "auto", which becomes one of
            them: float32 for float32, else bfloat16, which takes less time on
            a CPU with bfloat16 units. Default: "auto". Norms, routers and the
            head are float32 in both.

    Raises:
        InputError: A word is none of these, or the group is not above zero.

    Example:

    >>> Quantization(storage="int8").compute
    'bfloat16'
    """

    storage: str = FLOAT32
    method: str = ROUND
    group: int = 32
    compute: str = AUTO

    def __post_init__(self) -> None:
        self._one_of("storage", STORAGES)
        self._one_of("method", METHODS)
        self._positive("group")
        if self.compute == AUTO:
            plain = self.storage == FLOAT32
            self._set("compute", FLOAT32 if plain else BFLOAT16)
        self._one_of("compute", (FLOAT32, BFLOAT16))

    @property
    def bits(self) -> int | None:
        """8, 4, or None for a float."""
        return BITS.get(self.storage)

    @property
    def name(self) -> str:
        """What a table calls it: "float32", "int4 gptq"."""
        plain = Quantization(storage=self.storage)
        words = [self.storage]
        if self.bits and self.method != ROUND:
            words.append(self.method)
        if self.compute != plain.compute:
            words.append(f"in {self.compute}")
        return " ".join(words)

    @property
    def calibrated(self) -> bool:
        """Whether a calibration text is read."""
        return self.bits is not None and self.method != ROUND


def quantization(chosen: "Quantization | str | None") -> Quantization:
    """Returns the settings that a word or None stands for.

    Example:

    >>> quantization("int4").bits, quantization(None).storage
    (4, 'float32')
    """
    if isinstance(chosen, Quantization):
        return chosen
    words: dict[str, Any] = {} if chosen is None else {"storage": chosen}
    return Quantization(**words)
