"""The byte-pair tokenizer as a Keras layer."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_llm.tokenizers.host import HostTokenizer
from keras_llm.tokenizers.vocabulary import Vocabulary


@keras.saving.register_keras_serializable("keras_llm")
class BytePairTokenizer(HostTokenizer, keras.layers.Layer):
    """Byte-level BPE as a Keras layer."""

    def __init__(
        self, vocabulary: Vocabulary | Mapping[str, Any], **kwargs: Any
    ) -> None:
        """Keeps the vocabulary."""
        keras.layers.Layer.__init__(self, dtype="int32", **kwargs)
        if not isinstance(vocabulary, Vocabulary):
            vocabulary = Vocabulary.from_config(vocabulary)
        HostTokenizer.__init__(self, vocabulary)
        self.built = True
