"""SentencePiece in a `tokenizer.json`, turned into a SentencePiece model.

Hugging Face writes BPE models of SentencePiece as merges of characters, with
the space spelled as "▁". What is understood here gives the same ids as
`tokenizers` does; all else is refused by name.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from keras_llm.errors import InputError
from keras_llm.tokenizers.added import AddedToken
from keras_llm.tokenizers.hugging_face import (
    first_of_template,
    parts,
    read_added,
    token_text,
)
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
    for key in ("dropout", "ignore_merges", "end_of_word_suffix"):
        if model.get(key):
            raise _refuse(f"{key} at its default", {key: model[key]})
    added = read_added(content["added_tokens"], config)
    prefix = _prefix(content)
    if prefix == "model" and any(token.normalized for token in added):
        prefix = "normalized"  # before normalized tokens are looked for
    special = {token.id for token in added if token.special}
    message = _message(model, special)
    size = len(message.pieces)
    dummy = prefix not in ("never", "replaced")
    message.normalizer_spec.add_dummy_prefix = dummy
    found = PieceModel(
        message.SerializeToString(deterministic=True),
        prefix=prefix,
        strips=_strips(content.get("decoder"), prefix),
    )
    # Ordinary text that nothing is put before may be left to SentencePiece;
    # what else is added has to be cut out first.
    left = [token for token in added if not token.special]
    raw = any({SPACE, " "} & {*t.text} and not t.normalized for t in left)
    strips = any(token.lstrip or token.rstrip for token in added)
    if prefix != "replaced" or raw or strips:
        left = []
    found = extended(found, left)
    cut = [token for token in added if token not in left]
    # What SentencePiece does not make by itself is inert there.
    inert = [t for t in cut if t.special or t.id >= size]
    found = extended(found, [AddedToken(t.text, t.id) for t in inert])
    found = replace(found, added=tuple(cut))
    return _with_ends(found, content, config)


def _with_ends(
    model: PieceModel, content: Mapping[str, Any], config: Mapping[str, Any]
) -> PieceModel:
    special = {token.text for token in model.added if token.special}
    bos, eos = (token_text(config.get(f"{r}_token")) for r in ("bos", "eos"))
    if not config.get("add_bos_token"):
        bos = first_of_template(content.get("post_processor"))
    return replace(
        model,
        bos=bos if bos in special else None,
        eos=eos if eos in special else None,
    )


def _refuse(what: str, received: Any) -> InputError:
    shown = json.dumps(received, ensure_ascii=False)[:200]
    return InputError(
        "Expected a tokenizer.json of SentencePiece's kind with "
        f"{what}. Received: {shown}. Load its tokenizer.model instead, if "
        "there is one."
    )


def _prefix(content: Mapping[str, Any]) -> str:
    """Which texts get a space, see `PieceModel`."""
    normalizer = content.get("normalizer")
    steps, splitter = parts(normalizer, "normalizers"), None
    if content.get("pre_tokenizer") != _IDLE_SPLIT or _REPLACE not in steps:
        splitter = content.get("pre_tokenizer")
    if splitter is None:
        if steps == [_REPLACE]:
            return "replaced"
        if steps == [_PREPEND, _REPLACE]:
            return "model"
        raise _refuse("spaces replaced by ▁", normalizer)
    if splitter.get("type") != "Metaspace" or steps:
        raise _refuse("Metaspace or no pre_tokenizer", splitter or normalizer)
    if splitter.get("replacement") != SPACE or splitter.get("split", True):
        raise _refuse("a Metaspace that does not split", splitter)
    return splitter.get("prepend_scheme", "always")


def _strips(decoder: Any, prefix: str) -> bool:
    """Whether the text of ids loses the space before it."""
    if decoder is None:
        return prefix not in ("never", "replaced")
    return any(
        step.get("start", 0) > 0
        or (
            step["type"] == "Metaspace"
            and step.get("prepend_scheme", "always") != "never"
        )
        for step in parts(decoder, "decoders")
    )


def _message(model: Mapping[str, Any], special: set[int]) -> Any:
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
        elif vocabulary[text] in special or (
            len(text) > 1 and text not in ranks
        ):
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
