"""All three engines on real texts in 400 languages, and in old encodings."""

import pytest
import tensorflow as tf
import tiktoken
import tokenizers
from tokenizer_texts import HOUSE, PATTERNS, real_texts

from keras_llm.tokenizers import BytePairTokenizer


def _check(tokenizer, texts, folder):
    """Compares all engines with tiktoken, about one megabyte at a time."""
    tokenizer.save(folder)
    library = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    reference = tiktoken.Encoding(
        "reference",
        pat_str=tokenizer.vocabulary.rule.regex,
        mergeable_ranks=dict(tokenizer.vocabulary.ranks),
        special_tokens={},
    )
    signature = [tf.TensorSpec([None], tf.string)]
    graph = tf.function(tokenizer.graph_encode, input_signature=signature)
    for start in range(0, len(texts), 250):
        batch = texts[start : start + 250]
        expected = reference.encode_ordinary_batch(batch, num_threads=2)
        assert tokenizer.encode(batch, disallowed_special=()) == expected
        ids = graph(tf.constant(batch))
        assert ids.to_list() == expected
        back = tokenizer.graph_decode(ids).numpy().tolist()
        assert back == [text.encode() for text in batch]
        plain = [(i, t) for i, t in enumerate(batch) if "<|endof" not in t]
        found = library.encode_batch_fast([text for _, text in plain])
        assert [row.ids for row in found] == [expected[i] for i, _ in plain]


def _gpt2(shared_data):
    return BytePairTokenizer.load(shared_data / "gpt2_bpe")


def _trained(texts, pattern):
    return BytePairTokenizer.train([HOUSE, *texts], 3000, pattern=pattern)


def test_gpt2_on_a_sample_of_all_texts(shared_data, tmp_path):
    texts = list(real_texts(shared_data, every=120))
    _check(_gpt2(shared_data), texts, tmp_path)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_trained_vocabulary_on_a_sample_of_all_texts(
    shared_data, tmp_path, pattern
):
    texts = list(real_texts(shared_data, every=400))
    _check(_trained(texts[::4], pattern), texts, tmp_path)


@pytest.mark.slow
def test_gpt2_on_all_texts(shared_data, tmp_path):
    texts = list(real_texts(shared_data, every=1))
    _check(_gpt2(shared_data), texts, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("pattern", PATTERNS)
def test_trained_vocabulary_on_all_texts(shared_data, tmp_path, pattern):
    texts = list(real_texts(shared_data, every=1))
    _check(_trained(texts[::40], pattern), texts, tmp_path)
