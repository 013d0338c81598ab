"""The host engine: training, encoding, decoding, special tokens, errors."""

import subprocess
import sys

import pytest
import tiktoken
from hypothesis import given, settings
from tokenizer_texts import HOUSE, PATTERNS, broken_texts, texts

from keras_llm.errors import InputError
from keras_llm.tokenizers import HostTokenizer, IncrementalDecoder, Vocabulary

SPECIAL = [
    "<|endoftext|>",
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
    "<|end|>",
]


@pytest.fixture(scope="module", params=PATTERNS)
def tokenizer(request):
    return HostTokenizer.train([HOUSE] * 3, 600, pattern=request.param)


@pytest.fixture(scope="module")
def reference(tokenizer):
    return tiktoken.Encoding(
        "reference",
        pat_str=tokenizer.vocabulary.rule.regex,
        mergeable_ranks=dict(tokenizer.vocabulary.ranks),
        special_tokens=tokenizer.special_tokens,
    )


def test_training_lays_out_bytes_merges_and_special_tokens(tokenizer):
    assert tokenizer.vocabulary_size == 600
    assert [tokenizer.token_bytes(i)[0] for i in range(256)] == [*range(256)]
    assert tokenizer.special_tokens == dict(
        zip(SPECIAL, range(595, 600), strict=True)
    )
    assert tokenizer.bos_id == tokenizer.eos_id == 595
    assert len(tokenizer.vocabulary.merges) == 600 - 256 - 5


def test_training_gives_the_same_vocabulary_again(tokenizer):
    pattern = tokenizer.vocabulary.pattern
    again = HostTokenizer.train(iter([HOUSE] * 3), 600, pattern=pattern)
    assert again.fingerprint == tokenizer.fingerprint
    assert again.vocabulary.ranks == tokenizer.vocabulary.ranks


def test_the_fingerprint_tells_vocabularies_apart(tokenizer):
    config = tokenizer.vocabulary.to_config()
    same = Vocabulary.from_config(config)
    assert same.fingerprint == tokenizer.fingerprint
    for change in (
        {"eos": None},
        {"pattern": "qwen2" if config["pattern"] == "gpt2" else "gpt2"},
        {"special_tokens": {**config["special_tokens"], "<more>": 600}},
    ):
        other = Vocabulary.from_config(config | change)
        assert other.fingerprint != tokenizer.fingerprint


def test_the_textbook_merges_are_learnt():
    # Sennrich et al., 2016, figure 1: low x5, lower x2, newest x6, widest x3.
    words = ["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3
    found = HostTokenizer.train(
        words, 256 + 4, special_tokens=(), bos=None, eos=None
    )
    assert found.vocabulary.merges[:3] == [
        (b"e", b"s"),
        (b"es", b"t"),
        (b"l", b"o"),
    ]


@settings(max_examples=150, deadline=None)
@given(texts)
def test_ids_equal_tiktoken_and_decode_to_the_text(
    tokenizer, reference, strings
):
    ids = tokenizer.encode(strings, disallowed_special=())
    clean = [s.encode("utf-8", "replace").decode() for s in strings]
    assert ids == [reference.encode_ordinary(s) for s in clean]
    assert [tokenizer.decode(row) for row in ids] == clean
    marked = tokenizer.encode(strings, allowed_special="all")
    assert marked == [
        reference.encode(s, allowed_special="all") for s in strings
    ]


@settings(max_examples=100, deadline=None)
@given(broken_texts)
def test_broken_bytes_become_the_replacement_character(tokenizer, strings):
    clean = [data.decode("utf-8", "replace") for data in strings]
    assert tokenizer.encode(strings) == tokenizer.encode(clean)


def test_a_lone_surrogate_becomes_the_replacement_character(tokenizer):
    assert tokenizer.encode("a\ud800b") == tokenizer.encode("a\ufffdb")


def test_special_tokens_in_text_are_refused_unless_allowed(tokenizer):
    text = "hi<|end|>"
    with pytest.raises(InputError, match="'<|end|>' at character 2"):
        tokenizer.encode(text)
    with pytest.raises(InputError, match="disallowed_special"):
        tokenizer.encode(["fine", text])
    plain = tokenizer.encode(text, disallowed_special=())
    allowed = tokenizer.encode(text, allowed_special={"<|end|>"})
    end = tokenizer.special_tokens["<|end|>"]
    assert end not in plain
    assert allowed == [*tokenizer.encode("hi"), end]
    assert allowed == tokenizer.encode(text, allowed_special="all")
    with pytest.raises(InputError, match="<|user|>"):
        tokenizer.encode("<|user|>" + text, allowed_special={"<|end|>"})
    assert tokenizer.decode(allowed) == text
    assert tokenizer.decode(allowed, skip_special_tokens=True) == "hi"


def test_a_special_token_that_does_not_exist_cannot_be_allowed(tokenizer):
    with pytest.raises(InputError, match="<|nope|>"):
        tokenizer.encode("a", allowed_special={"<|nope|>"})
    with pytest.raises(InputError, match="all"):
        tokenizer.encode("a", allowed_special="<|end|>")


@pytest.mark.parametrize("token_id", [-1, 600, 10**9])
def test_an_id_without_a_token_is_refused(tokenizer, token_id):
    with pytest.raises(InputError, match=f"0 to 599. Received: {token_id}"):
        tokenizer.decode([0, token_id])


def test_white_space_that_would_crash_tiktoken_is_refused(tokenizer):
    with pytest.raises(InputError, match="white-space"):
        tokenizer.encode(" " * 400_001 + "x")
    assert tokenizer.decode(tokenizer.encode(" " * 300_000)) == " " * 300_000


@settings(max_examples=100, deadline=None)
@given(broken_texts)
def test_the_stream_shows_whole_characters_only(tokenizer, strings):
    for data in strings:
        decoder = tokenizer.incremental_decoder()
        shown = [decoder.push(byte) for byte in data]
        text = "".join(shown) + decoder.flush()
        assert text == data.decode("utf-8", "replace")
    decoder = IncrementalDecoder(tokenizer.token_bytes)
    assert [decoder.push(byte) for byte in "é日".encode()] == [
        *("", "é", "", "", "日"),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 300), "empty corpus"),
        ((["", ""], 300), "empty corpus"),
        (("one text", 300), "one str"),
        (([b"bytes"], 300), "bytes"),
        (([HOUSE], 260), "at least 261.*Received: 260"),
        (([HOUSE], 300, "gpt5"), "gpt5"),
        (([HOUSE], 300, "gpt2", ["<a>"]), "bos to be a special token"),
        (([HOUSE], 300, "gpt2", ["<a>", ""], None, None), "some length"),
    ],
)
def test_training_says_what_it_cannot_use(arguments, message):
    with pytest.raises(InputError, match=message):
        HostTokenizer.train(*arguments)


@pytest.mark.parametrize(
    ("ranks", "special", "message"),
    [
        ({b"a": 0}, {}, "256 bytes"),
        ({bytes([b]): b // 2 for b in range(256)}, {}, "different id"),
        ({bytes([b]): b for b in range(256)}, {"<a>": 3}, "different id"),
        ({bytes([b]): b - 1 for b in range(256)}, {}, "the lowest -1"),
    ],
)
def test_a_vocabulary_must_be_complete_and_unambiguous(ranks, special, message):
    with pytest.raises(InputError, match=message):
        Vocabulary(ranks, special)


def test_only_texts_can_be_encoded(tokenizer):
    with pytest.raises(InputError, match="int"):
        tokenizer.encode([1])


def test_the_host_works_without_tensorflow():
    code = """
import sys
from keras_llm.tokenizers import HostTokenizer
t = HostTokenizer.train(["a rose is a rose"], 270)
assert t.decode(t.encode("a rose")) == "a rose"
loaded = {"tensorflow", "keras", "jax", "torch"} & set(sys.modules)
sys.exit(" ".join(loaded) or None)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
