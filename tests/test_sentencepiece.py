"""SentencePiece: ids and texts of `sentencepiece` and of `tokenizers`."""

import json
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_texts import HOUSE, broken_texts, real_texts, texts
from tokenizers import Tokenizer

pytest.importorskip("sentencepiece")
pytest.importorskip("tensorflow_text")

from piece_models import KINDS, edited, engine, proto, reference

from keras_llm import CausalLM, DecoderConfig, build_decoder, export
from keras_llm.errors import InputError
from keras_llm.tokenizers import SentencePieceTokenizer, load, load_host
from keras_llm.tokenizers.piece_model import PieceModel

MODELS = {
    "bpe": proto(),
    "gemma": proto(
        add_dummy_prefix=False, user_defined_symbols=("\n\n", "▁▁", "<h1>")
    ),
    "unigram": proto("unigram", 300),
}
BITS = (
    *("<s>", "</s>", "<|user|>", "<|end|>", "[INST]", "<think>", "\n\n"),
    *("▁▁", " ", "  ", "a", " house", "\n", "é", "🙂", "▁", "x<s>", "<0x41>"),
    *("<start_of_turn>", "<h1>", "<unk>", "日本"),
)
pieces_of_text = st.lists(
    st.lists(st.sampled_from(BITS), max_size=8).map("".join), max_size=12
)


def clean(strings):
    return [s.encode("utf-8", "replace").decode() for s in strings]


def plain(tokenizer, strings):
    return tokenizer.encode(strings, disallowed_special=())


@pytest.fixture(scope="module", params=MODELS)
def model(request, tmp_path_factory):
    """A tokenizer read from a `.model`, and the reference."""
    path = tmp_path_factory.mktemp(request.param) / "tokenizer.model"
    path.write_bytes(MODELS[request.param])
    return load(path), reference(MODELS[request.param])


@pytest.fixture(scope="module")
def graph_ids(model):
    signature = [tf.TensorSpec([None], tf.string)]
    encode = tf.function(model[0].graph_encode, input_signature=signature)
    return lambda strings: encode(
        tf.constant(strings, tf.string, [len(strings)])
    ).to_list()


@settings(max_examples=60, deadline=None)
@given(texts)
def test_ids_equal_sentencepiece(model, graph_ids, strings):
    tokenizer, theirs = model
    strings = clean([*strings, HOUSE])
    expected = theirs.encode(strings)
    assert plain(tokenizer, strings) == expected
    same(graph_ids(strings), expected, theirs)


@settings(max_examples=60, deadline=None)
@given(broken_texts)
def test_ids_of_broken_utf8_equal_the_host(model, graph_ids, strings):
    tokenizer, theirs = model
    same(graph_ids(strings), plain(tokenizer, strings), theirs)


def same(found, expected, theirs):
    """Fails unless ids are equal, or two ways to cut are as likely.

    Where a unigram model finds two ways with the same score, tensorflow-text,
    which has an older SentencePiece inside, takes the other one.
    """
    assert len(found) == len(expected)
    for ours, others in zip(found, expected, strict=True):
        if ours != others:
            assert theirs.decode(ours) == theirs.decode(others)
            scores = (sum(map(theirs.get_score, r)) for r in (ours, others))
            assert np.isclose(*scores, rtol=1e-6)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_ids_decode_as_sentencepiece_does(model, data):
    tokenizer, theirs = model
    # Control tokens aside, which we show and it does not.
    ids = st.integers(3, tokenizer.vocabulary_size - 1) | st.integers(3, 258)
    rows = data.draw(st.lists(st.lists(ids, max_size=12), min_size=1))
    expected = [theirs.decode(row) for row in rows]
    assert [tokenizer.decode(row) for row in rows] == expected
    found = tokenizer.detokenize(rows).numpy()
    assert [text.decode() for text in found] == expected
    decoder = tokenizer.incremental_decoder()
    streamed = [
        "".join(map(decoder.push, row)) + decoder.flush() for row in rows
    ]
    assert streamed == expected


def test_control_tokens_are_special(model):
    tokenizer, theirs = model
    assert tokenizer.special_tokens == {"<s>": 1, "</s>": 2}
    assert (tokenizer.bos_id, tokenizer.eos_id) == (1, 2)
    ids = [1, *theirs.encode("house"), 2]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "house"
    assert tokenizer.decode(ids).startswith("<s>")


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory):
    """A `tokenizer.json` as `tokenizers` has it, and as we load it."""
    theirs = engine(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    theirs.save(str(folder / "tokenizer.json"))
    return theirs, load(folder)


def _ids(theirs, strings):
    rows = theirs.encode_batch(strings, add_special_tokens=False)
    return [row.ids for row in rows]


def check(theirs, tokenizer, strings):
    """Compares ids and texts, on the host and in the graph."""
    expected = _ids(theirs, strings)
    assert tokenizer.encode(strings, allowed_special="all") == expected
    shown = theirs.decode_batch(expected, skip_special_tokens=False)
    assert [tokenizer.decode(row) for row in expected] == shown
    found = tokenizer.detokenize(expected).numpy()
    assert [text.decode() for text in found] == shown
    theirs.encode_special_tokens = True
    expected = _ids(theirs, strings)
    theirs.encode_special_tokens = False
    assert plain(tokenizer, strings) == expected
    assert tokenizer(tf.constant(strings)).to_list() == expected


@settings(max_examples=25, deadline=None)
@given(pieces_of_text, texts)
def test_a_tokenizer_json_gives_the_ids_of_the_library(pair, one, two):
    theirs, tokenizer = pair
    assert isinstance(tokenizer, SentencePieceTokenizer)
    check(theirs, tokenizer, clean([*one, *two, HOUSE, "", " "]))


def test_what_starts_a_text_is_what_the_library_adds(pair):
    theirs, tokenizer = pair
    ids = [tokenizer.bos_id, *tokenizer.encode("a house")]
    assert theirs.encode("a house").ids == ids


def test_what_is_saved_loads_equal(pair, tmp_path):
    _, tokenizer = pair
    tokenizer.save(tmp_path)
    for again in (load(tmp_path), load_host(tmp_path)):
        assert again.fingerprint == tokenizer.fingerprint
        assert plain(again, [HOUSE]) == plain(tokenizer, [HOUSE])


def test_a_saved_model_file_is_one_that_sentencepiece_reads(pair, tmp_path):
    _, tokenizer = pair
    tokenizer.save(tmp_path)
    theirs = reference((tmp_path / "tokenizer.model").read_bytes())
    text = "the little house"
    assert theirs.encode(text) == tokenizer.encode(text)


def test_a_config_beside_a_model_is_heeded(tmp_path):
    data = proto(user_defined_symbols=("<start_of_turn>", "<b>"))
    (tmp_path / "tokenizer.model").write_bytes(data)
    turn = reference(data).piece_to_id("<start_of_turn>")
    size = reference(data).get_piece_size()
    told = {
        str(turn): {"content": "<start_of_turn>", "special": True},
        str(size): {"content": "<|user|>", "special": True, "rstrip": True},
        str(size + 3): {"content": "<think>", "special": False},
    }
    config = {"added_tokens_decoder": told, "add_bos_token": False}
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(config))
    found = load(tmp_path)
    assert found.bos_id is None and found.eos_id == 2
    special = {"<s>": 1, "</s>": 2, "<start_of_turn>": turn, "<|user|>": size}
    assert found.special_tokens == special
    assert found.vocabulary_size == size + 4
    assert not found.has_token(size + 1)
    text = "<start_of_turn>a<|user|>  <b><think>"
    ids = found.encode(text, allowed_special="all")
    assert ids[0] == turn and size in ids and ids[-1] == size + 3
    assert turn not in plain(found, text) and size + 3 in plain(found, text)
    assert found(tf.constant([text])).to_list() == [plain(found, text)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalizer": {"type": "NFKC"}}, "no pre_tokenizer.*Split"),
        (
            {"normalizer": {"type": "NFKC"}, "pre_tokenizer": None},
            "▁.*NFKC",
        ),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "Metaspace.*Whitespace"),
        ({"model": {"type": "Unigram", "vocab": []}}, "a .model file"),
    ],
)
def test_what_would_change_the_ids_is_refused_by_name(
    tmp_path, changes, message
):
    content = json.dumps(edited("gemma", **changes))
    (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load(tmp_path)


def test_merges_count_in_their_order_whatever_the_ids(tmp_path):
    content = edited("llama2")
    merges = content["model"]["merges"]
    content["model"]["merges"] = [*merges[50:], *merges[:50]]
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    check(Tokenizer.from_file(str(path)), load(path), [HOUSE, "house"])


def test_merges_that_sentencepiece_would_do_otherwise_are_refused(tmp_path):
    content = edited("llama2")
    vocabulary = content["model"]["vocab"]
    for text in ("qx", "xz", "qxz", "q", "x", "z"):
        vocabulary.setdefault(text, len(vocabulary))
    content["model"]["merges"] = [["q", "x"], ["x", "z"], ["q", "xz"]]
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match="a merge for each.*qx.*z"):
        load(path)


def test_a_damaged_model_is_a_sentence(tmp_path):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(b"no protocol buffer")
    with pytest.raises(InputError, match="SentencePiece model"):
        load(path)


@pytest.mark.parametrize("package", ["sentencepiece", "tensorflow_text"])
def test_a_missing_extra_is_a_sentence(monkeypatch, package):
    tokenizer = SentencePieceTokenizer(PieceModel(proto()))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=r"pip install 'keras_llm\[text\]'"):
        tokenizer.encode("a")
        tokenizer("a")


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    path = tmp_path_factory.mktemp("lm") / "tokenizer.model"
    path.write_bytes(proto())
    tokenizer = load(path)
    config = DecoderConfig(
        vocabulary_size=tokenizer.vocabulary_size,
        context_length=64,
        num_layers=1,
        hidden_dim=16,
        num_heads=2,
    )
    return CausalLM(build_decoder(config, "float32"), tokenizer)


def test_a_language_model_saves_and_streams(lm, tmp_path):
    lm.save(tmp_path / "lm")
    again = CausalLM.load(tmp_path / "lm")
    text = lm.generate("The house", max_new_tokens=12)
    assert again.generate("The house", max_new_tokens=12) == text
    assert "".join(again.stream("The house", max_new_tokens=12)) == text


def test_a_saved_model_takes_and_gives_text(lm, tmp_path):
    report = export.saved_model(lm, tmp_path, max_new_tokens=8)
    assert report.equal
    assert {"SentencepieceOp", "SentencepieceTokenizeOp"} <= {
        *report.operations
    }
    run = tf.saved_model.load(report.path).signatures["serving_default"]
    found = run(prompt=tf.constant(["the little house", ""]))["text"].numpy()
    texts = lm.generate(["the little house", ""], max_new_tokens=8)
    assert [text.decode() for text in found] == texts


def test_a_bundle_for_litert_gives_the_same_text(lm, tmp_path):
    pytest.importorskip("litert_lm")
    report = export.litert(lm, tmp_path / "lm.litertlm")
    assert report.runtime_equal


def _mistral(shared_data):
    path = shared_data / "tokenizers" / "mistral" / "tokenizer.model.v1"
    return load(path), reference(path.read_bytes())


def _check_real(tokenizer, theirs, strings, exact=True):
    for start in range(0, len(strings), 250):
        batch = strings[start : start + 250]
        expected = theirs.encode(batch)
        assert plain(tokenizer, batch) == expected
        shown = [theirs.decode(row) for row in expected]
        assert [tokenizer.decode(row) for row in expected] == shown
        found = tokenizer(tf.constant(batch)).to_list()
        if exact:
            assert found == expected
        same(found, expected, theirs)


def test_mistral_on_a_sample_of_all_texts(shared_data):
    strings = list(real_texts(shared_data, every=120))
    _check_real(*_mistral(shared_data), strings)


@pytest.mark.long
def test_mistral_on_all_texts(shared_data):
    strings = list(real_texts(shared_data, every=1))
    _check_real(*_mistral(shared_data), strings)


@pytest.mark.long
@pytest.mark.parametrize("name", ["test_model", "test_ja_model"])
def test_unigram_models_on_all_texts(shared_data, name):
    folder = shared_data / "tokenizers" / "sentencepiece_test"
    path = folder / f"{name}.model"
    strings = list(real_texts(shared_data, every=1))
    _check_real(load(path), reference(path.read_bytes()), strings, exact=False)
