"""Cross-entropy of some positions at a time: all logits never exist at once.

A vocabulary of 50,000 makes the logits and their gradient the largest tensors
of a step: 8 rows of 1,024 tokens take 1.6 GB, several times over. Here a loop
goes over slices of the rows' positions. For each it computes logits, loss and
the gradients of hidden states and head, adds these up and forgets the logits;
the backward pass has only to multiply. Nothing is computed twice.

Slices go along the time axis, so that every device that holds some rows has
work in every slice.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_llm.model import Decoder, decoder_inputs
from keras_llm.train.head import head_of
from keras_llm.train.losses import TokenLoss
from keras_llm.train.settings import check_loss_chunk

ROOM = 2**25  # logits of a slice, where "auto" slices: 128 MB in float32
WHOLE = 2**26  # logits up to which "auto" takes them whole


class ChunkedLoss:
    """The loss of a decoder, from its inputs, a slice of positions at a time.

    Values and gradients are those of `token_loss` on the decoder's logits, up
    to the order of sums. Only `objective` has a gradient.

    Args:
        decoder: From `build_decoder`.
        chunk: Tokens in a slice; "auto" takes all at once while the logits
            of a (micro-)batch have at most 2**26 numbers, else as many as
            have 2**25.

    Raises:
        InputError: Another kind of model, or a head that was quantized or
            has LoRA.

    Source: Hsu et al. 2024, https://arxiv.org/abs/2410.10989 (gradients in
    the forward pass).

    Example:

    >>> from keras_llm.config import DecoderConfig
    >>> from keras_llm.model import build_decoder
    >>> from keras_llm.train import token_loss
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> tokens = ops.ones((2, 4), "int32")
    >>> loss = ChunkedLoss(model, chunk=2)(tokens, tokens,
    ...     ops.ones((2, 4)), token_loss)
    >>> float(loss.tokens)
    8.0
    """

    def __init__(self, decoder: keras.Model, chunk: int | str = "auto"):
        self.chunk = chunk
        self.head = head_of(decoder)
        self.hidden = keras.Model(
            decoder.input, decoder.get_layer("final_norm").output
        )

    def slices(self, shape: Sequence[int | None]) -> bool:
        """Returns whether a batch is sliced; one of unknown size is.

        Args:
            shape: `(rows, time)`.
        """
        rows, time = shape
        if rows is None or time is None:
            return True
        tokens = rows * time
        if isinstance(self.chunk, int):
            return tokens > self.chunk
        return tokens * self.head.vocabulary > WHOLE

    @property
    def tokens(self) -> int:
        """Tokens in a slice, about."""
        if isinstance(self.chunk, int):
            return self.chunk
        return ROOM // self.head.vocabulary

    def __call__(
        self,
        inputs: Any,
        targets: Any,
        weights: Any,
        loss: Callable[..., TokenLoss],
        training: bool | None = False,
    ) -> TokenLoss:
        """Returns the sums of a batch.

        Args:
            inputs: Of the decoder.
            targets: int `(rows, time)`.
            weights: float32 `(rows, time)`.
            loss: Takes logits, targets and weights.
            training: Whether gradients will be asked for.
        """
        head = self.head
        hidden = self.hidden(decoder_inputs(inputs), training=training)
        hidden = ops.cast(hidden, head.dtype)
        kernel = ops.cast(head.variable, head.dtype)
        rows, time, width = ops.shape(hidden)
        size = _positions(self.tokens, rows)
        targets, weights = (
            ops.reshape(_sliced(x, rows, time, size), (-1, rows * size))
            for x in (targets, weights)
        )

        def part(hidden: Any, kernel: Any, index: Any) -> TokenLoss:
            logits = head.logits(hidden, kernel)
            return loss(logits, targets[index], weights[index])

        def sums(hidden: Any, kernel: Any) -> Any:
            parts = _sliced(hidden, rows, time, size)
            parts = ops.reshape(parts, (-1, rows * size, width))
            found, *gradients = _loop(part, parts, kernel, bool(training))

            def gradient(*args: Any, upstream: Any = None) -> tuple:
                (scale, *_) = ops.unstack(args[0] if args else upstream, 4)
                d_hidden, d_kernel = gradients
                d_hidden = _joined(d_hidden, rows, time, size, width)
                # In float32: the factor would be rounded, or too large.
                d_hidden = ops.cast(d_hidden, "float32") * scale
                return (
                    ops.cast(d_hidden, head.dtype),
                    ops.cast(d_kernel * scale, head.dtype),
                )

            return found, gradient

        found = (
            ops.custom_gradient(sums)(hidden, kernel)
            if training
            else sums(hidden, kernel)[0]
        )
        return TokenLoss(*ops.unstack(found, 4))


def chunked_loss(
    decoder: keras.Model, chunk: int | str | None
) -> ChunkedLoss | None:
    """Returns the loss for a setting `loss_chunk`; None takes logits whole.

    Raises:
        InputError: The setting is none, or does not fit the decoder; "auto"
            takes the logits of other models whole.

    Example:

    >>> chunked_loss(keras.Sequential(), "auto") is None
    True
    """
    check_loss_chunk(chunk)
    auto = chunk == "auto"
    if chunk is None or (auto and not isinstance(decoder, Decoder)):
        return None
    return ChunkedLoss(decoder, chunk)


def _positions(tokens: int, rows: Any) -> Any:
    """How many positions of all rows make about so many tokens."""
    if isinstance(rows, int):
        return max(1, tokens // rows)
    return ops.maximum(1, tokens // rows)


def _sliced(x: Any, rows: Any, time: Any, size: Any) -> Any:
    """`(rows, time, ...)` as `(slices, rows, size, ...)`, filled with zeros."""
    rest = x.shape[2:]
    padding = [(0, 0), (0, -time % size)] + [(0, 0)] * len(rest)
    x = ops.reshape(ops.pad(x, padding), (rows, -1, size, *rest))
    return ops.transpose(x, (1, 0, *range(2, len(rest) + 3)))


def _joined(x: Any, rows: Any, time: Any, size: Any, width: int) -> Any:
    """`(slices, rows * size, width)` back to `(rows, time, width)`."""
    x = ops.transpose(ops.reshape(x, (-1, rows, size, width)), (1, 0, 2, 3))
    return ops.reshape(x, (rows, -1, width))[:, :time]


def _loop(part: Callable, parts: Any, kernel: Any, gradients: bool) -> tuple:
    """Sums of all parts; with gradients, also those of parts and kernel."""
    if keras.backend.backend() == "jax":
        return _loop_jax(part, parts, kernel, gradients)
    return _loop_tensorflow(part, parts, kernel, gradients)


def _loop_tensorflow(
    part: Callable, parts: Any, kernel: Any, gradients: bool
) -> tuple:
    import tensorflow as tf

    count = parts.shape[0] or tf.shape(parts)[0]

    def score(index: Any, sums: Any) -> tuple:
        more = part(parts[index], kernel, index)
        return index + 1, sums + tf.stack(more[:4])

    def learn(index: Any, sums: Any, d_kernel: Any, d_parts: Any) -> tuple:
        hidden = parts[index]
        with tf.GradientTape() as tape:
            tape.watch([hidden, kernel])
            more = part(hidden, kernel, index)
        d_hidden, extra = tape.gradient(more.objective, [hidden, kernel])
        return (
            index + 1,
            sums + tf.stack(more[:4]),
            d_kernel + tf.cast(extra, tf.float32),
            d_parts.write(index, d_hidden),
        )

    start: list[Any] = [tf.constant(0), tf.zeros(4)]
    if gradients:
        start += [
            tf.zeros(kernel.shape),
            tf.TensorArray(
                parts.dtype, size=count, element_shape=parts.shape[1:]
            ),
        ]
    # One at a time: parallel iterations would keep all logits.
    _, *found = tf.while_loop(
        lambda index, *_: index < count,
        learn if gradients else score,
        start,
        parallel_iterations=1,
    )
    if not gradients:
        return tuple(found)
    sums, d_kernel, d_parts = found
    return sums, d_parts.stack(), d_kernel


def _loop_jax(
    part: Callable, parts: Any, kernel: Any, gradients: bool
) -> tuple:
    import jax

    def objective(hidden: Any, kernel: Any, index: Any) -> tuple:
        found = part(hidden, kernel, index)
        return found.objective, ops.stack(found[:4])

    def score(sums: Any, at: tuple) -> tuple:
        return sums + objective(at[1], kernel, at[0])[1], None

    def learn(carry: tuple, at: tuple) -> tuple:
        sums, d_kernel = carry
        gradient = jax.grad(objective, argnums=(0, 1), has_aux=True)
        (d_hidden, extra), more = gradient(at[1], kernel, at[0])
        return (sums + more, d_kernel + extra.astype("float32")), d_hidden

    at = (ops.arange(parts.shape[0]), parts)
    if not gradients:
        return (jax.lax.scan(score, ops.zeros(4), at)[0],)
    start = (ops.zeros(4), ops.zeros(kernel.shape))
    (sums, d_kernel), d_parts = jax.lax.scan(learn, start, at)
    return sums, d_parts, d_kernel
