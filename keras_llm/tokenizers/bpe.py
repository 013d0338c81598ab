"""The byte-pair tokenizer as a Keras layer: the host and the graph engine."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from keras_llm.errors import InputError
from keras_llm.tokenizers.graph import GraphEngine
from keras_llm.tokenizers.host import HostTokenizer
from keras_llm.tokenizers.vocabulary import Vocabulary


@keras.saving.register_keras_serializable("keras_llm")
class BytePairTokenizer(HostTokenizer, keras.layers.Layer):
    """Byte-level BPE: text to ids and back, on the host and in the graph.

    Get one from `BytePairTokenizer.train(texts, vocabulary_size)` or
    `BytePairTokenizer.load(path)`. Three engines give identical ids:

    - the host: `encode` and `decode`, with tiktoken, for data work;
    - the graph: calling the layer and `detokenize`, with core TensorFlow
      operations only, in `tf.data.Dataset.map`, in a functional model and in
      a SavedModel;
    - the `tokenizers` library, with the `tokenizer.json` that `save` writes.

    In the graph a text is always just text: where it spells a special token,
    it becomes the ordinary tokens of that spelling and never the special id.
    So no user of a served model can forge one. The host refuses such text
    unless told otherwise, see `encode`.

    Args:
        vocabulary: The tokens and the split rule; a `Vocabulary` or its
            config.
        sequence_length: None gives a `RaggedTensor`. A number cuts or pads
            every text to that many ids.
        pad_id: The id to pad with. Default: `eos_id`, or 0 if there is none.
        **kwargs: `name`, as for any Keras layer.

    Call arguments:
        inputs: string tensor of shape `(batch,)` or `()`; UTF-8. Broken bytes
            become U+FFFD, as on the host.

    Returns:
        int32 ids: ragged `(batch, None)`, or dense `(batch, sequence_length)`
        where that is given. Without the batch axis for one string.

    Raises:
        InputError: The strings have more than one axis, `sequence_length` is
            negative, or the vocabulary was not built merge by merge.

    Example:

    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 270)
    >>> ids = tokenizer(tf.constant(["a rose", "is"]))
    >>> ids.to_list() == tokenizer.encode(["a rose", "is"])
    True
    >>> tokenizer.detokenize(ids).numpy().tolist()
    [b'a rose', b'is']
    """

    def __init__(
        self,
        vocabulary: Vocabulary | Mapping[str, Any],
        sequence_length: int | None = None,
        pad_id: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Keeps the vocabulary; both engines are built when first used."""
        keras.layers.Layer.__init__(self, **{**kwargs, "dtype": "int32"})
        if not isinstance(vocabulary, Vocabulary):
            vocabulary = Vocabulary.from_config(vocabulary)
        HostTokenizer.__init__(self, vocabulary)
        if sequence_length is not None and sequence_length < 0:
            raise InputError(
                "Expected sequence_length to be None or a number of ids. "
                f"Received: {sequence_length}."
            )
        self.sequence_length = sequence_length
        self.pad_id = (self.eos_id or 0) if pad_id is None else pad_id
        self._graph = GraphEngine(vocabulary)
        self.built = True

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:
        """Encodes at once; only symbolic inputs go through Keras.

        So that strings work whichever backend Keras runs on.
        """
        if isinstance(inputs, keras.KerasTensor):
            return super().__call__(inputs, **kwargs)
        return self.call(inputs)

    def call(self, inputs: Any) -> tf.RaggedTensor | tf.Tensor:
        """Encodes strings with the graph engine; see the class."""
        strings = tf.convert_to_tensor(inputs, tf.string)
        if strings.shape.rank == 0:
            return self.call(strings[None])[0]
        ids = self.graph_encode(strings)
        if self.sequence_length is None:
            return ids
        shape = [None, self.sequence_length]
        return ids.to_tensor(default_value=self.pad_id, shape=shape)

    def detokenize(
        self, ids: Any, skip_special_tokens: bool = False
    ) -> tf.Tensor:
        """Returns the texts of `ids` with the graph engine.

        Args:
            ids: Integers of shape `(batch, time)` or `(time,)`: ragged, dense
                (-1 is padding and left out), or nested lists.
            skip_special_tokens: Leave special tokens out.

        Returns:
            string tensor of shape `(batch,)` or `()`, valid UTF-8; broken
            bytes become U+FFFD, exactly as `decode` does it.

        Raises:
            tf.errors.InvalidArgumentError: No token has one of the ids.
        """
        if not tf.is_tensor(ids):
            ids = tf.ragged.constant(ids, dtype=tf.int32)
        return self.graph_decode(ids, skip_special_tokens)

    def graph_encode(self, strings: tf.Tensor) -> tf.RaggedTensor:
        """Encodes `(batch,)` strings to ragged int32 ids `(batch, None)`.

        For exporters: call it inside of any `tf.function`. It needs no
        tracked resource; its constants are shared by all functions.
        """
        if strings.shape.rank not in (1, None):
            raise InputError(
                "Expected strings of shape (batch,). Received: shape "
                f"{tuple(strings.shape)}."
            )
        return self._graph.encode(strings)

    def graph_decode(
        self,
        ids: tf.Tensor | tf.RaggedTensor,
        skip_special_tokens: bool = False,
    ) -> tf.Tensor:
        """Decodes ids like `detokenize`; for use inside of a `tf.function`."""
        return self._graph.decode(ids, skip_special_tokens)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Adds the axis of ids to the shape of the strings."""
        return (*input_shape, self.sequence_length)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        """Returns shape and dtype for a functional model."""
        return keras.KerasTensor(
            self.compute_output_shape(inputs.shape),
            dtype="int32",
            ragged=self.sequence_length is None,
        )

    def get_config(self) -> dict[str, Any]:
        """Returns everything needed to build the same tokenizer again."""
        return {
            "name": self.name,
            "vocabulary": self.vocabulary.to_config(),
            "sequence_length": self.sequence_length,
            "pad_id": self.pad_id,
        }
