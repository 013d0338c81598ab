"""Split rules: the graph's vector logic against two expression engines."""

import numpy as np
import pytest
import tensorflow as tf
import tokenizers
from family_tokenizers import O200K, TEKKEN
from hypothesis import given, settings
from tokenizer_texts import HOUSE, PATTERNS, broken_texts, texts

from keras_llm.errors import InputError
from keras_llm.tokenizers.graph_split import word_starts
from keras_llm.tokenizers.graph_text import class_constants, read
from keras_llm.tokenizers.pretokenize import (
    LETTER,
    NUMBER,
    SPACE,
    character_classes,
    rule_of_regex,
    split_rule,
)
from keras_llm.tokenizers.training import pre_tokenizer

# As published: tiktoken's openai_public.py (r50k_base, cl100k_base and
# o200k_base) and the tokenizer.json of Llama 3, Qwen 2 and Mistral Nemo.
PUBLISHED = {
    "gpt2": r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++"""
    r"""| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s""",
    "gpt4": r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"""
    r"""| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s""",
    "llama3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "o200k": O200K,
    "tekken": TEKKEN,
}


def library_words(pattern: str, text: str) -> list[str]:
    """Splits with the expression engine (Oniguruma) of `tokenizers`."""
    regex = tokenizers.Regex(split_rule(pattern).regex)
    engine = tokenizers.pre_tokenizers.Split(regex, "isolated")
    return [word for word, _ in engine.pre_tokenize_str(text)]


@pytest.fixture(scope="module", params=PATTERNS)
def split(request):
    """A pattern, and a function that splits a batch in the graph."""
    rule = split_rule(request.param)
    constants = class_constants(rule)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def starts_of(strings):
        _, data, kinds = read(strings, constants)
        return data, word_starts(data, kinds, rule)

    def words(strings: list[str | bytes]) -> list[list[str]]:
        data, starts = starts_of(
            tf.constant(strings, tf.string, [len(strings)])
        )
        at = np.flatnonzero(starts.numpy())
        pieces = [p.tobytes() for p in np.split(data.numpy(), at)[1:]]
        rows: list[list[str]] = [[]]
        for piece in pieces:
            if piece == b"\xff":
                rows.append([])
            else:
                rows[-1].append(piece.decode())
        return rows[:-1]

    return request.param, words


def test_every_rule_splits_the_house_as_the_library(split):
    pattern, words = split
    lines = [*HOUSE.splitlines(keepends=True), HOUSE, "", HOUSE[::-1]]
    assert words(lines) == [library_words(pattern, line) for line in lines]


@settings(max_examples=150, deadline=None)
@given(texts)
def test_adversarial_text_splits_as_the_library(split, strings):
    pattern, words = split
    expected = [library_words(pattern, text) for text in strings]
    assert words(strings) == expected


@settings(max_examples=100, deadline=None)
@given(broken_texts)
def test_broken_utf8_is_replaced_as_python_does(split, strings):
    _, words = split
    expected = [data.decode("utf-8", errors="replace") for data in strings]
    assert ["".join(row) for row in words(strings)] == expected


def test_digits_are_cut_out_before_the_rest_as_the_library_does():
    """SmolLM2 publishes two steps, and we have one expression for them."""
    rule = split_rule("digits")
    engine = pre_tokenizer(rule)
    everything = "".join(map(chr, range(0x11D00, 0x12000)))
    everything += "".join(map(chr, range(0x16F00, 0x17000)))
    for text in (HOUSE, HOUSE[::-1], "  1 2  a\n3'ſ4's", everything):
        pieces = engine.pre_tokenize_str(text)
        words = [text[start:stop] for _, (start, stop) in pieces]
        assert library_words("digits", text) == words


@pytest.mark.parametrize("pattern", PUBLISHED)
def test_the_expression_equals_the_published_one(pattern):
    import tiktoken

    ranks = {bytes([byte]): byte for byte in range(256)}
    text = HOUSE.encode()
    # Every two bytes are a token, so that ids tell where the words end.
    pairs = {text[i : i + 2] for i in range(len(text) - 1)}
    pairs |= {bytes([a, b]) for a in b" \n\r'!x1s" for b in b" \n\r'!x1s"}
    ranks |= {pair: 256 + i for i, pair in enumerate(sorted(pairs))}
    ours, published = (
        tiktoken.Encoding(
            "test", pat_str=regex, mergeable_ranks=ranks, special_tokens={}
        )
        for regex in (split_rule(pattern).regex, PUBLISHED[pattern])
    )
    strings = [HOUSE, "x\n  ", " \n \n", "!\n \n ", "x \r\n", "  x", "'ſ's"]
    for string in strings:
        assert ours.encode_ordinary(string) == published.encode_ordinary(string)


def test_the_classes_are_those_of_the_library():
    blocks, classes = character_classes()
    assert blocks.nbytes + classes.nbytes < 40_000
    points = np.delete(np.arange(0x110000), np.s_[0xD800:0xE000])
    found = classes[blocks[points // 256].astype(int) * 256 + points % 256]
    text = "".join(map(chr, points))
    for regex, value in (
        (r"\p{L}", LETTER),
        (r"\p{N}", NUMBER),
        (r"\s", SPACE),
    ):
        engine = tokenizers.pre_tokenizers.Split(
            tokenizers.Regex(regex), "removed", invert=True
        )
        expected = [ord(c) for c, _ in engine.pre_tokenize_str(text)]
        assert points[found == value].tolist() == expected


def test_rules_are_found_by_name_alias_and_expression():
    assert split_rule("cl100k_base") is split_rule("gpt4")
    assert rule_of_regex(PUBLISHED["qwen2"]) is split_rule("qwen2")
    assert rule_of_regex(r"\w+") is None


def test_an_unknown_rule_is_refused_by_name():
    with pytest.raises(InputError, match="llama3.*Received: 'gpt5'"):
        split_rule("gpt5")
