"""SentencePiece on the host, without TensorFlow."""

import functools
import os
from collections.abc import Sequence
from typing import Any, Self

from keras_llm.tokenizers import piece_files
from keras_llm.tokenizers.added import AddedToken
from keras_llm.tokenizers.base import Pieces, Tokenizer
from keras_llm.tokenizers.extra import extra
from keras_llm.tokenizers.piece_model import SPACE, PieceModel


class PieceHost(Tokenizer):
    """SentencePiece on the host; `SentencePieceTokenizer` adds the graph.

    Args:
        model: The pieces.
    """

    main_file = piece_files.MODEL_FILE

    def __init__(self, model: PieceModel) -> None:
        """Keeps the model; the engine is built when first used."""
        self.piece_model = model

    @classmethod
    def read(cls, path: str | os.PathLike) -> PieceModel:
        """Reads a SentencePiece `.model`, or a `tokenizer.json` of its kind."""
        return piece_files.read(path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Reads a tokenizer; see `SentencePieceTokenizer.load`."""
        return cls(cls.read(path))

    def save(self, folder: str | os.PathLike) -> None:
        """Writes `tokenizer.model` and `tokenizer_config.json` to `folder`.

        Raises OSError if the folder cannot be written.
        """
        piece_files.write(self.piece_model, folder)

    @functools.cached_property
    def _processor(self) -> Any:
        package = extra("sentencepiece", "SentencePiece vocabularies")
        return package.SentencePieceProcessor(
            model_proto=self.piece_model.engine_proto
        )

    @property
    def pieces(self) -> Pieces:
        """What the ids spell."""
        return self.piece_model.pieces

    @property
    def added_tokens(self) -> tuple[AddedToken, ...]:
        """The tokens that are found before anything else."""
        return self.piece_model.added

    @property
    def bos_id(self) -> int | None:
        """The id that starts a text, or None."""
        return self._special.get(self.piece_model.bos or "")

    @property
    def eos_id(self) -> int | None:
        """The id that ends a text, or None."""
        return self._special.get(self.piece_model.eos or "")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content: equal if and only if all ids are equal."""
        return self.piece_model.fingerprint

    def with_tokens(self, tokens: Sequence[str], special: bool = True) -> Self:
        """Returns a tokenizer with more tokens; see the base class."""
        return type(self)(self.piece_model.with_tokens(tokens, special))

    def _encode_texts(self, texts: list[str], first: bool) -> list[list[int]]:
        prefix = self.piece_model.prefix
        if prefix == "always" or (prefix == "first" and first):
            texts = [_prefixed(text) for text in texts]
        return self._processor.encode(texts) if texts else []

    def _normalize(self, text: str) -> str:
        prefix = self.piece_model.prefix
        if prefix not in ("normalized", "replaced") or not text:
            return text
        text = text.replace(" ", SPACE)
        return SPACE + text if prefix == "normalized" else text


def _prefixed(text: str) -> str:
    return text if not text or text[0] in (" ", SPACE) else f" {text}"
