"""What every tokenizer does, whatever its algorithm: one interface."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tokenizer_texts import HOUSE
from tokenizers import BertWordPieceTokenizer

pytest.importorskip("sentencepiece")
pytest.importorskip("tensorflow_text")

from piece_models import proto

from keras_llm.errors import InputError
from keras_llm.tokenizers import (
    BytePairTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
    TokenizerLayer,
    WordPieceTokenizer,
    load,
    load_host,
)

TEXTS = ["the little house", "", "it's 3.50 Häuschen 🙂", "日本  two"]


def byte_pair(folder):
    BytePairTokenizer.train([HOUSE] * 3, 600, progress=False).save(folder)
    return load(folder), "<|end|>"


def sentence_piece(folder):
    (folder / "tokenizer.model").write_bytes(proto())
    return load(folder), "</s>"


def word_piece(folder):
    theirs = BertWordPieceTokenizer()
    theirs.train_from_iterator([HOUSE] * 3, show_progress=False)
    theirs.save(str(folder / "tokenizer.json"))
    return load(folder), "[SEP]"


KINDS = {
    BytePairTokenizer: byte_pair,
    SentencePieceTokenizer: sentence_piece,
    WordPieceTokenizer: word_piece,
}


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.__name__)
def found(request, tmp_path_factory):
    """A tokenizer, one of its special tokens, and the folder it is from."""
    folder = tmp_path_factory.mktemp(request.param.__name__)
    tokenizer, special = KINDS[request.param](folder)
    assert type(tokenizer) is request.param
    return tokenizer, special, folder


@pytest.fixture
def tokenizer(found):
    return found[0]


@pytest.fixture
def special(found):
    return found[1]


def test_all_have_the_same_interface():
    shared = {n for n in dir(TokenizerLayer) if not n.startswith("_")}
    own = {
        BytePairTokenizer: {
            *("train", "load", "vocabulary", "save_gpt2", "save_tiktoken"),
        },
        SentencePieceTokenizer: {"load", "read"},
        WordPieceTokenizer: {"load"},
    }
    for kind, extra in own.items():
        names = {n for n in dir(kind) if not n.startswith("_")}
        assert names - shared == extra
        assert issubclass(kind, Tokenizer)


def test_ids_are_known_and_the_special_ones_are_named(tokenizer, special):
    assert tokenizer.has_token(tokenizer.special_tokens[special])
    assert not tokenizer.has_token(-1)
    assert not tokenizer.has_token(tokenizer.vocabulary_size)
    for role in (tokenizer.bos_id, tokenizer.eos_id):
        assert role in tokenizer.special_tokens.values()
    ids = np.arange(-2, tokenizer.vocabulary_size + 2)
    expected = [tokenizer.has_token(i) for i in ids]
    assert tokenizer.graph_has_token(tf.constant(ids)).numpy().tolist() == (
        expected
    )


def test_one_text_and_a_list_of_texts(tokenizer):
    rows = tokenizer.encode(TEXTS)
    assert rows == [tokenizer.encode(text) for text in TEXTS]
    assert rows == [tokenizer.encode(text.encode()) for text in TEXTS]
    assert tokenizer.encode([]) == [] and rows[1] == []
    texts = [tokenizer.decode(row) for row in rows]
    assert tokenizer.encode(texts, allowed_special="all") == rows
    assert [tokenizer.decode_bytes(row).decode() for row in rows] == texts


def test_broken_text_is_replaced(tokenizer):
    expected = tokenizer.encode("a\ufffdb")
    assert tokenizer.encode(b"a\xffb") == expected
    assert tokenizer.encode("a\ud800b") == expected
    with pytest.raises(InputError, match="int"):
        tokenizer.encode([1])


def test_special_tokens_in_text_are_refused_unless_allowed(tokenizer, special):
    text, number = f"house{special}", tokenizer.special_tokens[special]
    with pytest.raises(InputError, match="at character 5"):
        tokenizer.encode(text)
    plain = tokenizer.encode(text, disallowed_special=())
    allowed = tokenizer.encode(text, allowed_special={special})
    assert number not in plain
    assert allowed == [*tokenizer.encode("house"), number]
    assert tokenizer(tf.constant([text])).to_list() == [plain]
    for decode in (tokenizer.decode, _graph_decode(tokenizer)):
        assert decode(allowed).endswith(special)
        assert decode(allowed, True) == "house"
    with pytest.raises(InputError, match="<nope>"):
        tokenizer.encode("a", allowed_special={"<nope>"})


def _graph_decode(tokenizer):
    return lambda ids, skip=False: (
        tokenizer.detokenize([ids], skip).numpy()[0].decode()
    )


def test_an_id_without_a_token_is_refused(tokenizer):
    size = tokenizer.vocabulary_size
    for wrong in (-1, size):
        with pytest.raises(InputError, match=f"0 to {size - 1}.*{wrong}"):
            tokenizer.decode([0, wrong])
    with pytest.raises(tf.errors.InvalidArgumentError):
        tokenizer.detokenize([[size]])


def test_the_stream_is_the_text(tokenizer):
    for row in tokenizer.encode(TEXTS):
        decoder = tokenizer.incremental_decoder()
        for _ in range(2):  # flush starts anew
            pieces = [decoder.push(token) for token in row]
            assert "".join(pieces) + decoder.flush() == tokenizer.decode(row)


def test_the_graph_gives_the_same(tokenizer):
    rows = tokenizer.encode(TEXTS)
    ids = tokenizer(tf.constant(TEXTS))
    assert isinstance(ids, tf.RaggedTensor) and ids.dtype == tf.int32
    assert ids.to_list() == rows
    assert tokenizer(TEXTS[0]).numpy().tolist() == rows[0]
    texts = [tokenizer.decode(row) for row in rows]
    for form in (ids, ids.to_tensor(-1), rows):
        found = tokenizer.detokenize(form).numpy()
        assert [text.decode() for text in found] == texts
    one = tokenizer.detokenize(tf.constant(rows[0]))
    assert one.numpy().decode() == texts[0]
    empty = tf.constant([], tf.string)
    assert tokenizer(empty).to_list() == []
    keras.utils.set_random_seed(3)  # TensorFlow forgets its kernels
    assert tokenizer(tf.constant(TEXTS)).to_list() == rows


def test_it_maps_a_dataset(tokenizer):
    data = tf.data.Dataset.from_tensor_slices(TEXTS).batch(2).map(tokenizer)
    found = [row for batch in data for row in batch.to_list()]
    assert found == tokenizer.encode(TEXTS)


def test_it_is_a_layer_of_a_functional_model(tokenizer, tmp_path):
    config = tokenizer.get_config()
    layer = type(tokenizer).from_config({**config, "sequence_length": 5})
    inputs = keras.Input((), dtype="string")
    model = keras.Model(inputs, layer(inputs))
    expected = layer(tf.constant(TEXTS)).numpy()
    assert expected.shape == (4, 5)
    np.testing.assert_array_equal(model(tf.constant(TEXTS)), expected)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(tf.constant(TEXTS)), expected)


def test_what_is_saved_loads_equal(found, tmp_path):
    tokenizer, _, folder = found
    tokenizer.save(tmp_path)
    assert (tmp_path / tokenizer.main_file).is_file()
    for path in (folder, tmp_path, tmp_path / tokenizer.main_file):
        for again in (load(path), load_host(path)):
            assert again.fingerprint == tokenizer.fingerprint
            assert again.encode(TEXTS) == tokenizer.encode(TEXTS)
            assert (again.bos_id, again.eos_id) == (
                *(tokenizer.bos_id, tokenizer.eos_id),
            )


def test_special_tokens_are_added(tokenizer, tmp_path):
    size = tokenizer.vocabulary_size
    more = tokenizer.with_tokens(["<|think|>", "<|/think|>"])
    assert type(more) is type(tokenizer)
    assert tokenizer.vocabulary_size == size  # as it was
    assert more.vocabulary_size == size + 2
    assert more.special_tokens["<|/think|>"] == size + 1
    assert more.fingerprint != tokenizer.fingerprint
    text = "house<|think|>"
    ids = more.encode(text, allowed_special="all")
    assert ids == [*tokenizer.encode("house"), size]
    plain = more.encode(text, disallowed_special=())
    assert plain == tokenizer.encode(text)
    assert more(tf.constant([text])).to_list() == [plain]
    assert more.decode(ids).endswith("<|think|>")
    assert more.encode(TEXTS) == tokenizer.encode(TEXTS)
    more.save(tmp_path)
    assert load(tmp_path).fingerprint == more.fingerprint
    for wrong in (["<|think|>"], ["<a>", "<a>"], [""], "<a>"):
        with pytest.raises(InputError, match="Received"):
            more.with_tokens(wrong)


def test_tokens_of_text_are_added(tokenizer, tmp_path):
    more = tokenizer.with_tokens(["<think>", "q(x)"], special=False)
    number = tokenizer.vocabulary_size
    strings = ["house<think>", "<think><think> a q(x)", "q(x", *TEXTS]
    rows = more.encode(strings)
    assert number in rows[0] and rows[1].count(number) == 2
    assert number + 1 in rows[1] and number + 1 not in rows[2]
    assert "<think>" not in more.special_tokens
    assert more(tf.constant(strings)).to_list() == rows
    assert "q(x)" in more.decode(rows[1], skip_special_tokens=True)
    more.save(tmp_path)
    again = load(tmp_path)
    assert again.fingerprint == more.fingerprint
    assert again.encode(strings) == rows


LOAD = """
import importlib, sys
import tensorflow as tf
folder, plugins, *texts = sys.argv[1:]
for name in plugins.split():
    importlib.import_module(name)
module = tf.saved_model.load(folder)
texts = tf.constant([bytes.fromhex(text) for text in texts])
print(module.signatures["ids"](texts)["ids"].numpy().tolist())
print([name for name in sys.modules if name.split(".")[0] == "keras_llm"])
"""


def test_a_saved_model_needs_its_plugins_only(tokenizer, tmp_path):
    module = tf.Module()
    signature = [tf.TensorSpec([None], tf.string)]

    @tf.function(input_signature=signature, autograph=False)
    def ids(texts):
        return {"ids": tokenizer.graph_encode(texts).to_tensor(-1)}

    module.ids = ids
    tf.saved_model.save(module, str(tmp_path), {"ids": ids})
    arguments = [text.encode().hex() for text in TEXTS]
    plugins = " ".join(tokenizer.plugins)
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path), plugins, *arguments],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows, ours = done.stdout.splitlines()[-2:]
    assert rows == str(
        tokenizer(tf.constant(TEXTS)).to_tensor(-1).numpy().tolist()
    )
    assert ours == "[]"


def test_the_host_works_without_tensorflow(found):
    code = """
import sys
from keras_llm.tokenizers import load_host
t = load_host(sys.argv[1])
assert t.encode(t.decode(t.encode("the house"))) == t.encode("the house")
loaded = {"tensorflow", "keras", "jax", "torch"} & set(sys.modules)
sys.exit(" ".join(loaded) or None)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(found[2])],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
