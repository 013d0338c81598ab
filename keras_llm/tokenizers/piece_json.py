"""SentencePiece in a `tokenizer.json`, turned into a SentencePiece model.

Hugging Face writes BPE models of SentencePiece as merges of characters, with
the space spelled as "▁". What is understood here gives the same ids as
`tokenizers` does; all else is refused by name.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from keras_llm.errors import InputError
from keras_llm.tokenizers.added import AddedToken
from keras_llm.tokenizers.piece_model import (
    BYTE,
    CONTROL,
    NORMAL,
    SPACE,
    UNKNOWN,
    PieceModel,
    extended,
    messages,
)
from keras_llm.tokenizers.vocabulary import used_pair

_BPE = 2  # TrainerSpec.ModelType
_REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
_PREPEND = {"type": "Prepend", "prepend": SPACE}
# It finds no space, because the normalizer has replaced them all.
_IDLE_SPLIT = {
    "type": "Split",
    "pattern": {"String": " "},
    "behavior": "MergedWithPrevious",
    "invert": False,
}


def is_piece_model(content: Mapping[str, Any]) -> bool:
    """Says whether a `tokenizer.json` is of SentencePiece's kind.

    Example:

    >>> is_piece_model({"model": {"type": "BPE", "byte_fallback": True}})
    True
    """
    model = content.get("model", {})
    return model.get("type") == "Unigram" or (
        model.get("type", "BPE") == "BPE" and bool(model.get("byte_fallback"))
    )


def convert(
    content: Mapping[str, Any], config: Mapping[str, Any]
) -> PieceModel:
    """Returns the model in a `tokenizer.json`.

    Args:
        content: The parsed file.
        config: The parsed `tokenizer_config.json`, for bos and eos; or {}.

    Raises:
        InputError: The file asks for something we do not do; it is named.
    """
    model = content["model"]
    if model.get("type", "BPE") != "BPE":
        raise _refuse("the model BPE (or a .model file)", model["type"])
    if model.get("dropout") or model.get("ignore_merges"):
        raise _refuse("neither dropout nor ignore_merges", "one of them")
    prefix, dummy = _prefix(content)
    added = [_added(token) for token in content["added_tokens"]]
    message = _message(model, {token.id for token in added}, dummy)
    found = PieceModel(message.SerializeToString(deterministic=True))
    spaced = dummy or prefix != "model"
    cut, inside = [], []
    for token in added:
        plain = token.normalized and dummy
        plain |= not spaced and not {SPACE, " "} & {*token.text}
        if token.special or not plain:
            cut.append(token)
        else:
            inside.append(token)
    named = [_name(config, role) for role in ("bos_token", "eos_token")]
    # What a config names to mark the start or the end is never text.
    cut = [
        AddedToken(t.text, t.id, **{**t.flags, "special": True})
        if t.text in named
        else t
        for t in cut
    ]
    found = extended(found, [*inside, *(t for t in cut if t.special)])
    found = _with_cut(found, cut, prefix)
    return _with_roles(found, content, config, *named)


def _with_cut(
    model: PieceModel, cut: Sequence[AddedToken], prefix: str
) -> PieceModel:
    """Keeps the added tokens that are cut out; as pieces they are inert."""
    inert = [t for t in cut if not t.special]
    model = extended(model, [AddedToken(t.text, t.id) for t in inert])
    return PieceModel(
        model.proto, tuple(cut), prefix=prefix, hidden=model.hidden
    )


def _with_roles(
    model: PieceModel,
    content: Mapping[str, Any],
    config: Mapping[str, Any],
    bos: str | None,
    eos: str | None,
) -> PieceModel:
    special = {token.text for token in model.added if token.special}
    first = first_of_template(content.get("post_processor"))
    bos = bos if config.get("add_bos_token") else first
    eos = eos or ("</s>" if "</s>" in special else None)
    return PieceModel(
        model.proto,
        model.added,
        bos if bos in special else None,
        eos if eos in special else None,
        model.prefix,
        model.hidden,
    )


def first_of_template(node: Any) -> str | None:
    """Returns the special token that a post_processor puts first, or None.

    Example:

    >>> first_of_template({"type": "TemplateProcessing", "single": [
    ...     {"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]})
    '<s>'
    """
    if not node:
        return None
    if node["type"] == "Sequence":
        found = [first_of_template(part) for part in node["processors"]]
        return next((token for token in found if token), None)
    if node["type"] != "TemplateProcessing" or not node["single"]:
        return None
    return node["single"][0].get("SpecialToken", {}).get("id")


def _refuse(what: str, received: Any) -> InputError:
    shown = json.dumps(received, ensure_ascii=False)[:200]
    return InputError(
        "Expected a tokenizer.json of SentencePiece's kind with "
        f"{what}. Received: {shown}. Load its tokenizer.model instead, if "
        "there is one."
    )


def _prefix(content: Mapping[str, Any]) -> tuple[str, bool]:
    """Which texts get a space, and whether SentencePiece itself does it."""
    normalizer = content.get("normalizer")
    steps = _steps(normalizer, "normalizers")
    splitter = content.get("pre_tokenizer")
    if splitter == _IDLE_SPLIT and _REPLACE in steps:
        splitter = None
    if splitter is None:
        if steps == [_REPLACE]:
            return "model", False
        if steps == [_PREPEND, _REPLACE]:
            # What is cut out of a text has texts around it, each of which
            # is normalized alone: SentencePiece's own rule for a text.
            return "model", True
        raise _refuse("spaces replaced by ▁", normalizer)
    if splitter.get("type") != "Metaspace" or steps:
        raise _refuse("Metaspace or no pre_tokenizer", splitter or normalizer)
    if splitter.get("replacement") != SPACE or splitter.get("split", True):
        raise _refuse("a Metaspace that does not split", splitter)
    scheme = splitter.get("prepend_scheme", "always")
    return {"always": "each", "first": "first"}.get(scheme, "model"), False


def _steps(node: Any, key: str) -> list[Any]:
    if node is None:
        return []
    return list(node[key]) if node["type"] == "Sequence" else [node]


def _added(token: Mapping[str, Any]) -> AddedToken:
    if token.get("single_word"):
        raise _refuse("added tokens that stand anywhere", dict(token))
    names = ("special", "lstrip", "rstrip", "normalized")
    flags = {name: bool(token.get(name)) for name in names}
    # Without special characters, it is the same before and after.
    flags["normalized"] &= not flags["special"]
    return AddedToken(token["content"], token["id"], **flags)


def _message(model: Mapping[str, Any], added: set[int], dummy: bool) -> Any:
    vocabulary: Mapping[str, int] = model["vocab"]
    ids = sorted(vocabulary.values())
    if ids != list(range(len(ids))):
        raise _refuse("ids from 0 on without gaps", ids[-3:])
    ranks = _ranks(model["merges"])
    unknown = model.get("unk_token")
    message = messages().ModelProto()
    for text in sorted(vocabulary, key=vocabulary.__getitem__):
        kind = NORMAL
        if text == unknown:
            kind = UNKNOWN
        elif len(text) == 6 and text.startswith("<0x") and text[-1] == ">":
            kind = BYTE
        elif vocabulary[text] in added or (len(text) > 1 and text not in ranks):
            kind = CONTROL  # no text becomes it
        message.pieces.add(
            piece=text, score=-float(ranks.get(text, 0)), type=kind
        )
    kinds = [piece.type for piece in message.pieces]
    if kinds.count(BYTE) != 256 or kinds.count(UNKNOWN) != 1:
        raise _refuse("256 bytes and an unk_token", {"unk_token": unknown})
    trainer, normalizer = message.trainer_spec, message.normalizer_spec
    trainer.model_type, trainer.byte_fallback = _BPE, True
    trainer.vocab_size = len(kinds)
    trainer.unk_id, trainer.unk_piece = kinds.index(UNKNOWN), unknown
    trainer.bos_id = trainer.eos_id = trainer.pad_id = -1
    normalizer.name = "identity"
    normalizer.add_dummy_prefix = dummy
    normalizer.remove_extra_whitespaces = False
    normalizer.escape_whitespaces = True
    return message


def _ranks(merges: Sequence[Any]) -> dict[str, int]:
    """The rank of each text that merging makes: of its first merge.

    SentencePiece merges whatever two neighbours make the lowest rank;
    `tokenizers` only the pairs of the list. Both do the same if each text's
    one pair that ever occurs (see `used_pair`) comes before the next text.
    """
    pairs = [tuple(m.split(" ") if isinstance(m, str) else m) for m in merges]
    places = {pair: i for i, pair in enumerate(pairs)}
    ranks: dict[str, int] = {}
    for i, (left, right) in enumerate(pairs):
        ranks.setdefault(left + right, i)
    latest, name = -1, ""
    for text, rank in ranks.items():
        if latest > rank:
            raise _refuse("merges in the order of their results", name)
        used = used_pair(text, ranks)
        if used is None:
            continue
        if used not in places:
            raise _refuse("a merge for each of its tokens", list(used))
        latest, name = places[used], text
    return ranks


def _name(config: Mapping[str, Any], role: str) -> str | None:
    token = config.get(role)
    return token["content"] if isinstance(token, Mapping) else token
