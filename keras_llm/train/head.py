"""The head of a decoder as a function of its kernel, for a loss in slices."""

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_llm.errors import InputError
from keras_llm.model import Decoder


class Head(NamedTuple):
    """From hidden states to logits, as the decoder does it.

    Args:
        variable: The Keras variable of the kernel.
        tied: Whether it is the input table, `(vocabulary, width)`; else it is
            `(width, vocabulary)`.
        softcap: Of the logits, or None.
        dtype: Of the product.

    Example:

    >>> kernel = keras.Variable([[1.0, 2.0], [3.0, 4.0]])
    >>> head = Head(kernel, False, None, "float32")
    >>> head.logits(ops.array([[1.0, 0.0]]), kernel.value).numpy().tolist()
    [[1.0, 2.0]]
    """

    variable: Any
    tied: bool
    softcap: float | None
    dtype: str

    @property
    def vocabulary(self) -> int:
        """Logits of a token."""
        return self.variable.shape[0 if self.tied else 1]

    def logits(self, hidden: Any, kernel: Any) -> Any:
        """Returns `(n, vocabulary)` for `(n, width)`, both in `dtype`."""
        logits = _product(hidden, kernel, self.tied)
        if self.softcap is None:
            return logits
        return ops.tanh(logits / self.softcap) * self.softcap


def head_of(decoder: keras.Model) -> Head:
    """Returns the head of a decoder.

    Raises:
        InputError: It is none of ours, or its head is more than one kernel.

    Example: see `chunked_loss.ChunkedLoss`.
    """
    if not isinstance(decoder, Decoder):
        raise InputError(
            "Expected a decoder from build_decoder for a loss in chunks: its "
            f"head is known. Received: {type(decoder).__name__}. Leave out "
            "loss_chunk."
        )
    table: Any = decoder.get_layer("token_embedding")
    if table.quantization_mode is not None or table.lora_enabled:
        raise InputError(
            "Expected a head that is one kernel for a loss in chunks. "
            f"Received: quantization {table.quantization_mode}, LoRA "
            f"{table.lora_enabled}. Leave out loss_chunk."
        )
    tied = table.tie_weights
    return Head(
        table._embeddings if tied else table.reverse_embeddings,
        tied,
        table.logit_soft_cap,
        table.reverse_dtype,
    )


def _product(x: Any, kernel: Any, transposed: bool) -> Any:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Neither the kernel nor its gradient is written out transposed.
        return tf.matmul(x, kernel, transpose_b=transposed)
    return ops.matmul(x, ops.transpose(kernel) if transposed else kernel)
