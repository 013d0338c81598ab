"""The graph engine and the Keras layer: identical ids, core operations."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_texts import HOUSE, PATTERNS, broken_texts, texts

from keras_llm.errors import InputError
from keras_llm.tokenizers import BytePairTokenizer, Vocabulary
from keras_llm.tokenizers.graph import GraphEngine

STRINGS = ["a rose is", "", "the house's cat", "日本 <|end|>\x00", "  "]


@pytest.fixture(scope="module", params=PATTERNS)
def tokenizer(request):
    return BytePairTokenizer.train([HOUSE] * 3, 700, pattern=request.param)


@pytest.fixture(scope="module")
def one():
    """One tokenizer, where the split rule does not matter."""
    return BytePairTokenizer.train([HOUSE] * 3, 700, pattern="gpt4")


@pytest.fixture(scope="module")
def graph_ids(tokenizer):
    """Encodes a list of strings in one traced graph."""
    signature = [tf.TensorSpec([None], tf.string)]
    encode = tf.function(tokenizer.graph_encode, input_signature=signature)

    def run(strings):
        batch = tf.constant(strings, tf.string, [len(strings)])
        return encode(batch).to_list()

    return run


def plain(tokenizer, strings):
    return tokenizer.encode(strings, disallowed_special=())


@settings(max_examples=200, deadline=None)
@given(texts)
def test_ids_equal_the_host(tokenizer, graph_ids, strings):
    strings = [s.encode("utf-8", "replace").decode() for s in strings]
    assert graph_ids(strings) == plain(tokenizer, strings)


@settings(max_examples=100, deadline=None)
@given(broken_texts)
def test_ids_of_broken_utf8_equal_the_host(tokenizer, graph_ids, strings):
    assert graph_ids(strings) == plain(tokenizer, strings)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("abc", max_size=200), min_size=1, max_size=4))
def test_merges_of_repeated_letters_equal_the_host(strings):
    vocabulary = _letters()
    encode = _encoder("abc", vocabulary)
    expected = BytePairTokenizer(vocabulary).encode(strings)
    assert encode(tf.constant(strings)).to_list() == expected


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(4, 60))
def test_merges_of_random_vocabularies_equal_the_host(seed, letters, size):
    generator = np.random.default_rng(seed)
    vocabulary = _random_vocabulary(generator, "abcd"[:letters], size)
    lengths = generator.integers(0, 120, 12)
    strings = [
        "".join(generator.choice([*"abcd"[:letters]], n)) for n in lengths
    ]
    found = GraphEngine(vocabulary).encode(tf.constant(strings)).to_list()
    assert found == BytePairTokenizer(vocabulary).encode(strings)


_ENCODERS = {}


def _encoder(name, vocabulary):
    if name not in _ENCODERS:
        signature = [tf.TensorSpec([None], tf.string)]
        engine = GraphEngine(vocabulary)
        _ENCODERS[name] = tf.function(engine.encode, input_signature=signature)
    return _ENCODERS[name]


def _letters():
    return _random_vocabulary(np.random.default_rng(5), "abc", 40)


def _random_vocabulary(generator, letters, size):
    """Joins random tokens, which a trainer would never pick so badly."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    known = [letter.encode() for letter in letters]
    while len(ranks) < 256 + size:
        left, right = (known[i] for i in generator.integers(len(known), size=2))
        if left + right not in ranks:
            trial = ranks | {left + right: len(ranks)}
            if Vocabulary(trial).splits[left + right] is not None:
                ranks = trial
                known.append(left + right)
    return Vocabulary(ranks)


def test_a_hundred_thousand_bytes_without_a_space_equal_the_host(
    tokenizer, graph_ids
):
    generator = np.random.default_rng(0)
    for letters in ("a", "ab", "abcdefghijklmnopqrstuvwxyz", "日本語", " "):
        text = "".join(generator.choice([*letters], 100_000 // len(letters)))
        assert graph_ids([text, HOUSE]) == plain(tokenizer, [text, HOUSE])


def test_the_batch_may_be_empty(tokenizer, graph_ids):
    assert graph_ids([]) == []
    assert graph_ids([""]) == [[]]
    empty = tf.RaggedTensor.from_row_splits(tf.zeros([0], tf.int32), [0])
    assert tokenizer.detokenize(empty).shape == (0,)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 699), max_size=12), min_size=1))
def test_texts_of_any_ids_equal_the_host(tokenizer, rows):
    ragged = tf.ragged.constant(rows, dtype=tf.int32, ragged_rank=1)
    dense = ragged.to_tensor(-1)
    for skip in (False, True):
        expected = [tokenizer.decode(row, skip).encode() for row in rows]
        for ids in (ragged, dense):
            found = tokenizer.detokenize(ids, skip_special_tokens=skip)
            assert found.numpy().tolist() == expected


def test_special_tokens_in_the_graph_are_text(one):
    ids = one(tf.constant(["<|end|>"])).to_list()[0]
    assert ids == one.encode("<|end|>", disallowed_special=())
    assert one.special_tokens["<|end|>"] not in ids


def test_the_layer_takes_strings_tensors_and_scalars(one):
    expected = plain(one, STRINGS)
    assert one(STRINGS).to_list() == expected
    assert one(tf.constant(STRINGS)).to_list() == expected
    assert one(STRINGS[0]).numpy().tolist() == expected[0]
    assert one.detokenize(expected[2]).numpy().decode() == STRINGS[2]
    assert one(STRINGS).dtype == tf.int32


def test_sequence_length_cuts_and_pads(one):
    layer = BytePairTokenizer(one.vocabulary, sequence_length=4)
    expected = [(row + [one.eos_id] * 4)[:4] for row in plain(one, STRINGS)]
    found = layer(tf.constant(STRINGS))
    assert found.numpy().tolist() == expected
    assert layer(STRINGS[0]).shape == (4,)
    padded = BytePairTokenizer(one.vocabulary, sequence_length=90, pad_id=-1)(
        STRINGS
    )
    assert padded.shape == (len(STRINGS), 90)
    texts = one.detokenize(padded).numpy().tolist()
    assert texts == [text.encode() for text in STRINGS]


def test_it_maps_a_dataset(one):
    data = tf.data.Dataset.from_tensor_slices(STRINGS)
    expected = plain(one, STRINGS)
    assert [row.numpy().tolist() for row in data.map(one)] == expected
    batches = list(data.batch(2).map(one))
    assert [row for batch in batches for row in batch.to_list()] == expected


def test_a_functional_model_on_strings_survives_keras_save(one, tmp_path):
    inputs = keras.Input((), dtype="string")
    layer = BytePairTokenizer(one.vocabulary, sequence_length=6)
    outputs = keras.layers.Embedding(700, 3)(layer(inputs))
    model = keras.Model(inputs, outputs)
    expected = model(tf.constant(STRINGS))
    assert model.output_shape == (None, 6, 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(tf.constant(STRINGS)), expected)
    found = loaded.get_layer(layer.name)
    assert found.fingerprint == one.fingerprint
    assert found.encode("the house") == one.encode("the house")


def test_a_ragged_functional_model_survives_keras_save(one, tmp_path):
    inputs = keras.Input((), dtype="string")
    model = keras.Model(inputs, one(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    ids = loaded(tf.constant(STRINGS))
    assert ids.to_list() == plain(one, STRINGS)


def test_the_config_restores_everything(one):
    layer = BytePairTokenizer(
        one.vocabulary, sequence_length=3, pad_id=5, name="words"
    )
    again = BytePairTokenizer.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.name == "words"
    assert again("a").numpy().tolist()[1:] == [5, 5]


LOAD = """
import sys
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
folder = sys.argv[1]
module = tf.saved_model.load(folder)
texts = tf.constant([bytes.fromhex(text) for text in sys.argv[2:]])
ids = module.signatures["tokenize"](texts)
back = module.signatures["roundtrip"](texts)["texts"]
print(ids["values"].numpy().tolist())
print(ids["row_splits"].numpy().tolist())
print([text.hex() for text in back.numpy()])
model = saved_model_pb2.SavedModel()
model.ParseFromString(open(folder + "/saved_model.pb", "rb").read())
graph = model.meta_graphs[0].graph_def
nodes = list(graph.node)
for function in graph.library.function:
    nodes += function.node_def
print(*sorted({node.op for node in nodes}))
print([name for name in sys.modules if name.split(".")[0] == "keras_llm"])
"""


def test_a_saved_model_needs_tensorflow_only(one, tmp_path):
    module = tf.Module()
    signature = [tf.TensorSpec([None], tf.string)]

    @tf.function(input_signature=signature)
    def tokenize(texts):
        ids = one.graph_encode(texts)
        return {"values": ids.values, "row_splits": ids.row_splits}

    @tf.function(input_signature=signature)
    def roundtrip(texts):
        ids = one.graph_encode(texts)
        return {"texts": one.graph_decode(ids)}

    signatures = {"tokenize": tokenize, "roundtrip": roundtrip}
    module.tokenize, module.roundtrip = tokenize, roundtrip
    tf.saved_model.save(module, str(tmp_path), signatures)
    strings = [text.encode() for text in STRINGS] + [b"broken \xff\xe6\x97"]
    arguments = [str(tmp_path), *(text.hex() for text in strings)]
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    values, splits, back, operations, ours = done.stdout.splitlines()
    expected = plain(one, strings)
    assert values == str([i for row in expected for i in row])
    assert splits == str(np.cumsum([0, *map(len, expected)]).tolist())
    repaired = [s.decode("utf-8", "replace").encode().hex() for s in strings]
    assert back == str(repaired)
    assert ours == "[]"
    _check_operations(set(operations.split()))
    # Each constant once, though two functions use them.
    constants = sum(c.numpy().nbytes for c in one._graph._constants.values())
    assert (tmp_path / "saved_model.pb").stat().st_size < constants + 700_000


def _check_operations(operations):
    """Fails for tables, custom operations and calls back into Python."""
    for operation in operations:
        for word in ("Table", "PyFunc", "Sentencepiece", "Regex", "Hash"):
            # The checkpoint writer of every SavedModel asks "is it s3://?".
            if operation != "StaticRegexFullMatch":
                assert word not in operation
        if "/" not in operation and ">" not in operation:
            assert hasattr(tf.raw_ops, operation), operation
        else:
            raise AssertionError(f"custom operation {operation}")


def test_what_cannot_be_encoded_is_said(one):
    with pytest.raises(InputError, match=r"shape \(1, 1\)"):
        one(tf.constant([["a"]]))
    with pytest.raises(InputError, match="sequence_length.*-1"):
        BytePairTokenizer(one.vocabulary, sequence_length=-1)
    ranks = {bytes([byte]): byte for byte in range(256)}
    ranks |= {b"xyz": 256, b"yz": 257}
    with pytest.raises(InputError, match="merge by merge.*b'xyz'"):
        BytePairTokenizer(Vocabulary(ranks))("a")


def test_a_token_no_merge_reaches_is_a_whole_word_in_the_graph():
    ranks = {bytes([byte]): byte for byte in range(256)}
    ranks |= {b"xyz": 256, b"ab": 257, b" long word": 258, b" abcdef": 259}
    ranks |= {"日本".encode(): 260}
    tokenizer = BytePairTokenizer(Vocabulary(ranks))
    strings = ["xyz xyz", "", "xyzab", " abcdef ab abcdef", "日本 日本語"]
    assert tokenizer(tf.constant(strings)).to_list() == plain(
        tokenizer, strings
    )
    assert tokenizer.encode("xyz") == [256]


def test_an_id_without_a_token_is_refused_in_the_graph(one):
    with pytest.raises(tf.errors.InvalidArgumentError):
        one.detokenize([[700]])
    with pytest.raises(tf.errors.InvalidArgumentError):
        one.detokenize([[-2]])


def test_a_vocabulary_of_bytes_alone_has_no_merges():
    ranks = {bytes([byte]): byte for byte in range(256)}
    tokenizer = BytePairTokenizer(Vocabulary(ranks))
    ids = tokenizer(tf.constant(["a rose", "", "日本"])).to_list()
    assert ids == plain(tokenizer, ["a rose", "", "日本"])
    assert ids[2] == list("日本".encode())
