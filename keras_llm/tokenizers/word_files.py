"""Reading and writing the files in which WordPiece is published."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_llm import files
from keras_llm.errors import InputError
from keras_llm.tokenizers.added import AddedToken
from keras_llm.tokenizers.hugging_face import read_added, token_text
from keras_llm.tokenizers.piece_files import CONFIG_FILE, read_config
from keras_llm.tokenizers.word_vocabulary import WordVocabulary

JSON_FILE, TEXT_FILE = "tokenizer.json", "vocab.txt"
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_ROLES = {"bos": ("bos_token", "cls_token"), "eos": ("eos_token", "sep_token")}
_DEFAULT = {"bos": "[CLS]", "eos": "[SEP]"}
_NORMALIZER = (
    *("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"),
)


def read(path: str | os.PathLike) -> WordVocabulary:
    """Reads whichever known format is at `path`.

    Raises:
        FileNotFoundError: Nothing known is there.
        InputError: The content cannot be used; the message names what.
    """
    path = Path(path)
    places = (path,) if path.is_file() else (path / JSON_FILE, path / TEXT_FILE)
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise FileNotFoundError(
            f"Expected {JSON_FILE} or {TEXT_FILE} in {path}. Received: "
            "neither of them."
        )
    config = read_config(file)
    try:
        if file.suffix == ".json":
            content = json.loads(file.read_text(encoding="utf-8"))
            return _of_json(content, config)
        return _of_text(file.read_text(encoding="utf-8"), config)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"Expected a WordPiece vocabulary in {file}. Received: a file "
            f"that cannot be read as one ({type(error).__name__}: {error})."
        ) from error


def write(words: WordVocabulary, folder: str | os.PathLike) -> None:
    """Writes `tokenizer.json` and `tokenizer_config.json`."""
    from tokenizers import AddedToken as Theirs
    from tokenizers import Tokenizer, decoders

    engine = Tokenizer.from_str(words.engine.to_str())
    engine.normalizer = words.normalizer
    engine.decoder = decoders.WordPiece(words.prefix, words.cleanup)
    for token in sorted(words.added, key=lambda token: token.id):
        flags = {"normalized": False, **token.flags}
        special = flags.pop("special", True)
        theirs = [Theirs(token.text, special=special, **flags)]
        add = engine.add_special_tokens if special else engine.add_tokens
        add(theirs)
        if engine.token_to_id(token.text) != token.id:
            raise InputError(
                "Expected added tokens with ids that follow each other. "
                f"Received: {token}, which tokenizer.json cannot hold."
            )
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": words.bos,
        "eos_token": words.eos,
        "clean_up_tokenization_spaces": False,
    }
    folder = Path(folder)
    files.write_text(folder / JSON_FILE, engine.to_str(pretty=True))
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    files.write_text(folder / CONFIG_FILE, text)


def _of_text(text: str, config: Mapping[str, Any]) -> WordVocabulary:
    """One token a line; the line's number is its id."""
    names = text.split("\n")
    names = names[:-1] if names and not names[-1] else names
    tokens = {name.rstrip("\r"): i for i, name in enumerate(names)}
    added = tuple(AddedToken(t, tokens[t]) for t in _SPECIAL if t in tokens)
    settings = {
        "lowercase": config.get("do_lower_case", True),
        "strip_accents": config.get("strip_accents"),
        "handle_chinese_chars": config.get("tokenize_chinese_chars", True),
        "unknown": token_text(config.get("unk_token")) or "[UNK]",
    }
    return WordVocabulary(
        tokens, added, **_ends(config, tokens.keys()), **settings
    )


def _of_json(
    content: Mapping[str, Any], config: Mapping[str, Any]
) -> WordVocabulary:
    model, normalizer = content["model"], content.get("normalizer") or {}
    if model.get("type") != "WordPiece":
        raise _refuse("the model WordPiece", model.get("type"))
    if normalizer.get("type") != "BertNormalizer":
        raise _refuse("a BertNormalizer", normalizer)
    if (content.get("pre_tokenizer") or {}).get("type") != "BertPreTokenizer":
        raise _refuse("a BertPreTokenizer", content.get("pre_tokenizer"))
    added = read_added(content["added_tokens"], config)
    decoder = content.get("decoder") or {}
    special = {token.text for token in added if token.special}
    return WordVocabulary(
        dict(model["vocab"]),
        tuple(added),
        unknown=model["unk_token"],
        prefix=model["continuing_subword_prefix"],
        longest=model["max_input_chars_per_word"],
        cleanup=decoder.get("cleanup", True),
        **{name: normalizer[name] for name in _NORMALIZER},
        **_ends(config, special),
    )


def _ends(config: Mapping[str, Any], known: Any) -> dict[str, Any]:
    """What starts and ends a text: what the config says, or BERT's."""
    found: dict[str, Any] = {}
    for role, names in _ROLES.items():
        texts = [token_text(config[n]) for n in names if n in config]
        texts = texts or [_DEFAULT[role]]
        found[role] = next((t for t in texts if t in known), None)
    return found


def _refuse(what: str, received: Any) -> InputError:
    shown = json.dumps(received, ensure_ascii=False)[:200]
    return InputError(
        f"Expected a tokenizer.json with WordPiece and {what}. Received: "
        f"{shown}. Other tokenizers are not supported here."
    )
