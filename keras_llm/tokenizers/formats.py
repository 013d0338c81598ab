"""Reading and writing the files in which byte-level BPE is published."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path

from keras_llm import files
from keras_llm.errors import InputError
from keras_llm.tokenizers.byte_text import spell
from keras_llm.tokenizers.hugging_face import parse, serialize
from keras_llm.tokenizers.vocabulary import Vocabulary

_GPT2_NAMES = {"vocab.json": "merges.txt", "encoder.json": "vocab.bpe"}
_END = "<|endoftext|>"


def read(path: str | os.PathLike, pattern: str | None = None) -> Vocabulary:
    """Reads whichever known format is at `path`.

    Raises:
        FileNotFoundError: Nothing known is there.
        InputError: The content cannot be used; the message names what.
    """
    file = _find(Path(path))
    try:
        vocabulary = _reader(file)(file, pattern)
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"Expected a tokenizer in {file}. Received: a file that cannot be "
            f"read as one ({type(error).__name__}: {error})."
        ) from error
    return vocabulary


def write_hugging_face(
    vocabulary: Vocabulary, folder: str | os.PathLike
) -> None:
    """Writes `tokenizer.json` and `tokenizer_config.json`."""
    folder = Path(folder)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": vocabulary.bos,
        "eos_token": vocabulary.eos,
        "clean_up_tokenization_spaces": False,
        "pattern": vocabulary.pattern,
    }
    files.write_text(folder / "tokenizer.json", serialize(vocabulary))
    files.write_text(
        folder / "tokenizer_config.json", json.dumps(config, indent=2) + "\n"
    )


def write_gpt2(vocabulary: Vocabulary, folder: str | os.PathLike) -> None:
    """Writes `vocab.json` and `merges.txt`.

    Raises:
        InputError: A token is not reached by merging, which this format
            cannot say.
    """
    folder = Path(folder)
    lost = [t for t, pair in vocabulary.splits.items() if pair is None]
    if lost:
        raise InputError(
            "Expected a vocabulary built merge by merge for vocab.json + "
            f"merges.txt. Received: tokens no merge reaches, as {lost[0]!r}. "
            "Use save() or save_tiktoken()."
        )
    spelled = {spell(t): i for t, i in vocabulary.ranks.items()}
    lines = (f"{spell(a)} {spell(b)}" for a, b in vocabulary.merges)
    files.write_text(
        folder / "vocab.json",
        json.dumps(
            spelled | dict(vocabulary.special_tokens), ensure_ascii=False
        ),
    )
    files.write_text(
        folder / "merges.txt", "\n".join(["#version: 0.2", *lines, ""])
    )


def write_tiktoken(vocabulary: Vocabulary, path: str | os.PathLike) -> None:
    """Writes a rank file: base64 of the bytes, a space, the rank."""
    ranks = sorted(vocabulary.ranks.items(), key=lambda item: item[1])
    lines = (f"{base64.b64encode(t).decode()} {rank}\n" for t, rank in ranks)
    files.write_text(path, "".join(lines))


def _find(path: Path) -> Path:
    """Returns the file to start from: `path`, or the best in the folder."""
    if path.is_file():
        return path
    if path.is_dir():
        ranks = sorted(path.glob("*.tiktoken"))
        names = ("tokenizer.json", *_GPT2_NAMES)
        found = [path / n for n in names if (path / n).is_file()]
        if found or len(ranks) == 1:
            return [*found, *ranks][0]
        held = sorted(entry.name for entry in path.iterdir())[:8]
        raise FileNotFoundError(
            f"Expected tokenizer.json, vocab.json with merges.txt, "
            f"encoder.json with vocab.bpe or one *.tiktoken in {path}. "
            f"Received: a folder with {held}."
        )
    raise FileNotFoundError(
        f"Expected a tokenizer file or folder. Received: {path}, which does "
        "not exist."
    )


def _reader(file: Path) -> Callable[[Path, str | None], Vocabulary]:
    if file.suffix == ".tiktoken":
        return _read_tiktoken
    if file.name in (*_GPT2_NAMES, *_GPT2_NAMES.values()):
        return _read_gpt2
    if file.suffix == ".json":
        return _read_hugging_face
    raise InputError(
        "Expected a tokenizer.json, vocab.json, merges.txt, encoder.json, "
        f"vocab.bpe or *.tiktoken file. Received: {file}."
    )


def _read_hugging_face(file: Path, pattern: str | None) -> Vocabulary:
    content = files.read_json(file)
    beside = file.with_name("tokenizer_config.json")
    config = files.read_json(beside) if beside.is_file() else {}
    return parse(content, config, pattern)


def _read_gpt2(file: Path, pattern: str | None) -> Vocabulary:
    names = _GPT2_NAMES | {b: a for a, b in _GPT2_NAMES.items()}
    other = file.with_name(names[file.name])
    if not other.is_file():
        raise FileNotFoundError(
            f"Expected {other.name} beside {file}. Received: no such file."
        )
    tokens, merges = (file, other) if file.suffix == ".json" else (other, file)
    model = {"vocab": files.read_json(tokens), "merges": _read_merges(merges)}
    content = {"model": {"type": "BPE", **model}, "added_tokens": []}
    return parse(content, {}, pattern or "gpt2")


def _read_merges(file: Path) -> list[list[str]]:
    lines = file.read_text(encoding="utf-8").split("\n")
    if lines and lines[0].startswith("#version"):
        lines = lines[1:]
    return [line.split(" ") for line in lines if line]


def _read_tiktoken(file: Path, pattern: str | None) -> Vocabulary:
    ranks: dict[bytes, int] = {}
    for line in file.read_bytes().splitlines():
        if line:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
    return Vocabulary(ranks, {}, pattern or "gpt2")
