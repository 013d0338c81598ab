"""WordPiece: ids and texts of `tokenizers`' BertWordPieceTokenizer."""

import json

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_texts import HOUSE, broken_texts, real_texts, texts
from tokenizers import AddedToken, BertWordPieceTokenizer, Tokenizer

pytest.importorskip("tensorflow_text")

from keras_llm.errors import InputError
from keras_llm.tokenizers import WordPieceTokenizer, load, load_host

STRINGS = [
    *(HOUSE, "", " ", "[CLS] don't do not stop . [SEP]", "日本の家"),
    *("x" * 100, "x" * 101, "é" * 100, "é" * 101, "İstanbul ẞ Ω\u0301 \u037e"),
    *("a\x00b\u200dc\ufffd\tu\u00a0v", "##ing # # 's 're n't , ! [UNK]"),
]
KINDS = {
    "lower": {},
    "cased": {"lowercase": False},
    "bare": {"clean_text": False, "handle_chinese_chars": False},
    "accents": {"strip_accents": False},
}


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory):
    """A tokenizer as the library has it, and as we load it."""
    theirs = BertWordPieceTokenizer(**KINDS[request.param])
    theirs.train_from_iterator([HOUSE] * 3, vocab_size=600, show_progress=False)
    folder = tmp_path_factory.mktemp(request.param)
    theirs.save(str(folder / "tokenizer.json"))
    library = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return library, load(folder)


def _ids(library, strings, plain=False):
    library.encode_special_tokens = plain
    rows = library.encode_batch(strings, add_special_tokens=False)
    return [row.ids for row in rows]


def check(library, tokenizer, strings):
    expected = _ids(library, strings)
    assert tokenizer.encode(strings, allowed_special="all") == expected
    for skip in (False, True):
        shown = library.decode_batch(expected, skip_special_tokens=skip)
        assert [tokenizer.decode(row, skip) for row in expected] == shown
        found = tokenizer.detokenize(expected, skip).numpy()
        assert [text.decode() for text in found] == shown
    expected = _ids(library, strings, plain=True)
    assert tokenizer.encode(strings, disallowed_special=()) == expected
    assert tokenizer(tf.constant(strings)).to_list() == expected


def test_ids_and_texts_equal_the_library(pair):
    check(*pair, STRINGS)


@settings(max_examples=40, deadline=None)
@given(texts)
def test_ids_of_adversarial_texts_equal_the_library(pair, strings):
    strings = [s.encode("utf-8", "replace").decode() for s in strings]
    check(*pair, [*strings, "house"])


@settings(max_examples=40, deadline=None)
@given(broken_texts)
def test_ids_of_broken_utf8_equal_the_host(pair, strings):
    _, tokenizer = pair
    expected = tokenizer.encode(strings, disallowed_special=())
    batch = tf.constant(strings, tf.string, [len(strings)])
    assert tokenizer(batch).to_list() == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=20))
def test_any_ids_decode_as_the_library_does(pair, ids):
    library, tokenizer = pair
    expected = library.decode(ids, skip_special_tokens=False)
    assert tokenizer.decode(ids) == expected
    assert tokenizer.detokenize([ids]).numpy()[0].decode() == expected
    decoder = tokenizer.incremental_decoder()
    assert "".join(map(decoder.push, ids)) + decoder.flush() == expected


def test_a_list_of_words_loads_equal(pair, tmp_path):
    library, tokenizer = pair
    words = sorted(library.get_vocab(), key=library.token_to_id)
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    config = {
        "do_lower_case": tokenizer.words.lowercase,
        "strip_accents": tokenizer.words.strip_accents,
        "tokenize_chinese_chars": tokenizer.words.handle_chinese_chars,
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    found = load_host(tmp_path)
    if tokenizer.words.clean_text:
        assert found.encode(HOUSE) == tokenizer.encode(HOUSE)
    assert found.special_tokens == tokenizer.special_tokens
    assert found.bos_id == found.special_tokens["[CLS]"]
    assert found.eos_id == found.special_tokens["[SEP]"]


def test_added_tokens_are_those_of_the_library(tmp_path):
    theirs = BertWordPieceTokenizer()
    theirs.train_from_iterator([HOUSE], vocab_size=400, show_progress=False)
    theirs.add_tokens([AddedToken("Straße", normalized=True), "<Raw>"])
    theirs.add_special_tokens([AddedToken("<x>", lstrip=True, rstrip=True)])
    theirs.save(str(tmp_path / "tokenizer.json"))
    library = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    tokenizer = load(tmp_path)
    strings = ["Die STRASSE, straße <raw><Raw> a <x>  b [MASK]!", HOUSE]
    check(library, tokenizer, strings)
    tokenizer.save(tmp_path / "again")
    again = load(tmp_path / "again")
    assert again.fingerprint == tokenizer.fingerprint
    check(library, again, strings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normalizer": {"type": "NFC"}}, "BertNormalizer.*NFC"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "BertPre.*Whitespace"),
    ],
)
def test_what_would_change_the_ids_is_refused_by_name(
    pair, tmp_path, change, message
):
    content = {**json.loads(pair[0].to_str()), **change}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        load(tmp_path)


def test_a_vocabulary_without_an_unknown_token_is_refused(tmp_path):
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(InputError, match=r"\[UNK\]"):
        WordPieceTokenizer.load(tmp_path)


def _check_real(pair, shared_data, every):
    strings = list(real_texts(shared_data, every))
    library, tokenizer = pair
    for start in range(0, len(strings), 250):
        batch = strings[start : start + 250]
        expected = _ids(library, batch, plain=True)
        assert tokenizer.encode(batch, disallowed_special=()) == expected
        assert tokenizer(tf.constant(batch)).to_list() == expected


def test_a_sample_of_all_texts(pair, shared_data):
    _check_real(pair, shared_data, every=600)


@pytest.mark.long
def test_all_texts(pair, shared_data):
    _check_real(pair, shared_data, every=1)
