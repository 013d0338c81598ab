"""KerasHub's tokenizers <-> ours, by way of the files that both read."""

import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_llm.errors import InputError
from keras_llm.tokenizers.added import AddedToken
from keras_llm.tokenizers.byte_text import spell
from keras_llm.zoo.hub_family import HubFamily


def from_hub_tokenizer(tokenizer: Any, family: HubFamily) -> Any:
    """Returns our tokenizer with the ids of one of KerasHub's.

    Raises:
        InputError: It is of neither kind, or has no vocabulary yet.
    """
    if getattr(tokenizer, "proto", None) and family.pattern is None:
        return _from_proto(tokenizer)
    if getattr(tokenizer, "vocabulary", None) and family.pattern:
        return _from_merges(tokenizer, family.pattern)
    raise InputError(
        f"Expected a KerasHub tokenizer with {_kind(family)}, as the family "
        f"{family.name!r} has. Received: {type(tokenizer).__name__}."
    )


def _kind(family: HubFamily) -> str:
    return "byte pairs" if family.pattern else "SentencePiece"


def _from_proto(tokenizer: Any) -> Any:
    from keras_llm.tokenizers import SentencePieceTokenizer
    from keras_llm.tokenizers.piece_model import extended

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tokenizer.model"
        file.write_bytes(tokenizer.proto)
        model = SentencePieceTokenizer.load(file).piece_model
    known = {token.text for token in model.added}
    ends = _ends(tokenizer)
    missing = [t for t in ends.values() if t is not None and t not in known]
    more = [AddedToken(t, tokenizer.token_to_id(t)) for t in missing]
    return SentencePieceTokenizer(replace(extended(model, more), **ends))


def _from_merges(tokenizer: Any, pattern: str) -> Any:
    from keras_llm.tokenizers import BytePairTokenizer

    vocabulary: Mapping[str, int] = tokenizer.vocabulary
    marked = {*tokenizer.special_tokens, *tokenizer.unsplittable_tokens}
    special = sorted(marked & set(vocabulary), key=vocabulary.__getitem__)
    merges = [m for m in tokenizer.merges if not m.startswith("#version:")]
    content = {
        "model": {"type": "BPE", "vocab": vocabulary, "merges": merges},
        "added_tokens": [
            {"id": vocabulary[t], "content": t, "special": True}
            for t in special
        ],
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tokenizer.json"
        file.write_text(json.dumps(content), encoding="utf-8")
        found = BytePairTokenizer.load(file, pattern).vocabulary
    return BytePairTokenizer(replace(found, **_ends(tokenizer)))


def _ends(tokenizer: Any) -> dict[str, str | None]:
    """The tokens that KerasHub puts before a prompt and stops at."""
    starts = tokenizer.start_token_id is not None
    return {
        "bos": tokenizer.start_token if starts else None,
        "eos": tokenizer.end_token,
    }


def to_hub_tokenizer(tokenizer: Any, family: HubFamily) -> Any:
    """Returns KerasHub's tokenizer of a family with the ids of ours.

    Which tokens start and end a text is fixed in each of its classes.

    Raises:
        InputError: The family's class cannot hold this tokenizer.
    """
    import keras_hub

    build = getattr(keras_hub.models, f"{family.classes}Tokenizer")
    contents = _contents(tokenizer, family)
    try:
        theirs = build(**contents, **family.tokenizer)
    except ValueError as error:
        raise InputError(
            f"Expected a tokenizer that {build.__name__} of KerasHub can "
            f"hold. Received: {error} Add the token with "
            "tokenizer.with_tokens([...]) and grow the model's embedding, or "
            "use the family that the tokenizer belongs to."
        ) from error
    _check_ends(tokenizer, theirs)
    return theirs


def _contents(tokenizer: Any, family: HubFamily) -> dict[str, Any]:
    """What the constructor wants."""
    pieces = getattr(tokenizer, "piece_model", None)
    if pieces is not None and family.pattern is None:
        return {"proto": pieces.proto}
    vocabulary = getattr(tokenizer, "vocabulary", None)
    if vocabulary is None or family.pattern is None:
        raise InputError(
            f"Expected a tokenizer with {_kind(family)} for the family "
            f"{family.name!r}. Received: {type(tokenizer).__name__}."
        )
    whole = [t for t, pair in vocabulary.splits.items() if pair is None]
    if whole:
        warnings.warn(
            f"{len(whole)} tokens that no merge reaches, as {whole[0]!r}, "
            "cannot be said in KerasHub: it gives such a word other ids.",
            stacklevel=4,
        )
    special = dict(vocabulary.special_tokens)
    ranks = {spell(token): i for token, i in vocabulary.ranks.items()}
    return {
        "vocabulary": ranks | special,
        "merges": [f"{spell(a)} {spell(b)}" for a, b in vocabulary.merges],
        "unsplittable_tokens": list(special),
    }


def _check_ends(ours: Any, theirs: Any) -> None:
    name = type(theirs).__name__
    start = theirs.start_token_id
    if start != ours.bos_id:
        raise InputError(
            f"Expected a tokenizer that starts a text with the id {start}, as "
            f"KerasHub's {name} always does. Received: {ours.bos_id}."
        )
    if theirs.end_token_id != ours.eos_id:
        warnings.warn(
            f"KerasHub's {name} always ends a text with "
            f"{theirs.end_token!r} (id {theirs.end_token_id}), and not with "
            f"the id {ours.eos_id}. Pass stop_token_ids=[{ours.eos_id}] to "
            "its generate().",
            stacklevel=4,
        )
