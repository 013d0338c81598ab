"""Hugging Face's `tokenizer.json`: what we understand, and nothing else."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from keras_llm.errors import InputError
from keras_llm.tokenizers.added import AddedToken
from keras_llm.tokenizers.byte_text import bytes_of, spell
from keras_llm.tokenizers.pretokenize import digits_rule, rule_of_regex
from keras_llm.tokenizers.training import pre_tokenizer
from keras_llm.tokenizers.vocabulary import Vocabulary, composer

OURS = "pattern"  # a key that only our tokenizer_config.json has
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
    from tokenizers import AddedToken as Theirs
    from tokenizers import Tokenizer, decoders, models

    tokens = {**vocabulary.ranks, **vocabulary.hidden}
    spelled = {spell(token): rank for token, rank in tokens.items()}
    added = {token.text: token.id for token in vocabulary.added_tokens}
    twice = spelled.keys() & added.keys()
    if twice:
        raise InputError(
            "Expected added tokens that differ from all other tokens. "
            f"Received: {sorted(twice)}, which tokenizer.json cannot hold."
        )
    engine = Tokenizer(
        models.BPE(
            vocab=spelled | added,
            merges=[(spell(a), spell(b)) for a, b in vocabulary.merges],
            ignore_merges=None in vocabulary.splits.values(),
        )
    )
    if vocabulary.normalizer is not None:
        engine.normalizer = composer()
    engine.pre_tokenizer = pre_tokenizer(
        vocabulary.rule, vocabulary.prefix_space
    )
    engine.decoder = decoders.ByteLevel()
    for token in sorted(vocabulary.added_tokens, key=lambda token: token.id):
        flags = {"normalized": False, "special": True, **token.flags}
        special, theirs = flags["special"], Theirs(token.text, **flags)
        add = engine.add_special_tokens if special else engine.add_tokens
        add([theirs])
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
    vocab = dict(model["vocab"])
    added = read_added(content["added_tokens"], config)
    if not added and "<|endoftext|>" in vocab:
        added = [AddedToken("<|endoftext|>", vocab["<|endoftext|>"])]
    texts = {token.text for token in added}
    ranks = {bytes_of(t): i for t, i in vocab.items() if t not in texts}
    node = content.get("pre_tokenizer")
    bos, eos = _ends(content, config, added)
    found = Vocabulary(
        ranks,
        {token.text: token.id for token in added if token.special},
        pattern or _pattern(node),
        bos,
        eos,
        {token.text: token.id for token in added if not token.special},
        {token.text: _flags(token) for token in added if _flags(token)},
        normalizer=_normalizer(content.get("normalizer")),
        prefix_space=_prefix_space(node),
    )
    _check_merges(found, [_pair(merge) for merge in model["merges"]])
    if None in found.splits.values() and not model.get("ignore_merges"):
        return found.without_unreached()
    return found


def read_added(
    tokens: Sequence[Mapping[str, Any]], config: Mapping[str, Any]
) -> list[AddedToken]:
    """Returns the `added_tokens` of a `tokenizer.json`.

    What the config names to start, end or pad a text is special, whatever
    the file says: no text may become it.

    Raises:
        InputError: A token must stand as a word of its own.

    Example:

    >>> read_added([{"id": 1, "content": "</s>"}], {"eos_token": "</s>"})
    [AddedToken(text='</s>', id=1, special=True, lstrip=False, ...
    """
    roles = ("bos_token", "eos_token", "pad_token", "unk_token")
    named = {token_text(config.get(role)) for role in roles}
    found = []
    for token in tokens:
        if token.get("single_word"):
            raise InputError(
                "Expected added tokens that are found anywhere in a text. "
                f"Received: {dict(token)}, which must be a word of its own."
            )
        names = ("special", "lstrip", "rstrip", "normalized")
        flags = {name: bool(token.get(name)) for name in names}
        flags["special"] |= token["content"] in named
        found.append(AddedToken(token["content"], token["id"], **flags))
    return found


def token_text(token: Any) -> str | None:
    """Returns the text of a token that a config names; it may be an object.

    Example:

    >>> token_text({"content": "<s>"}), token_text("<s>"), token_text(None)
    ('<s>', '<s>', None)
    """
    return token["content"] if isinstance(token, Mapping) else token


def first_of_template(node: Any) -> str | None:
    """Returns the special token that a post_processor puts first, or None.

    Example:

    >>> first_of_template({"type": "TemplateProcessing", "single": [
    ...     {"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]})
    '<s>'
    """
    for part in parts(node, "processors"):
        if part["type"] == "TemplateProcessing" and part["single"]:
            return part["single"][0].get("SpecialToken", {}).get("id")
    return None


def _flags(token: AddedToken) -> dict[str, bool]:
    return {k: v for k, v in token.flags.items() if k != "special"}


def _ends(
    content: Mapping[str, Any],
    config: Mapping[str, Any],
    added: Sequence[AddedToken],
) -> tuple[str | None, str | None]:
    """What starts and what ends a text.

    A config names a bos even where nothing puts it before a text: SmolLM2's
    is the token that starts a turn. So it counts only if something does.
    """
    bos, eos = (token_text(config.get(f"{r}_token")) for r in ("bos", "eos"))
    if not config and len(added) == 1 and added[0].special:
        bos = eos = added[0].text
    if not config and "post_processor" not in content:
        return bos, eos  # files that cannot say it
    first = first_of_template(content.get("post_processor"))
    if not (OURS in config or config.get("add_bos_token")):
        bos = first
    return bos, eos


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
    for part in parts(content.get("post_processor"), "processors"):
        if part["type"] not in ("ByteLevel", "TemplateProcessing"):
            raise _refuse("no such post_processor", part)


def _normalizer(node: Any) -> str | None:
    steps = parts(node, "normalizers")
    if not steps:
        return None
    if steps == [{"type": "NFC"}]:
        return "nfc"
    raise _refuse("no normalizer but NFC", node)


def parts(node: Any, key: str) -> list[Any]:
    """Returns the members of a Sequence, or the node alone.

    Example:

    >>> parts({"type": "NFC"}, "normalizers")
    [{'type': 'NFC'}]
    """
    if node is None:
        return []
    return list(node[key]) if node["type"] == "Sequence" else [node]


def _prefix_space(node: Any) -> bool:
    """Whether a text gets a space; ByteLevel says it, and must be alone."""
    steps = parts(node, "pretokenizers")
    return bool(steps) and steps[-1].get("add_prefix_space", True)


def _pattern(node: Any) -> str:
    """Returns the name of the rule that a pre_tokenizer node applies."""
    steps = parts(node, "pretokenizers")
    last = steps[-1] if steps else {}
    if last.get("type") != "ByteLevel":
        raise _refuse("a ByteLevel pre_tokenizer", node)
    uses_regex = last.get("use_regex", True)
    if len(steps) == 1 and uses_regex:
        return "gpt2"
    if last.get("add_prefix_space", True):
        raise _refuse("no space before each of several parts", node)
    if len(steps) == 2 and not uses_regex and steps[0]["type"] == "Split":
        rule = rule_of_regex(steps[0]["pattern"].get("Regex", ""))
        kept = (steps[0]["behavior"], steps[0].get("invert", False))
        if rule and kept in (("Isolated", False), ("Removed", True)):
            return rule.name
    if len(steps) == 2 and uses_regex and steps[0]["type"] == "Digits":
        if steps[0].get("individual_digits"):
            return digits_rule().name
    raise _refuse("a split rule that graphs can do, too", node)


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
