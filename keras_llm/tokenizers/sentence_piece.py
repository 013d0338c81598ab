"""SentencePiece as a Keras layer: `sentencepiece` and tensorflow-text."""

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras
import tensorflow as tf

from keras_llm.tokenizers.extra import extra
from keras_llm.tokenizers.layer import TokenizerLayer
from keras_llm.tokenizers.piece_host import PieceHost
from keras_llm.tokenizers.piece_model import SPACE, PieceModel


@keras.saving.register_keras_serializable("keras_llm")
class SentencePieceTokenizer(PieceHost, TokenizerLayer):
    """SentencePiece (BPE or unigram): the vocabularies of Llama 2 and Gemma.

    Get one from `SentencePieceTokenizer.load(path)` or
    `keras_llm.tokenizers.load(path)`. It needs the extra `text`. Two engines
    give identical ids:

    - the host: `encode`, with the package `sentencepiece`;
    - the graph: calling the layer, with operations of tensorflow-text. Stock
      TensorFlow Serving has them; in Python, `import tensorflow_text` before
      a SavedModel with them is loaded. Decoding needs core operations only.

    Where a unigram model finds two ways to cut a text exactly as likely, the
    graph may take the other one: tensorflow-text has an older SentencePiece.

    Args:
        model: The pieces; a `PieceModel` or its config.
        sequence_length, pad_id, **kwargs: See `TokenizerLayer`, also for what
            goes in (strings) and what comes out (ids).

    Raises:
        InputError: The strings have more than one axis, `sequence_length` is
            negative, or the extra `text` is not installed.

    Source: Kudo and Richardson, 2018, https://arxiv.org/abs/1808.06226.

    Example:

    >>> import io, sentencepiece
    >>> file = io.BytesIO()
    >>> sentencepiece.SentencePieceTrainer.train(
    ...     sentence_iterator=iter(["a rose is a rose"] * 9),
    ...     model_writer=file, vocab_size=13, minloglevel=2,
    ...     hard_vocab_limit=False)
    >>> tokenizer = SentencePieceTokenizer(PieceModel(file.getvalue()))
    >>> tokenizer.decode(tokenizer.encode("a rose"))
    'a rose'
    >>> tokenizer(tf.constant(["a rose"])).to_list() == tokenizer.encode(
    ...     ["a rose"])
    True
    """

    def __init__(
        self,
        model: PieceModel | Mapping[str, Any],
        sequence_length: int | None = None,
        pad_id: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Keeps the model; both engines are built when first used."""
        if not isinstance(model, PieceModel):
            model = PieceModel.from_config(model)
        PieceHost.__init__(self, model)
        TokenizerLayer.__init__(self, sequence_length, pad_id, **kwargs)

    @property
    def plugins(self) -> tuple[str, ...]:
        """The package with the operations that encode."""
        return ("tensorflow_text",)

    @functools.cached_property
    def _tokenize(self) -> Any:
        """Encodes strings `(batch,)`, as a function of its own.

        Its engine is made inside: one made outside would be gone as soon as
        TensorFlow forgets its kernels, which setting a seed does.
        """
        text = extra("tensorflow_text", "SentencePiece in a graph")
        proto = self.piece_model.engine_proto

        def tokenize(strings: tf.Tensor) -> tf.RaggedTensor:
            return text.SentencepieceTokenizer(proto).tokenize(strings)

        signature = [tf.TensorSpec([None], tf.string)]
        return tf.function(tokenize, signature, autograph=False)

    def _graph_encode(
        self, strings: tf.Tensor, first: tf.Tensor | None
    ) -> tf.RaggedTensor:
        strings = tf.strings.unicode_transcode(strings, "UTF-8", "UTF-8")
        if self.piece_model.prefix in ("first", "always"):
            strings = self._prefixed(strings, first)
        return self._tokenize(strings)

    def _graph_normalize(self, strings: tf.Tensor) -> tf.Tensor:
        prefix = self.piece_model.prefix
        if prefix not in ("normalized", "replaced"):
            return strings
        spaced = tf.strings.regex_replace(strings, " ", SPACE)
        if prefix == "replaced":
            return spaced
        spaced = tf.strings.join([SPACE, spaced])
        return tf.where(strings == "", "", spaced)

    def _prefixed(
        self, strings: tf.Tensor, first: tf.Tensor | None
    ) -> tf.Tensor:
        spaced = tf.strings.substr(strings, 0, 1) == " "
        wide = len(SPACE.encode())
        spaced |= tf.strings.substr(strings, 0, wide) == SPACE
        bare = ~spaced & (strings != "")
        if first is not None and self.piece_model.prefix == "first":
            bare &= first
        return tf.where(bare, tf.strings.join([" ", strings]), strings)

    def with_tokens(self, tokens: Sequence[str], special: bool = True) -> Self:
        """Returns a tokenizer with more tokens; see the base class."""
        model = self.piece_model.with_tokens(tokens, special)
        return type(self)(model, self.sequence_length)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Reads a SentencePiece `.model`, or a `tokenizer.json` of its kind.

        Args:
            path: The folder, or the file.

        Raises:
            FileNotFoundError: Nothing known is there.
            InputError: The file asks for something this tokenizer does not
                do, or the extra `text` is not installed.
        """
        return cls(cls.read(path))

    def get_config(self) -> dict[str, Any]:
        """Returns everything needed to build the same tokenizer again."""
        return {"model": self.piece_model.to_config(), **super().get_config()}
