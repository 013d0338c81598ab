"""WordPiece as a Keras layer: `tokenizers` and tensorflow-text."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras
import tensorflow as tf

from keras_llm.tokenizers.layer import TokenizerLayer
from keras_llm.tokenizers.word_graph import WordGraph
from keras_llm.tokenizers.word_host import WordHost
from keras_llm.tokenizers.word_vocabulary import WordVocabulary


@keras.saving.register_keras_serializable("keras_llm")
class WordPieceTokenizer(WordHost, TokenizerLayer):
    """WordPiece: the vocabularies of BERT.

    Get one from `WordPieceTokenizer.load(path)` or
    `keras_llm.tokenizers.load(path)`. Two engines give identical ids:

    - the host: `encode`, with the package `tokenizers`;
    - the graph: calling the layer, with an operation of tensorflow-text (the
      extra `text`). Stock TensorFlow Serving has it; in Python, `import
      tensorflow_text` before a SavedModel with it is loaded.

    White space and unknown words are not kept, and capitals and accents only
    where the vocabulary has them: `decode` gives a readable text, not the
    same one.

    Args:
        words: The vocabulary; a `WordVocabulary` or its config.
        sequence_length, pad_id, **kwargs: See `TokenizerLayer`, also for what
            goes in (strings) and what comes out (ids).

    Raises:
        InputError: The strings have more than one axis, `sequence_length` is
            negative, or the extra `text` is not installed.

    Source: Schuster and Nakajima, 2012; Devlin et al., 2018 (BERT),
    https://arxiv.org/abs/1810.04805.

    Example:

    >>> words = WordVocabulary({"[UNK]": 0, "rose": 1, "##s": 2})
    >>> tokenizer = WordPieceTokenizer(words)
    >>> tokenizer.encode("Roses, rose")
    [1, 2, 0, 1]
    >>> tokenizer.decode([1, 2, 1])
    'roses rose'
    """

    def __init__(
        self,
        words: WordVocabulary | Mapping[str, Any],
        sequence_length: int | None = None,
        pad_id: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Keeps the vocabulary; both engines are built when first used."""
        if not isinstance(words, WordVocabulary):
            words = WordVocabulary.from_config(words)
        WordHost.__init__(self, words)
        TokenizerLayer.__init__(self, sequence_length, pad_id, **kwargs)
        self._graph = WordGraph(words)

    @property
    def plugins(self) -> tuple[str, ...]:
        """The package with the operations that encode."""
        return ("tensorflow_text",)

    def _graph_encode(
        self, strings: tf.Tensor, first: tf.Tensor | None
    ) -> tf.RaggedTensor:
        del first  # a word does not know what stands before it
        return self._graph.encode(strings)

    def _graph_normalize(self, strings: tf.Tensor) -> tf.Tensor:
        return self._graph.normalize(strings)

    def with_tokens(self, tokens: Sequence[str], special: bool = True) -> Self:
        """Returns a tokenizer with more tokens; see the base class."""
        words = self.words.with_tokens(tokens, special)
        return type(self)(words, self.sequence_length)

    def get_config(self) -> dict[str, Any]:
        """Returns everything needed to build the same tokenizer again."""
        return {"words": self.words.to_config(), **super().get_config()}
