"""What of a model is trained: everything, some layers, or an adapter."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from keras_llm import adapters
from keras_llm.errors import InputError
from keras_llm.records import Record


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trainable(Record):
    """Which weights a tuning trains, and what is put on the model for it.

    Args:
        weights: "all", "last_2" and the like, or patterns of paths (see
            `adapters.freeze`). With `lora` the adapter alone trains. Default:
            "all"; of a model that has an adapter already, that one.
        lora: An adapter to attach, an `adapters.Lora` or its fields.
        adapter: Its name. Default: "default".
        bits: 8 or 4 rounds the base to integers first (QLoRA), with `lora`
            only.
        neftune: Noise on the token embeddings (see `adapters.neftune`);
            None for none.
        seed: Of the adapter and the noise.

    Raises:
        InputError: Choices do not fit each other.

    Example:

    >>> Trainable(lora={"rank": 4}, bits=4).lora.rank
    4
    """

    weights: str | tuple[str, ...] = "all"
    lora: adapters.Lora | None = None
    adapter: str = "default"
    bits: int | None = None
    neftune: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.lora, dict):
            self._set("lora", adapters.Lora.from_dict(self.lora))
        if isinstance(self.weights, list):
            self._set("weights", tuple(self.weights))
        if self.lora is not None and self.weights != "all":
            raise InputError(
                "Expected either weights to train or a LoRA adapter, which "
                f"trains alone. Received: weights={self.weights!r} and lora. "
                "Leave out one."
            )
        self._positive("neftune")

    @contextmanager
    def on(self, model: Any) -> Iterator[None]:
        """Sets the model up for training; noise is taken off at the end.

        Raises:
            InputError: The model does not fit the choices.
        """
        if self.bits is not None:
            if self.lora is None and not adapters.adapter_names(model):
                raise InputError(
                    "Expected a LoRA adapter over integers, which do not "
                    f"train themselves. Received: bits={self.bits} without. "
                    "Pass lora, too."
                )
            adapters.quantize_base(model, self.bits)
        if self.lora is not None:
            adapters.attach(model, self.lora, self.adapter, self.seed)
        elif self.weights != "all" or not adapters.adapter_names(model):
            adapters.freeze(model, self.weights)
        if self.neftune is not None:
            adapters.neftune(model, self.neftune, self.seed)
        try:
            yield
        finally:
            if self.neftune is not None:
                adapters.neftune(model, None)
