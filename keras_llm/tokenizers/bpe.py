"""The byte-pair tokenizer as a Keras layer: the host and the graph engine."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from keras_llm.tokenizers.graph import GraphEngine
from keras_llm.tokenizers.host import HostTokenizer
from keras_llm.tokenizers.layer import TokenizerLayer
from keras_llm.tokenizers.vocabulary import Vocabulary


@keras.saving.register_keras_serializable("keras_llm")
class BytePairTokenizer(HostTokenizer, TokenizerLayer):
    """Byte-level BPE: text to ids and back, on the host and in the graph.

    Get one from `BytePairTokenizer.train(texts, vocabulary_size)` or
    `BytePairTokenizer.load(path)`. Three engines give identical ids:

    - the host: `encode` and `decode`, with tiktoken, for data work;
    - the graph: calling the layer and `detokenize`, with core TensorFlow
      operations only, in `tf.data.Dataset.map`, in a functional model and in
      a SavedModel;
    - the `tokenizers` library, with the `tokenizer.json` that `save` writes.

    Args:
        vocabulary: The tokens and the split rule; a `Vocabulary` or its
            config.
        sequence_length, pad_id, **kwargs: See `TokenizerLayer`, also for what
            goes in (strings) and what comes out (ids).

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
        if not isinstance(vocabulary, Vocabulary):
            vocabulary = Vocabulary.from_config(vocabulary)
        HostTokenizer.__init__(self, vocabulary)
        TokenizerLayer.__init__(self, sequence_length, pad_id, **kwargs)
        self._graph = GraphEngine(vocabulary)

    def _graph_encode(
        self, strings: tf.Tensor, first: tf.Tensor | None
    ) -> tf.RaggedTensor:
        del first  # a word does not know what stands before it
        return self._graph.encode(strings)

    def _graph_normalize(self, strings: tf.Tensor) -> tf.Tensor:
        return self._graph.normalize(strings)

    def get_config(self) -> dict[str, Any]:
        """Returns everything needed to build the same tokenizer again."""
        return {
            "vocabulary": self.vocabulary.to_config(),
            **super().get_config(),
        }
