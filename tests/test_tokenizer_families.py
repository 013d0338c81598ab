"""Byte-level `tokenizer.json` files of the families: ids of `tokenizers`."""

import json

import pytest
import tensorflow as tf
from family_tokenizers import FAMILIES, build, write
from hypothesis import given, settings
from tokenizer_texts import HOUSE, real_texts, texts
from tokenizers import Tokenizer

from keras_llm.tokenizers import BytePairTokenizer, load, load_host

HARD = [
    *HOUSE.splitlines(keepends=True),
    *(
        "a question zq zqzq Hello",
        HOUSE,
        "",
        " ",
        "  x",
        "e\u0301 a\u0323\u0307 한글",
        "HelloWorldHTMLa",
    ),
    "<|im_start|>user\n<think>a</think> <|im_end|>\n x  <|endoftext|>  y",
    "a" + " " * 30 + "b\n" + " " * 5 + "<mask> <s>[INST]</s>|||IP_ADDRESS|||",
    "\u1112\u1161\u11ab\u0301<tool_call>\u0338  <|begin_of_text|>it's's 12345",
]


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request, tmp_path_factory):
    """A family's tokenizer as `tokenizers` has it, and as we load it."""
    words = ["Ġquestion", "zq", "ĠHello"] if request.param == "llama3" else []
    engine = build(request.param, words=words)
    folder = write(engine, tmp_path_factory.mktemp(request.param))
    return engine, load(folder)


def check(engine, tokenizer, strings):
    """Compares ids and texts, on the host and in the graph."""
    found = tokenizer.encode(strings, allowed_special="all")
    assert found == _ids(engine, strings)
    plain = _plain(engine, strings)
    assert tokenizer.encode(strings, disallowed_special=()) == plain
    assert tokenizer(tf.constant(strings)).to_list() == plain
    for skip in (False, True):
        expected = engine.decode_batch(found, skip_special_tokens=skip)
        assert [tokenizer.decode(row, skip) for row in found] == expected
        graph = tokenizer.detokenize(found, skip).numpy()
        assert [text.decode() for text in graph] == expected


def _ids(engine, strings):
    rows = engine.encode_batch(strings, add_special_tokens=False)
    return [row.ids for row in rows]


def _plain(engine, strings):
    """Ids where special tokens in a text are text."""
    engine.encode_special_tokens = True
    try:
        return _ids(engine, strings)
    finally:
        engine.encode_special_tokens = False


def test_ids_and_texts_equal_the_library(pair):
    engine, tokenizer = pair
    assert isinstance(tokenizer, BytePairTokenizer)
    check(engine, tokenizer, HARD)


@settings(max_examples=25, deadline=None)
@given(texts)
def test_ids_of_adversarial_texts_equal_the_library(pair, strings):
    engine, tokenizer = pair
    strings = [s.encode("utf-8", "replace").decode() for s in strings]
    check(engine, tokenizer, [*strings, *HARD[-3:]])


def test_what_starts_a_text_is_what_the_library_adds(pair):
    engine, tokenizer = pair
    start = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    assert engine.encode("a rose").ids == start + tokenizer.encode("a rose")


def test_a_saved_folder_loads_equal(pair, tmp_path):
    engine, tokenizer = pair
    tokenizer.save(tmp_path)
    for again in (load(tmp_path), load_host(tmp_path)):
        assert again.fingerprint == tokenizer.fingerprint
    library = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert _ids(library, HARD) == _ids(engine, HARD)
    assert _plain(library, HARD) == _plain(engine, HARD)


def test_a_config_names_a_bos_that_nothing_puts_first(tmp_path):
    write(build("smollm2"), tmp_path)
    config = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(config))
    found = load_host(tmp_path)
    assert found.bos_id is None
    assert found.eos_id == found.special_tokens["<|im_end|>"]
    path.write_text(json.dumps(config | {"add_bos_token": True}))
    assert load_host(tmp_path).bos_id == found.special_tokens["<|im_start|>"]


def test_tokens_without_a_merge_decode_though_no_text_becomes_them(tmp_path):
    engine = build("llama3", words=["zqzq"])
    content = json.loads(engine.to_str())
    content["model"]["ignore_merges"] = False
    write(Tokenizer.from_str(json.dumps(content)), tmp_path)
    found = load_host(tmp_path)
    hidden = content["model"]["vocab"]["zqzq"]
    assert found.decode([hidden]) == "zqzq"
    assert hidden not in found.encode("zqzq")
    found.save(tmp_path)
    assert load_host(tmp_path).fingerprint == found.fingerprint


def _check_real(name, shared_data, folder, every):
    strings = list(real_texts(shared_data, every))
    engine = build(name, strings[:: max(len(strings) // 40, 1)], 3000)
    tokenizer = load(write(engine, folder))
    for start in range(0, len(strings), 250):
        batch = strings[start : start + 250]
        plain = _plain(engine, batch)
        assert tokenizer.encode(batch, disallowed_special=()) == plain
        assert tokenizer(tf.constant(batch)).to_list() == plain


@pytest.mark.parametrize("name", ["gpt_neox", "qwen3", "smollm2", "gpt_oss"])
def test_ids_of_a_sample_of_all_texts(shared_data, tmp_path, name):
    _check_real(name, shared_data, tmp_path, every=400)


@pytest.mark.long
@pytest.mark.parametrize("name", FAMILIES)
def test_ids_of_all_texts(shared_data, tmp_path, name):
    _check_real(name, shared_data, tmp_path, every=1)
