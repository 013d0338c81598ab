"""The decoder with a cache: the one step that every generation rides on."""

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_llm.config import LOCAL
from keras_llm.layers import (
    gain,
    lookup,
    rotary_layers,
    scatter,
    visibility,
)
from keras_llm.model import Decoder


class DecoderStep:
    """A decoder's cached step: new tokens and caches in, logits and caches out.

    Made by `decoder_step`. Activations are `(batch * time, hidden_dim)`, so
    every projection is a plain matrix product.

    Args:
        model: A decoder from `build_decoder`; its weights are shared.
        write: How heads enter the cache: `layers.scatter` (any rows and
            positions) or `layers.slice_write` (one row, in place on phones).
    """

    def __init__(self, model: Decoder, write: Callable = scatter):
        self.config, self.write = model.config, write
        self.compute_dtype = model.compute_dtype
        kinds = self.config.layer_kinds
        self._blocks = [
            model.get_layer(f"block_{index}") for index in range(len(kinds))
        ]
        self._embedding = model.get_layer("token_embedding")
        # The compute dtype, or float32 where an export says so.
        self._head_dtype = self._embedding.reverse_dtype
        self._final_norm = model.get_layer("final_norm")
        self._positions = (
            model.get_layer("position_embedding")
            if self.config.rope is None
            else None
        )
        self._rotary = rotary_layers(self.config)

    def __call__(
        self, tokens: Any, positions: Any, caches: list, mask: Any = None
    ) -> tuple[Any, list]:
        """Runs the step.

        Args:
            tokens: int32 `(batch, time)`; time 1 is decode, more is prefill.
            positions: int32 `(batch, time)`, each below the cache's slots.
            caches: From `layers.new_cache` or an earlier step.
            mask: Additive `(batch or 1, 1, time, slots)`; None means that a
                token sees the slots up to its own position.

        Returns:
            `(logits, caches)`, logits float32 `(batch, time, vocabulary)`.
        """
        hidden, caches = self.hidden(tokens, positions, caches, mask)
        logits = self.logits(hidden)
        return ops.reshape(logits, (*ops.shape(tokens), -1)), caches

    def hidden(
        self,
        tokens: Any,
        positions: Any,
        caches: list,
        mask: Any = None,
        write: Callable | None = None,
        length: Any = None,
        slot_positions: Any = None,
    ) -> tuple[Any, list]:
        """Like calling, but returns the activations before the final norm.

        Prefill needs the logits of one position only; the head is the most
        expensive layer, so pick the rows first and then call `logits`.

        Args:
            tokens, positions, caches, mask: As for calling.
            write: How heads enter the cache this time, if not as always.
            length: How long each row's text may get, int32 `(batch, 1)`,
                which scaled positions may depend on. None: the slots.
            slot_positions: int32 `(batch or 1, slots)`, the position of what
                each slot holds, which local windows ask. None: slot `p`
                holds position `p`.

        Returns:
            `(hidden, caches)`, hidden `(batch * time, hidden_dim)`.
        """
        flat = ops.reshape(tokens, (-1,))
        x = self._cast(lookup(self._embedding.embeddings, flat))
        if self.config.embed_scale is not None:
            x = x * self.config.embed_scale
        if self._positions is not None:
            flat = ops.reshape(positions, (-1,))
            x = x + self._cast(lookup(self._positions.embeddings, flat))
        slots = ops.shape(caches[0])[2]
        length = slots if length is None else length
        if slot_positions is None:
            slot_positions = ops.expand_dims(
                ops.arange(slots, dtype="int32"), 0
            )
        masks = self._masks(positions, slot_positions, mask)
        rotary = {
            kind: layer(positions, length=length) if layer else None
            for kind, layer in self._rotary.items()
        }
        updated = []
        for index, block in enumerate(self._blocks):
            x, *pair = block.step(
                x,
                *caches[2 * index : 2 * index + 2],
                positions,
                masks[block.kind],
                rotary[block.kind],
                write or self.write,
            )
            updated += pair
        return x, updated

    def head(self) -> Any:
        """The head's matrix `(hidden_dim, vocabulary)`, to be made once.

        A tied head is a transposed table: inside a token loop the transposed
        copy should be made before the loop and passed to `logits`.
        """
        if self.config.tie_embeddings:
            table = ops.convert_to_tensor(self._embedding.embeddings)
            return ops.cast(ops.transpose(table), self._head_dtype)
        return ops.cast(
            ops.convert_to_tensor(self._embedding.reverse_embeddings),
            self._head_dtype,
        )

    def logits(self, hidden: Any, head: Any = None) -> Any:
        """Final norm and head: float32 `(rows, vocabulary)`.

        Args:
            hidden: `(rows, hidden_dim)` from `hidden`.
            head: What `head()` returned; None makes it.
        """
        cap = self.config.final_softcap
        head = self.head() if head is None else head
        logits = ops.matmul(self._normalize(hidden, cap or 1.0), head)
        logits = ops.cast(logits, "float32")
        return logits if cap is None else cap * ops.tanh(logits)

    def normalized(self, hidden: Any) -> Any:
        """Final norm alone, what the head reads: `(rows, hidden_dim)`."""
        return self._normalize(hidden, 1.0)

    def _normalize(self, x: Any, divisor: float) -> Any:
        """The final norm divided by a soft cap.

        The RMS form is scaled first and divided last, all at once: constants
        beside the head's product are folded into the head by the LiteRT
        converter, and a tied head is then a second copy of the token table.
        """
        if self.config.norm == "layer":
            return ops.cast(self._final_norm(x), self._head_dtype) / divisor
        x = ops.cast(x, "float32")
        mean = ops.mean(ops.square(x), axis=-1, keepdims=True)
        root = ops.rsqrt(mean + self.config.norm_eps) / divisor
        x = x * gain(self._final_norm) * root
        return ops.cast(x, self._head_dtype)

    def _masks(
        self, positions: Any, slot_positions: Any, mask: Any
    ) -> dict[str, Any]:
        """The mask of each kind of block."""
        if mask is None:
            mask = visibility(positions, slot_positions)
        masks = dict.fromkeys(self.config.layer_kinds, mask)
        if LOCAL in masks:
            window = visibility(positions, slot_positions, self.config.window)
            masks[LOCAL] = mask + window
        return masks

    def _cast(self, x: Any) -> Any:
        return ops.cast(x, self.compute_dtype)


def decoder_step(model: Decoder, write: Callable = scatter) -> DecoderStep:
    """Returns the cached step of a decoder; see `DecoderStep`.

    Args:
        model: A decoder from `build_decoder`; its weights are shared.
        write: `layers.scatter` (default) or `layers.slice_write`.

    Example:

    >>> from keras_llm.config import DecoderConfig
    >>> from keras_llm.layers import new_cache
    >>> from keras_llm.model import build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> tokens = ops.array([[1, 2, 3]])
    >>> step = decoder_step(model)
    >>> logits, caches = step(tokens, ops.array([[0, 1, 2]]),
    ...     new_cache(model.config, 1, 8))
    >>> bool(ops.all(ops.abs(logits - model(tokens)) < 1e-5))
    True
    """
    return DecoderStep(model, write)
