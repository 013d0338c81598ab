"""Finding out which tokenizer a folder or a file is for."""

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_llm.files import read_json

if TYPE_CHECKING:
    from keras_llm.tokenizers.base import Tokenizer
    from keras_llm.tokenizers.layer import TokenizerLayer

BYTE_PAIR, SENTENCE_PIECE, WORD_PIECE = "byte pair", "SentencePiece", "word"
_LAYERS = {
    BYTE_PAIR: "bpe:BytePairTokenizer",
    SENTENCE_PIECE: "sentence_piece:SentencePieceTokenizer",
    WORD_PIECE: "word_piece:WordPieceTokenizer",
}
_HOSTS = {
    BYTE_PAIR: "host:HostTokenizer",
    SENTENCE_PIECE: "piece_host:PieceHost",
    WORD_PIECE: "word_host:WordHost",
}
# Of the files in a folder, the first one there decides.
_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "encoder.json",
    "vocab.txt",
)


def load(path: str | os.PathLike) -> "TokenizerLayer":
    """Reads a tokenizer, whichever of the three kinds it is.

    - Byte-level BPE (GPT-2, GPT-NeoX, Llama 3, Qwen, SmolLM, OLMo 2,
      gpt-oss, Phi-4): `tokenizer.json`, `vocab.json` + `merges.txt`,
      `encoder.json` + `vocab.bpe` or a tiktoken rank file.
    - SentencePiece (Llama 2, Mistral, Gemma, Phi-3): `tokenizer.json` or a
      `.model` file. Needs the extra `text`.
    - WordPiece (BERT): `tokenizer.json` or `vocab.txt`. Its layer needs the
      extra `text`.

    Args:
        path: A folder, or one of the files. In a folder, `tokenizer.json`
            comes first, and `tokenizer_config.json` says what starts and
            ends a text.

    Raises:
        FileNotFoundError: Nothing known is there.
        InputError: The file asks for something that its tokenizer does not
            do, or the extra is not installed.

    Example:

    >>> import tempfile
    >>> from keras_llm.tokenizers import BytePairTokenizer
    >>> folder = tempfile.mkdtemp()
    >>> BytePairTokenizer.train(["a rose"], 261).save(folder)
    >>> load(folder).decode([97])
    'a'
    """
    return _load(Path(path), _LAYERS)


def load_host(path: str | os.PathLike) -> "Tokenizer":
    """Reads a tokenizer like `load`, without TensorFlow and without a graph.

    Example:

    >>> import tempfile
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> folder = tempfile.mkdtemp()
    >>> HostTokenizer.train(["a rose"], 261).save(folder)
    >>> load_host(folder).decode([97])
    'a'
    """
    return _load(Path(path), _HOSTS)


def _load(path: Path, classes: dict[str, str]) -> Any:
    module, name = classes[_kind(path)].split(":")
    module = importlib.import_module(f"keras_llm.tokenizers.{module}")
    return getattr(module, name).load(path)


def _kind(path: Path) -> str:
    file = path
    if path.is_dir():
        found = [path / n for n in _FILES if (path / n).is_file()]
        found += sorted(path.glob("*.model"))
        file = found[0] if found else path
    if ".model" in file.name:
        return SENTENCE_PIECE
    if file.name == "vocab.txt":
        return WORD_PIECE
    if file.name != "tokenizer.json" and file.suffix != ".json":
        return BYTE_PAIR  # or nothing, which its reader says best
    return _kind_of_json(file)


def _kind_of_json(file: Path) -> str:
    content = read_json(file)
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict):
        return BYTE_PAIR
    return next(kind for kind, test in _TESTS if test(model))


_TESTS: tuple[tuple[str, Callable[[dict], bool]], ...] = (
    (WORD_PIECE, lambda model: model.get("type") == "WordPiece"),
    (SENTENCE_PIECE, lambda model: model.get("type") == "Unigram"),
    (SENTENCE_PIECE, lambda model: bool(model.get("byte_fallback"))),
    (BYTE_PAIR, lambda model: True),
)
