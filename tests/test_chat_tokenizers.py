"""Chat templates with the tokenizers of others: spaces that come and go."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from test_chat import CONVERSATIONS
from tokenizers import (
    AddedToken,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from keras_llm.errors import InputError
from keras_llm.tokenizers import HostTokenizer, load_host
from keras_llm.tokenizers.chat import TEMPLATES

TEXT = "Hello there, how are you? I am fine. Be brief. Nothing more. 2+2?"
KEYS = sorted(set(CONVERSATIONS) - {"spelled"})


def assert_equal_ids(ours: Any, theirs: Tokenizer, name: str) -> None:
    """Our ids of every conversation are theirs of the rendered text."""
    compared = 0
    for key in KEYS:
        for asked in (False, True):
            try:
                text = TEMPLATES[name].render(CONVERSATIONS[key], asked)
            except InputError:
                continue
            ids, mask = TEMPLATES[name].encode(ours, CONVERSATIONS[key], asked)
            assert ids == theirs.encode(text, add_special_tokens=False).ids
            assert len(mask) == len(ids)
            compared += 1
    assert compared > 10


def save(content: dict, folder: Path) -> Path:
    """Writes tokenizer.json and who starts and ends a text."""
    (folder / "tokenizer.json").write_text(json.dumps(content))
    config = {"bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


SPECIAL = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


@pytest.fixture(scope="module", params=["older", "first", "always"])
def pieces(request, tmp_path_factory) -> Path:
    """A SentencePiece-style tokenizer; each puts spaces in other places."""
    pytest.importorskip("sentencepiece")
    engine = Tokenizer(
        models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    if request.param == "older":
        engine.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    else:
        engine.pre_tokenizer = pre_tokenizers.Metaspace(
            prepend_scheme=request.param, split=False
        )
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=SPECIAL + BYTES, show_progress=False
    )
    engine.train_from_iterator([TEXT] * 5, trainer)
    content = json.loads(engine.to_str())
    content["added_tokens"] = [
        token
        for token in content["added_tokens"]
        if token["content"] in SPECIAL
    ]
    return save(content, tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize(
    "name",
    ["llama2", "mistral_v1", "mistral_v3", "mistral_v3_tekken", "zephyr"],
)
def test_spaces_before_words_stand_where_they_were(pieces, name):
    theirs = Tokenizer.from_file(str(pieces / "tokenizer.json"))
    assert_equal_ids(load_host(pieces), theirs, name)


def byte_level(
    folder: Path, *tokens: AddedToken
) -> tuple[HostTokenizer, Tokenizer]:
    """The same vocabulary and added tokens, ours and theirs."""
    base = HostTokenizer.train(
        [TEXT] * 5, 300, "gpt2", (), None, None, progress=False
    )
    base.save(folder)
    theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
    theirs.add_tokens(list(tokens))
    ids = {t.content: base.vocabulary_size + i for i, t in enumerate(tokens)}
    special = {t.content: ids[t.content] for t in tokens if t.special}
    vocabulary = dataclasses.replace(
        base.vocabulary,
        special_tokens=special,
        text_tokens={t: i for t, i in ids.items() if t not in special},
        flags={
            t.content: dict(lstrip=t.lstrip, rstrip=t.rstrip) for t in tokens
        },
    )
    return HostTokenizer(vocabulary), theirs


def special(*tokens: str, **flags: bool) -> list[AddedToken]:
    return [AddedToken(token, special=True, **flags) for token in tokens]


def test_a_token_may_take_the_space_after_it(tmp_path):
    """As Phi-3's: the line break behind `<|user|>` belongs to it."""
    tokens = special(*TEMPLATES["phi3"].special, rstrip=True)
    assert_equal_ids(*byte_level(tmp_path, *tokens), "phi3")


def test_a_token_may_take_the_space_before_it(tmp_path):
    tokens = special(*TEMPLATES["chatml"].special, lstrip=True)
    assert_equal_ids(*byte_level(tmp_path, *tokens), "chatml")


def test_marks_of_reasoning_are_tokens_but_not_special(tmp_path):
    """As Qwen 3's: `<think>` in a reply is one token."""
    tokens = special(*TEMPLATES["qwen3"].special)
    tokens += [
        AddedToken(text, special=False, normalized=False)
        for text in ("<think>", "</think>")
    ]
    ours, theirs = byte_level(tmp_path, *tokens)
    assert_equal_ids(ours, theirs, "qwen3")
    ids, mask = TEMPLATES["qwen3"].encode(
        ours, CONVERSATIONS["reasoning_reply"]
    )
    (place,) = [i for i, t in enumerate(ids) if ours.decode([t]) == "</think>"]
    assert mask[place] == 1
