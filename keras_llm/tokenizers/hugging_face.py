"""Hugging Face's `tokenizer.json`: what we understand, and nothing else."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from keras_llm.errors import InputError
from keras_llm.tokenizers.byte_text import bytes_of, spell
from keras_llm.tokenizers.pretokenize import rule_of_regex
from keras_llm.tokenizers.training import pre_tokenizer
from keras_llm.tokenizers.vocabulary import Vocabulary

_HARMLESS = ("ByteLevel", "TemplateProcessing")
_MODEL_DEFAULTS = {
    "dropout": (None, 0.0),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "byte_fallback": (None, False),
}


def serialize(vocabulary: Vocabulary) -> str:
    """Returns the content of `tokenizer.json` for `vocabulary`.

    Raises:
        InputError: A special token is spelled like an ordinary one, which the
            format cannot hold.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models

    spelled = {spell(token): rank for token, rank in vocabulary.ranks.items()}
    special = dict(vocabulary.special_tokens)
    twice = spelled.keys() & special.keys()
    if twice:
        raise InputError(
            "Expected special tokens that differ from all other tokens. "
            f"Received: {sorted(twice)}, which tokenizer.json cannot hold."
        )
    engine = Tokenizer(
        models.BPE(
            vocab=spelled | special,
            merges=[(spell(a), spell(b)) for a, b in vocabulary.merges],
            ignore_merges=None in vocabulary.splits.values(),
        )
    )
    engine.pre_tokenizer = pre_tokenizer(vocabulary.rule)
    engine.decoder = decoders.ByteLevel()
    engine.add_special_tokens(
        [
            AddedToken(text, special=True, normalized=False)
            for text in sorted(special, key=special.__getitem__)
        ]
    )
    return engine.to_str(pretty=True)


def parse(
    content: Mapping[str, Any],
    config: Mapping[str, Any],
    pattern: str | None = None,
) -> Vocabulary:
    """Returns the vocabulary in a `tokenizer.json`.

    Args:
        content: The parsed file.
        config: The parsed `tokenizer_config.json`, for bos and eos; or {}.
        pattern: Split rule to use whatever the file says; None to read it.

    Raises:
        InputError: The file asks for something we do not do; it is named.
    """
    model = content["model"]
    _check(content, model)
    special = {t["content"]: t["id"] for t in content["added_tokens"]}
    vocab = dict(model["vocab"])
    if not special and "<|endoftext|>" in vocab:
        special = {"<|endoftext|>": vocab["<|endoftext|>"]}
    ranks = {bytes_of(t): i for t, i in vocab.items() if t not in special}
    name = pattern or _pattern(content.get("pre_tokenizer"))
    bos, eos = (_token(config, role) for role in ("bos_token", "eos_token"))
    if not config and len(special) == 1:
        bos = eos = next(iter(special))
    found = Vocabulary(ranks, special, name, bos, eos)
    merges = [_pair(merge) for merge in model["merges"]]
    _check_merges(found, merges)
    if None in found.splits.values() and not model.get("ignore_merges"):
        return _reached_only(found)
    return found


def _refuse(what: str, received: Any) -> InputError:
    return InputError(
        f"Expected a tokenizer.json with byte-level BPE and {what}. Received: "
        f"{json.dumps(received, ensure_ascii=False)[:200]}. Other tokenizers "
        "are not supported here."
    )


def _check(content: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    """Refuses, by name, whatever would change the ids unseen."""
    if model.get("type", "BPE") != "BPE":
        raise _refuse("the model BPE", model.get("type"))
    for key, harmless in _MODEL_DEFAULTS.items():
        if model.get(key) not in harmless:
            raise _refuse(f"{key} at its default", {key: model[key]})
    if content.get("normalizer") is not None:
        raise _refuse("no normalizer", content["normalizer"])
    for part in _parts(content.get("post_processor"), "processors"):
        if part["type"] not in _HARMLESS:
            raise _refuse("no such post_processor", part)
    for token in content["added_tokens"]:
        flags = ("single_word", "lstrip", "rstrip")
        if any(token.get(flag) for flag in flags) or token["content"].isspace():
            raise _refuse("added tokens that match exactly their text", token)


def _parts(node: Any, key: str) -> list[Any]:
    """Returns the members of a Sequence, or the node alone."""
    if node is None:
        return []
    return list(node[key]) if node["type"] == "Sequence" else [node]


def _pattern(node: Any) -> str:
    """Returns the name of the rule that a pre_tokenizer node applies."""
    parts = _parts(node, "pretokenizers")
    last = parts[-1] if parts else {}
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space", True):
        raise _refuse("a ByteLevel pre_tokenizer without prefix space", node)
    uses_regex = last.get("use_regex", True)
    if len(parts) == 1 and uses_regex:
        return "gpt2"
    if len(parts) == 2 and not uses_regex and parts[0]["type"] == "Split":
        rule = rule_of_regex(parts[0]["pattern"].get("Regex", ""))
        kept = (parts[0]["behavior"], parts[0].get("invert", False))
        if rule and kept in (("Isolated", False), ("Removed", True)):
            return rule.name
    raise _refuse("a split rule out of gpt2, gpt4, llama3, qwen2", node)


def _token(config: Mapping[str, Any], role: str) -> str | None:
    token = config.get(role)
    return token["content"] if isinstance(token, Mapping) else token


def _pair(merge: str | Sequence[str]) -> tuple[bytes, bytes]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return bytes_of(left), bytes_of(right)


def _check_merges(
    vocabulary: Vocabulary, merges: Sequence[tuple[bytes, bytes]]
) -> None:
    """Refuses merges that act otherwise than the order of the ids.

    Files converted from rank files list every way to cut a token, beside the
    one that is ever used. The others do no harm where they stand no earlier
    than their id says.
    """
    ranks, splits = vocabulary.ranks, vocabulary.splits
    expected = iter([*vocabulary.merges, (b"", b"")])
    due = next(expected)
    for pair in merges:
        rank = ranks.get(pair[0] + pair[1])
        if pair == due:
            due = next(expected)
        elif (
            rank is None
            or splits[pair[0] + pair[1]] == pair
            or rank > ranks.get(due[0] + due[1], len(merges) + rank)
        ):
            raise _refuse(
                "merges in the order of their ids", list(map(spell, pair))
            )
    if due != (b"", b""):
        raise _refuse("a merge for each token", list(map(spell, due)))


def _reached_only(vocabulary: Vocabulary) -> Vocabulary:
    """Drops the tokens that no merge reaches: this file never uses them."""
    ranks = {
        token: rank
        for token, rank in vocabulary.ranks.items()
        if vocabulary.splits.get(token, ()) is not None
    }
    return Vocabulary(
        ranks,
        vocabulary.special_tokens,
        vocabulary.pattern,
        vocabulary.bos,
        vocabulary.eos,
    )
