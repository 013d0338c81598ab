"""From the hidden states of tokens to one vector for each text of a row."""

from typing import Any

import keras
from keras import ops

from keras_llm.errors import check_choice
from keras_llm.layers.mask import HIDDEN

POOLINGS = ("last", "mean", "attention")


@keras.saving.register_keras_serializable("keras_llm")
class Pooling(keras.layers.Layer):
    """A weighted mean of the hidden states of each text.

    A row may hold several texts, told apart by their segments. A text that
    is not there has no tokens, and gets some finite vector.

    Args:
        kind: "last": the last token, which has seen all others; "mean": all
            alike; "attention": by weights that are learned.

    Call arguments:
        hidden: `(rows, time, width)`.
        segments: int32 `(rows, time)`: 1 for the tokens of the first text,
            2 for those of the second, 0 for padding. None: one text, no
            padding.
        texts: int32 `(rows, texts)`: the segments to pool. None: the first.

    Returns:
        `(rows, texts, width)`, float32.

    Raises:
        InputError: Another kind.

    Source: "attention" is Lin et al. 2017, https://arxiv.org/abs/1703.03130,
    with one hop and one layer.

    Example:

    >>> hidden = ops.reshape(ops.arange(6.0), (1, 3, 2))
    >>> Pooling("mean")(hidden, ops.array([[1, 1, 0]])).numpy().tolist()
    [[[1.0, 2.0]]]
    """

    def __init__(self, kind: str = "last", **kwargs: Any):
        super().__init__(**kwargs)
        check_choice("pooling", kind, POOLINGS)
        self.kind = kind
        self.score: Any = None
        if kind == "attention":
            self.score = keras.layers.Dense(
                1, use_bias=False, dtype="float32", name="score"
            )

    def build(self, hidden_shape: Any, *_: Any) -> None:
        """Makes the weights of "attention"."""
        if self.score is not None:
            self.score.build(hidden_shape)
        self.built = True

    def call(self, hidden: Any, segments: Any = None, texts: Any = None) -> Any:
        """Returns the vectors; see the class."""
        hidden = ops.cast(hidden, "float32")
        rows, time, _ = ops.shape(hidden)
        if segments is None:
            segments = ops.ones((rows, time), "int32")
        if texts is None:
            texts = ops.ones((rows, 1), "int32")
        inside = ops.equal(
            ops.expand_dims(segments, 1), ops.expand_dims(texts, 2)
        )
        return ops.matmul(self._shares(hidden, inside, time), hidden)

    def _shares(self, hidden: Any, inside: Any, time: Any) -> Any:
        """How much of each token counts, `(rows, texts, time)`."""
        if self.kind == "attention":
            scores = ops.squeeze(self.score(hidden), -1)
            scores = ops.expand_dims(scores, 1)
            scores = ops.where(inside, scores, HIDDEN)
            # Written out: Keras warns of a softmax over one token.
            powers = ops.exp(scores - ops.max(scores, -1, keepdims=True))
            return powers / ops.sum(powers, -1, keepdims=True)
        if self.kind == "last":
            order = ops.reshape(ops.arange(time, dtype="int32"), (1, 1, -1))
            places = ops.where(inside, order, -1)
            last = ops.max(places, axis=-1, keepdims=True)
            inside = ops.logical_and(inside, ops.equal(order, last))
        shares = ops.cast(inside, "float32")
        count = ops.sum(shares, axis=-1, keepdims=True)
        return shares / ops.maximum(count, 1.0)

    def compute_output_spec(
        self, hidden: Any, segments: Any = None, texts: Any = None
    ) -> Any:
        """Returns the vectors' spec."""
        count = 1 if texts is None else texts.shape[1]
        shape = (hidden.shape[0], count, hidden.shape[2])
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "kind": self.kind}
