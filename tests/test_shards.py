"""Token shards: the same bytes twice, damage found and named."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from keras_llm.data import Document, curate, open_rows, pack, pack_corpus
from keras_llm.errors import InputError
from keras_llm.files import sha256_of


class Bytes:
    """A stand-in tokenizer: one id per byte, 256 begins and ends a text."""

    vocabulary_size = 257
    fingerprint = "b" * 64
    bos_id = eos_id = 256

    def encode(self, texts, allowed_special=(), disallowed_special="all"):
        if disallowed_special != () and "<|" in "".join(texts):
            raise InputError("special token in text")
        return [list(text.encode()) for text in texts]


class Wide(Bytes):
    """The same with ids that need 32 bits."""

    vocabulary_size = 100_000
    bos_id = eos_id = 99_999


def documents(number=30):
    return [
        Document(f"Text {n} <|endoftext|> é. " * (n % 7 + 1), f"{n}")
        for n in range(number)
    ]


def plain_rows(row_length=33, texts=None):
    """The rows of the same documents straight from `pack`."""
    texts = texts or [document.text for document in documents()]
    ids = Bytes().encode(texts, disallowed_special=())
    tokens, segments = zip(*pack(ids, row_length, 256, 256), strict=True)
    return {"tokens": np.stack(tokens), "segments": np.stack(segments)}


@pytest.fixture
def packed(tmp_path):
    """A folder of rows in several shards."""
    folder = tmp_path / "rows"
    pack_corpus(documents(), Bytes(), folder, context_length=32, shard_rows=7)
    return folder


def test_rows_on_disk_equal_the_packed_rows(packed):
    rows, expected = open_rows(packed), plain_rows()
    assert len(rows) == len(expected["tokens"]) > 14
    assert len(rows.info.shards) == -(-len(rows) // 7)
    for name, values in rows[:].items():
        np.testing.assert_array_equal(values, expected[name])
        assert values.dtype == np.int32
    some = np.array([len(rows) - 1, 0, 8, 0])
    np.testing.assert_array_equal(
        rows[some]["tokens"], expected["tokens"][some]
    )
    assert rows[3]["segments"].shape == (1, 33)
    rows.verify()


def test_real_tokenizer_reads_special_tokens_as_text(tmp_path):
    from keras_llm.tokenizers import HostTokenizer

    texts = [document.text for document in documents()]
    tokenizer = HostTokenizer.train(texts, 300, progress=False)
    pack_corpus(documents(), tokenizer, tmp_path, context_length=500)
    rows = open_rows(tmp_path)
    rows.require(tokenizer)
    packed = rows[:]
    received = [
        tokenizer.decode(tokens[segments == segment].tolist()[1:-1])
        for tokens, segments in zip(*packed.values(), strict=True)
        for segment in range(1, segments.max() + 1)
    ]
    assert sorted(received) == sorted(texts)
    eos = np.isin(packed["tokens"], [tokenizer.eos_id]).sum()
    assert eos == 2 * len(texts)


@pytest.mark.parametrize("index", [-1, 10_000, [0, 10_000]])
def test_index_out_of_range(packed, index):
    with pytest.raises(IndexError, match="row indices"):
        open_rows(packed)[index]


def test_manifest_says_how_it_was_made(packed):
    content = json.loads((packed / "manifest.json").read_text())
    split = content["splits"]["train"]
    texts = [document.text for document in documents()]
    size = sum(len(text.encode()) for text in texts)
    assert split["text_bytes"] == size
    assert split["tokens"] == size + 2 * len(texts)
    assert split["documents"] == len(texts)
    assert content["token_dtype"] == "<u2"
    assert content["tokenizer"] == Bytes.fingerprint
    assert (content["bos_id"], content["eos_id"]) == (256, 256)
    shard = split["shards"][0]
    data = (packed / shard["tokens"]).read_bytes()
    assert shard["tokens_sha256"] == hashlib.sha256(data).hexdigest()
    flat = np.frombuffer(data, "<u2").reshape(-1, 33)
    np.testing.assert_array_equal(flat, plain_rows()["tokens"][:7])


def test_wide_vocabulary_takes_32_bits(tmp_path):
    manifest = pack_corpus(documents(), Wide(), tmp_path, context_length=600)
    assert (manifest.token_dtype, manifest.segment_dtype) == ("<u4", "<u2")
    assert open_rows(tmp_path)[0]["tokens"][0, 0] == 99_999


def test_curated_folder_gives_two_splits(tmp_path):
    curate(documents(), tmp_path / "corpus", heldout=0.3, steps=[])
    for name in ("one", "two", "two"):
        manifest = pack_corpus(
            tmp_path / "corpus", Bytes(), tmp_path / name, 64
        )
    splits = manifest.splits
    assert sum(split.documents for split in splits.values()) == 30
    heldout = open_rows(tmp_path / "one", "heldout")
    assert len(heldout) == splits["heldout"].rows > 0
    assert heldout.fingerprint != open_rows(tmp_path / "one").fingerprint
    corpus = sha256_of(tmp_path / "corpus" / "heldout.jsonl")
    assert manifest.recipe["corpus"]["heldout"] == corpus
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_wrong_tokenizer(packed):
    rows = open_rows(packed)
    rows.require(Bytes())
    other = Bytes()
    other.fingerprint = "c" * 64
    with pytest.raises(InputError, match=f"{'b' * 64}.*{'c' * 64}"):
        rows.require(other)


def test_missing_folder_and_split(packed, tmp_path):
    with pytest.raises(InputError, match="no manifest.json"):
        open_rows(tmp_path / "none")
    with pytest.raises(InputError, match=r"\['train'\].*'heldout'"):
        open_rows(packed, "heldout")


def test_missing_and_cut_shards_are_named(packed):
    path = packed / "train-00001.bin"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(InputError, match=f"train-00001.bin.*{len(data) - 1}"):
        open_rows(packed)
    path.unlink()
    with pytest.raises(InputError, match="train-00001.bin.*no such file"):
        open_rows(packed)


def test_flipped_byte_is_found_by_verify(packed):
    path = packed / "train-00002.segments.bin"
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="train-00002.segments.bin"):
        open_rows(packed).verify()


@pytest.mark.parametrize(
    "change, words",
    [
        ({"version": 2}, "another format or version"),
        ({"format": "other"}, "another format or version"),
        ({"colour": "red"}, r"unknown keys \['colour'\]"),
        ({"recipe": ...}, r"lacks \['recipe'\]"),
        ({"splits": {"train": {"rows": 3}}}, "lacks"),
    ],
)
def test_manifest_is_refused_when_not_understood(packed, change, words):
    path = packed / "manifest.json"
    content = json.loads(path.read_text()) | change
    content = {k: v for k, v in content.items() if v is not ...}
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"manifest.json.*{words}"):
        open_rows(packed)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_damaged_manifest(packed, content):
    (packed / "manifest.json").write_text(content)
    with pytest.raises(InputError, match="manifest.json"):
        open_rows(packed)


def test_bad_corpora(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match="Run curate first"):
        pack_corpus(tmp_path, Bytes(), out, 32)
    with pytest.raises(InputError, match="two tokens"):
        pack_corpus([], Bytes(), out, 32)
    with pytest.raises(InputError, match="context_length=0"):
        pack_corpus(documents(), Bytes(), out, 0)
    liar = Bytes()
    liar.vocabulary_size = 100
    with pytest.raises(InputError, match="from 0 to 99"):
        pack_corpus(documents(), liar, out, 32)
    assert not out.exists()


def test_failure_leaves_the_previous_rows(packed):
    before = open_rows(packed).fingerprint

    def failing():
        yield from documents()
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        pack_corpus(failing(), Bytes(), packed, 16)
    assert open_rows(packed).fingerprint == before
    assert [path.name for path in packed.parent.iterdir()] == ["rows"]


KILLED = """
import os, sys
from test_shards import Bytes, documents
from keras_llm.data import pack_corpus

def killed():
    yield from documents(1000)
    os._exit(9)

pack_corpus(killed(), Bytes(), sys.argv[1], 16)
"""


def test_kill_leaves_the_previous_rows(packed, request):
    before = open_rows(packed).fingerprint
    result = subprocess.run(
        [sys.executable, "-c", KILLED, packed],
        cwd=request.path.parent,
        capture_output=True,
        check=False,
    )
    assert result.returncode == 9, result.stderr
    rows = open_rows(packed)
    rows.verify()
    assert rows.fingerprint == before
