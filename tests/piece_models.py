"""Small SentencePiece models, and `tokenizer.json` files of their kind."""

import functools
import io
import json

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizer_texts import HOUSE
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

SPACE = "▁"


@functools.cache
def proto(model_type: str = "bpe", size: int = 500, **settings) -> bytes:
    """Trains a model on the house, with Llama 2's settings for BPE."""
    if model_type == "bpe":
        llama = dict(
            byte_fallback=True,
            split_digits=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
        )
        settings = {**llama, **settings}
    settings = {  # it wants lists, which cannot be keys of a cache
        name: list(value) if isinstance(value, tuple) else value
        for name, value in settings.items()
    }
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(HOUSE.splitlines() * 3),
        model_writer=written,
        model_type=model_type,
        vocab_size=size,
        minloglevel=2,
        hard_vocab_limit=False,
        **settings,
    )
    return written.getvalue()


def reference(data: bytes) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=data)


CONTROL = [
    AddedToken(text, special=True, normalized=False)
    for text in ("<unk>", "<s>", "</s>")
]
OLD = [
    AddedToken(text, special=True, normalized=True)
    for text in ("<unk>", "<s>", "</s>")
]
PHI3 = [
    *CONTROL,
    AddedToken("<|user|>", special=True, rstrip=True, normalized=False),
    AddedToken("<|end|>", special=True, rstrip=True, normalized=False),
]
MORE = [
    *PHI3,
    AddedToken("[INST]", special=False, normalized=False),
    AddedToken("<think>", special=False, normalized=True),
    AddedToken("\n\n", special=False, normalized=False),
    AddedToken(2 * SPACE, special=False, normalized=True),
]
GEMMA = [
    *CONTROL,
    AddedToken("<start_of_turn>", special=True, normalized=False),
    AddedToken("\n\n", special=False, normalized=False),
    AddedToken("<h1>", special=False, normalized=False),
]


def _merges(pieces):
    """All pairs that make a piece, as Hugging Face's converters list them."""
    ids = {piece.piece: i for i, piece in enumerate(pieces)}
    found = []
    for piece in pieces:
        cuts = ((piece.piece[:i], piece.piece[i:]) for i in range(1, 99))
        known = [pair for pair in cuts if pair[0] in ids and pair[1] in ids]
        known.sort(key=lambda pair: (ids[pair[0]], ids[pair[1]]))
        found += [(-piece.score, pair) for pair in known if all(pair)]
    return [pair for _, pair in sorted(found, key=lambda item: item[0])]


_STRIPPED = decoders.Sequence(
    [
        *(decoders.Replace(SPACE, " "), decoders.ByteFallback()),
        *(decoders.Fuse(), decoders.Strip(" ", 1, 0)),
    ]
)
_KEPT = decoders.Sequence(
    [
        *(decoders.Replace(SPACE, " "), decoders.ByteFallback()),
        decoders.Fuse(),
    ]
)
_REPLACE = normalizers.Replace(" ", SPACE)
_PREPEND = normalizers.Sequence([normalizers.Prepend(SPACE), _REPLACE])


def _metaspace(scheme):
    return pre_tokenizers.Metaspace(SPACE, prepend_scheme=scheme, split=False)


_GEMMA = pre_tokenizers.Split(" ", "merged_with_previous")

# name: normalizer, pre-tokenizer, decoder, added tokens
KINDS = {
    "llama2": (_PREPEND, None, _STRIPPED, CONTROL),
    "llama1": (_PREPEND, None, _STRIPPED, OLD),
    "phi3": (_PREPEND, None, _STRIPPED, PHI3),
    "mistral": (None, _metaspace("first"), _STRIPPED, CONTROL),
    "gemma": (_REPLACE, _GEMMA, _KEPT, GEMMA),
    "prepend": (_PREPEND, None, _STRIPPED, MORE),
    "replace": (_REPLACE, _GEMMA, _KEPT, MORE),
    "first": (None, _metaspace("first"), _STRIPPED, MORE),
    "always": (None, _metaspace("always"), _STRIPPED, MORE),
    "never": (None, _metaspace("never"), _KEPT, MORE),
}


def engine(kind: str) -> Tokenizer:
    """A `tokenizer.json` with SentencePiece's BPE, as `tokenizers` has it."""
    normalizer, splitter, decoder, added = KINDS[kind]
    message = sentencepiece_model_pb2.ModelProto()
    message.ParseFromString(proto())
    vocabulary = {p.piece: i for i, p in enumerate(message.pieces)}
    found = Tokenizer(
        models.BPE(
            vocabulary,
            _merges(message.pieces),
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    if normalizer is not None:
        found.normalizer = normalizer
    if splitter is not None:
        found.pre_tokenizer = splitter
    found.decoder = decoder
    for token in added:
        add = found.add_special_tokens if token.special else found.add_tokens
        add([token])
    found.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return found


def edited(kind: str, **changes) -> dict:
    """The content of such a file with other entries at its top."""
    return {**json.loads(engine(kind).to_str()), **changes}
