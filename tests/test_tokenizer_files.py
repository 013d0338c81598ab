"""Reading and writing tokenizer files, and what is refused by name."""

import json

import pytest
import tokenizers
from hypothesis import given, settings
from tokenizer_texts import HOUSE, PATTERNS, texts

from keras_llm.errors import InputError
from keras_llm.tokenizers import HostTokenizer, Vocabulary


@pytest.fixture(scope="module", params=PATTERNS)
def saved(request, tmp_path_factory):
    """A trained tokenizer and the folder it was saved in."""
    folder = tmp_path_factory.mktemp(request.param)
    tokenizer = HostTokenizer.train([HOUSE] * 3, 600, pattern=request.param)
    tokenizer.save(folder)
    return tokenizer, folder


def test_a_saved_folder_loads_equal(saved):
    tokenizer, folder = saved
    for path in (folder, str(folder), folder / "tokenizer.json"):
        assert HostTokenizer.load(path).fingerprint == tokenizer.fingerprint


@settings(max_examples=100, deadline=None)
@given(texts)
def test_the_library_reads_it_and_gives_the_same_ids(saved, strings):
    tokenizer, folder = saved
    engine = _engine(folder)
    strings = [s.encode("utf-8", "replace").decode() for s in strings]
    found = [row.ids for row in engine.encode_batch(strings)]
    assert found == tokenizer.encode(strings, allowed_special="all")
    assert engine.decode_batch(found, skip_special_tokens=False) == strings


_ENGINES = {}


def _engine(folder):
    if folder not in _ENGINES:
        path = str(folder / "tokenizer.json")
        _ENGINES[folder] = tokenizers.Tokenizer.from_file(path)
    return _ENGINES[folder]


def test_transformers_reads_it(saved):
    transformers = pytest.importorskip("transformers")
    tokenizer, folder = saved
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    assert theirs.eos_token_id == tokenizer.eos_id
    assert theirs(HOUSE)["input_ids"] == tokenizer.encode(HOUSE)


def test_gpt2_files_load_equal(saved, tmp_path):
    tokenizer, _ = saved
    pattern = tokenizer.vocabulary.pattern
    tokenizer.save_gpt2(tmp_path)
    (tmp_path / "old").mkdir()
    old = [("vocab.json", "encoder.json"), ("merges.txt", "vocab.bpe")]
    for new_name, old_name in old:
        content = (tmp_path / new_name).read_bytes()
        (tmp_path / "old" / old_name).write_bytes(content)
    for path in (tmp_path, tmp_path / "merges.txt", tmp_path / "old"):
        found = HostTokenizer.load(path, pattern=pattern)
        assert found.encode(HOUSE) == tokenizer.encode(HOUSE)
        assert found.special_tokens == {"<|endoftext|>": 595}
        assert found.eos_id == 595


def test_rank_files_load_equal(saved, tmp_path):
    import tiktoken.load

    tokenizer, _ = saved
    path = tmp_path / "own.tiktoken"
    tokenizer.save_tiktoken(path)
    ranks = tiktoken.load.load_tiktoken_bpe(str(path))
    assert ranks == tokenizer.vocabulary.ranks
    pattern = tokenizer.vocabulary.pattern
    for place in (tmp_path, path):
        found = HostTokenizer.load(place, pattern=pattern)
        assert found.encode(HOUSE) == tokenizer.encode(HOUSE)
        assert found.vocabulary.merges == tokenizer.vocabulary.merges


def test_gpt2_itself_loads_from_both_formats(shared_data):
    files = HostTokenizer.load(shared_data / "gpt2_bpe")
    ranks = HostTokenizer.load(shared_data / "tokenizers" / "whisper_tiktoken")
    assert files.vocabulary_size == 50257
    assert files.bos_id == files.eos_id == 50256
    assert files.vocabulary.ranks == ranks.vocabulary.ranks
    text = (shared_data / "gpt2_bpe" / "vocab.bpe").read_text(encoding="utf-8")
    spelled = text.split("\n")[1:-1]
    assert len(files.vocabulary.merges) == len(spelled)


def test_specials_that_stand_anywhere_survive(tmp_path):
    ranks = {bytes([byte]): byte + 3 for byte in range(256)}
    ranks |= {b"ab": 300, b"abc": 302}
    special = {"<pad>": 0, "<s>": 2, "</s>": 400}
    ours = HostTokenizer(Vocabulary(ranks, special, "llama3", "<s>", "</s>"))
    ours.save(tmp_path)
    found = HostTokenizer.load(tmp_path)
    assert found.fingerprint == ours.fingerprint
    text = "<s>abcab</s>"
    expected = [2, 302, 300, 400]
    assert found.encode(text, allowed_special="all") == expected
    assert _engine(tmp_path).encode(text).ids == expected


def test_a_token_no_merge_reaches_is_still_a_whole_word(tmp_path):
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"xyz": 256}
    ours = HostTokenizer(Vocabulary(ranks))
    ours.save(tmp_path)
    found = HostTokenizer.load(tmp_path)
    assert found.encode("xyz xyz") == [256, *b" xyz"]
    assert _engine(tmp_path).encode("xyz xyz").ids == found.encode("xyz xyz")
    with pytest.raises(InputError, match="merge by merge"):
        ours.save_gpt2(tmp_path / "gpt2")
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["model"]["ignore_merges"] = False
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert HostTokenizer.load(tmp_path).encode("xyz") == [*b"xyz"]


def test_merges_listed_in_every_way_load_equal(tmp_path):
    """Files converted from rank files list all splits of each token."""
    ours = HostTokenizer.train([HOUSE] * 3, 500)
    ours.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    vocab, merges = content["model"]["vocab"], []
    for token in sorted(vocab, key=vocab.__getitem__):
        cuts = ((token[:i], token[i:]) for i in range(1, len(token)))
        merges += [cut for cut in cuts if cut[0] in vocab and cut[1] in vocab]
    assert len(merges) > len(content["model"]["merges"])
    content["model"]["merges"] = merges
    path.write_text(json.dumps(content), encoding="utf-8")
    assert HostTokenizer.load(tmp_path).fingerprint == ours.fingerprint
    engine = tokenizers.Tokenizer.from_file(str(path))
    assert engine.encode(HOUSE).ids == ours.encode(HOUSE)


DIGITS_AND_SPACES = {
    "type": "Sequence",
    "pretokenizers": [
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True},
    ],
}


def _edit(content, path, value):
    for key in path[:-1]:
        content = content[key]
    content[path[-1]] = value


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("normalizer",), {"type": "NFKC"}, "no normalizer but NFC.*NFKC"),
        (("model", "type"), "WordPiece", "WordPiece"),
        (("model", "dropout"), 0.1, "dropout"),
        (("model", "byte_fallback"), True, "byte_fallback"),
        (("model", "end_of_word_suffix"), "</w>", "</w>"),
        (("pre_tokenizer",), None, "ByteLevel"),
        (("pre_tokenizer",), {"type": "Metaspace"}, "Metaspace"),
        (("pre_tokenizer",), DIGITS_AND_SPACES, "no space before each"),
        (
            ("post_processor",),
            {"type": "BertProcessing"},
            "post_processor.*BertProcessing",
        ),
        (("added_tokens", 0, "single_word"), True, "a word of its own"),
        (("model", "vocab", "日"), 9999, "日"),
        (("model", "vocab", "aa"), 3, "different id"),
        (("model", "merges"), [], "a merge for each token"),
        (("model", "merges", 0), ["a", "Q"], "order of their ids"),
    ],
)
def test_what_would_change_the_ids_is_refused_by_name(
    tmp_path, where, value, message
):
    HostTokenizer.train([HOUSE] * 3, 300).save(tmp_path)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    _edit(content, where, value)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        HostTokenizer.load(tmp_path)


def test_an_unknown_split_expression_is_refused(tmp_path):
    HostTokenizer.train([HOUSE], 300, pattern="llama3").save(tmp_path)
    path = tmp_path / "tokenizer.json"
    text = path.read_text(encoding="utf-8").replace("{1,3}", "{1,4}")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="split rule"):
        HostTokenizer.load(tmp_path)
    assert HostTokenizer.load(tmp_path, pattern="gpt4").encode("a") == [97]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", "{", "Expected JSON in"),
        ("tokenizer.json", "[1]", "an object"),
        ("tokenizer.json", "{}", "KeyError"),
        ("x.tiktoken", "YQ== one", "x.tiktoken"),
        ("x.tiktoken", "YQ== 1", "256 bytes"),
        ("notes.txt", "hello", "notes.txt"),
    ],
)
def test_a_file_that_is_no_tokenizer_is_refused(
    tmp_path, name, content, message
):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        HostTokenizer.load(tmp_path / name)


@pytest.mark.parametrize("content", ["[1]", "{x"])
def test_a_damaged_config_beside_it_is_refused(tmp_path, content):
    HostTokenizer.train([HOUSE], 300).save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(content)
    with pytest.raises(InputError, match="tokenizer_config.json"):
        HostTokenizer.load(tmp_path)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        HostTokenizer.load(tmp_path / "nowhere")
    (tmp_path / "a.txt").touch()
    with pytest.raises(FileNotFoundError, match="a.txt"):
        HostTokenizer.load(tmp_path)
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="merges.txt"):
        HostTokenizer.load(tmp_path)
