"""A SentencePiece model: its pieces, and what of them is special."""

import base64
import functools
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keras_llm.errors import InputError
from keras_llm.tokenizers.added import (
    AddedToken,
    check_roles,
    from_config,
    numbered,
    to_config,
)
from keras_llm.tokenizers.base import Pieces
from keras_llm.tokenizers.byte_text import EACH_BYTE
from keras_llm.tokenizers.extra import extra

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
SPACE = "▁"
UNKNOWN_SURFACE = " ⁇ "  # what SentencePiece shows for an unknown character
PREFIXES = ("model", "first", "always", "never", "replaced", "normalized")


def messages() -> Any:
    """Returns the module with SentencePiece's protocol buffers."""
    name = "sentencepiece.sentencepiece_model_pb2"
    return extra(name, "SentencePiece vocabularies")


@dataclass(frozen=True, eq=False)
class PieceModel:
    """Everything that decides which ids a text becomes. Never changes.

    Attributes:
        proto: A serialized `ModelProto`, in which every special token is of
            the type CONTROL, so that no text becomes it, and every added
            token that is text is USER_DEFINED.
        added: The special tokens, and the added tokens that are cut out of
            texts before SentencePiece sees them.
        bos: The special token that starts a text, or None.
        eos: The special token that ends a text, or None.
        prefix: Which texts get a space before them. "model": those that
            SentencePiece gives one. "first": what has nothing before it and
            does not start with a space. "always": what is between two added
            tokens, too. "never": none. "replaced": none, and spaces are
            replaced before normalized tokens are cut out. "normalized": all,
            before normalized tokens are cut out.
        strips: Whether the text of ids loses a space at its start. None:
            as the model says.
        hidden: Ids that are pieces of the model and no tokens at all.

    Raises:
        InputError: `bos` or `eos` is not a special token.
    """

    proto: bytes
    added: tuple[AddedToken, ...] = ()
    bos: str | None = None
    eos: str | None = None
    prefix: str = "model"
    strips: bool | None = None
    hidden: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuses what no engine could encode with."""
        special = (token.text for token in self.added if token.special)
        check_roles(special, self.bos, self.eos)
        if self.prefix not in PREFIXES:
            raise InputError(
                f"Expected prefix out of {PREFIXES}. Received: {self.prefix!r}."
            )

    @functools.cached_property
    def message(self) -> Any:
        """The `ModelProto` itself."""
        message = messages().ModelProto()
        try:
            message.ParseFromString(self.proto)
        except Exception as error:  # protobuf's own; it differs by version
            raise InputError(
                "Expected a SentencePiece model. Received: "
                f"{len(self.proto)} bytes that are none ({error})."
            ) from error
        return message

    @functools.cached_property
    def engine_proto(self) -> bytes:
        """The `ModelProto` for the engines.

        Where the space before a text follows another rule than
        SentencePiece's, we put it there.
        """
        if self.prefix == "model":
            return self.proto
        message = messages().ModelProto()
        message.CopyFrom(self.message)
        message.normalizer_spec.add_dummy_prefix = False
        return message.SerializeToString(deterministic=True)

    @functools.cached_property
    def pieces(self) -> Pieces:
        """What the ids spell."""
        shown = {token.id: self._shown(token) for token in self.added}
        texts = [
            (shown[i], NORMAL) if i in shown else (piece.piece, piece.type)
            for i, piece in enumerate(self.message.pieces)
        ]
        table: list[bytes | None] = [_spelled(*text) for text in texts]
        for i in self.hidden:
            table[i] = None
        rule = self.message.normalizer_spec
        strips, first = self.strips, table
        if strips is None:
            strips = rule.add_dummy_prefix or rule.remove_extra_whitespaces
        if strips:
            kinds = (kind for _, kind in texts)
            first = list(map(_stripped, table, kinds))
        return Pieces(table, first, EACH_BYTE, rule.remove_extra_whitespaces)

    def _shown(self, token: AddedToken) -> str:
        if self.prefix == "normalized" and token.normalized:
            return SPACE + token.text
        return token.text

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content as 64 hexadecimal digits."""
        content = [to_config(self.added), self.bos, self.eos, self.prefix]
        digest = hashlib.sha256(json.dumps(content).encode())
        digest.update(self.proto)
        return digest.hexdigest()

    def with_tokens(
        self, texts: Sequence[str], special: bool = True
    ) -> "PieceModel":
        """Returns a model with more tokens; their ids follow on.

        Raises:
            InputError: A token is empty, given twice or known already.
        """
        size = len(self.message.pieces)
        known = {piece.piece for piece in self.message.pieces}
        new = numbered(texts, special, known, size)
        return extended(self, new)

    def to_config(self) -> dict[str, Any]:
        """Returns everything as a dict that JSON can hold."""
        packed = base64.b85encode(zlib.compress(self.proto, 9))
        return {"proto": packed.decode("ascii"), **self.settings()}

    def settings(self) -> dict[str, Any]:
        """Returns all but the pieces."""
        return {
            "added": to_config(self.added),
            "bos": self.bos,
            "eos": self.eos,
            "prefix": self.prefix,
            "strips": self.strips,
            "hidden": list(self.hidden),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "PieceModel":
        """Returns the model that `to_config` described."""
        proto = zlib.decompress(base64.b85decode(config["proto"]))
        return cls.of(proto, config)

    @classmethod
    def of(cls, proto: bytes, settings: Mapping[str, Any]) -> "PieceModel":
        """Returns the model of a proto and its `settings`."""
        return cls(
            proto,
            from_config(settings["added"]),
            settings["bos"],
            settings["eos"],
            settings["prefix"],
            settings["strips"],
            tuple(settings["hidden"]),
        )


def extended(model: PieceModel, tokens: Sequence[AddedToken]) -> PieceModel:
    """Returns the model with these tokens, wherever their ids are.

    An id within the model has its type set; beyond it, pieces are appended,
    and numbers that are left out become hidden ids.
    """
    message = messages().ModelProto()
    message.CopyFrom(model.message)
    pieces, hidden = message.pieces, list(model.hidden)
    names = {piece.piece for piece in pieces}
    for token in sorted(tokens, key=lambda token: token.id):
        while len(pieces) <= token.id:
            gap = f"<unused id {len(pieces)}>"
            pieces.add(piece=gap, score=0.0, type=CONTROL)
            hidden.append(len(pieces) - 1)
        piece = pieces[token.id]
        if token.id in hidden:
            hidden.remove(token.id)
        # The engine wants every piece to have a name of its own.
        if piece.piece != token.text and token.text not in names:
            piece.piece = token.text
            names.add(token.text)
        if piece.type != UNKNOWN:  # of which the engine wants one
            piece.type = CONTROL if token.special else USER_DEFINED
    kept = {token.id for token in tokens}
    added = [token for token in model.added if token.id not in kept]
    added += [token for token in tokens if token.special]
    return replace(
        model,
        proto=message.SerializeToString(deterministic=True),
        added=tuple(added),
        hidden=tuple(hidden),
    )


def _spelled(piece: str, kind: int) -> bytes:
    """The bytes of a piece."""
    if kind == BYTE:
        return bytes([int(piece[3:5], 16)])
    if kind == UNKNOWN:
        return UNKNOWN_SURFACE.encode()
    return piece.replace(SPACE, " ").encode()


def _stripped(data: bytes | None, kind: int) -> bytes | None:
    """The bytes of a piece at the start: without the space before a text."""
    if data is None or kind in (BYTE, UNKNOWN):
        return data
    return data.removeprefix(b" ")
