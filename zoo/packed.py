"""Weights in a packed form: what a config.json says about it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError


@dataclasses.dataclass(frozen=True)
class PackedRule:
    """`quantization_config`, of a form that is unpacked on load.

    It is not written: weights are saved in the model's dtype.

    Args:
        method: The `quant_method` that is understood.

    Example:

    >>> PackedRule().read({"quantization_config": {"quant_method": "mxfp4"}})
    {}
    """

    method: str = "mxfp4"

    @property
    def keys(self) -> tuple[str, ...]:
        """The one key."""
        return ("quantization_config",)

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns no field: only the file differs.

        Raises:
            InputError: The weights are packed in another way.
        """
        packed = values.get(self.keys[0])
        known = isinstance(packed, Mapping) and packed.get("quant_method")
        if packed and known != self.method:
            raise InputError(
                f"Expected weights that are plain or packed as {self.method}. "
                f"Received in config.json: quantization_config={packed!r}. "
                "Use the repository that the model was first published in."
            )
        return {}

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """Returns nothing: what is saved is plain."""
        return {}
