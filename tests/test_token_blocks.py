"""Packing on an executor: the bytes of the serial one, whatever happens."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from keras_llm.data import Document, curate, pack_corpus
from keras_llm.errors import InputError
from keras_llm.executors import Inline
from keras_llm.tokenizers import HostTokenizer


class Pool:
    """The least that keeps the contract of executors with processes."""

    def __init__(self, workers):
        self.workers = workers

    def map(self, function, tasks, title):
        with ProcessPoolExecutor(self.workers, get_context("spawn")) as pool:
            yield from pool.map(function, tasks)


class Bytes:
    """A stand-in tokenizer: one id per byte, 256 begins and ends a text."""

    vocabulary_size = 257
    fingerprint = "b" * 64
    bos_id = eos_id = 256

    def encode(self, texts, disallowed_special="all"):
        return [list(text.encode()) for text in texts]


def documents(number=60):
    return [
        Document(f"Text {n} <|endoftext|> é. " * (n % 7) + "\r\x85\u2028", "")
        for n in range(number)
    ]


@pytest.fixture(scope="module")
def tokenizer():
    texts = [document.text for document in documents()]
    return HostTokenizer.train(texts, 300, progress=False)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A corpus folder with two splits."""
    folder = tmp_path_factory.mktemp("corpus")
    curate(documents(), folder, heldout=0.3, steps=[])
    return folder


@pytest.fixture(scope="module")
def serial(corpus, tokenizer, tmp_path_factory):
    """What packing in this process writes: name -> bytes."""
    folder = tmp_path_factory.mktemp("serial")
    pack_corpus(corpus, tokenizer, folder, 32, shard_rows=7)
    return content(folder)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("block_bytes", [1, 700, 10**9])
def test_same_bytes_for_any_block_size(
    corpus, tokenizer, serial, tmp_path, block_bytes
):
    out, work = tmp_path / "rows", tmp_path / "work"
    options = {"executor": Inline(), "block_bytes": block_bytes}
    pack_corpus(corpus, tokenizer, out, 32, 7, work=work, **options)
    assert content(out) == serial and len(serial) > 8
    # Nothing is left of the work, in a folder of ours or beside the rows.
    pack_corpus(corpus, tokenizer, out, 32, 7, **options)
    assert content(out) == serial
    assert list(tmp_path.iterdir()) == [out]


def test_same_bytes_by_two_processes(corpus, tokenizer, serial, tmp_path):
    pack_corpus(
        corpus, tokenizer, tmp_path, 32, 7, executor=Pool(2), block_bytes=700
    )
    assert content(tmp_path) == serial


def test_documents_of_any_source(tokenizer, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    pack_corpus(documents(), tokenizer, one, 32)
    stream = iter(documents())
    pack_corpus(stream, tokenizer, two, 32, executor=Inline(), block_bytes=99)
    assert content(one) == content(two)


KILLED = """
import os, pathlib, signal, sys
from test_token_blocks import Inline, HostTokenizer, pack_corpus
from keras_llm.data import token_blocks

corpus, tokenizer, out, work, blocks = sys.argv[1:]
before, done = token_blocks._encode_block, []

def killed(task):
    if len(done) == int(blocks):
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(task)
    return before(task)

token_blocks._encode_block = killed
pack_corpus(corpus, HostTokenizer.load(tokenizer), out, 32, 7,
            executor=Inline(), work=work, block_bytes=700)
"""


def test_a_killed_run_goes_on(
    corpus, tokenizer, serial, tmp_path, request, monkeypatch
):
    from keras_llm.data import token_blocks

    out, work, saved = (tmp_path / name for name in ("rows", "work", "saved"))
    tokenizer.save(saved)
    words = [corpus, saved, out, work, "5"]
    result = subprocess.run(
        [sys.executable, "-c", KILLED, *words],
        cwd=request.path.parent,
        capture_output=True,
        check=False,
    )
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert not out.exists()
    assert len(list(work.glob("train-*.done"))) == 5
    again, before = [], token_blocks._encode_block
    monkeypatch.setattr(
        token_blocks,
        "_encode_block",
        lambda task: again.append(task.name) or before(task),
    )
    options = {"executor": Inline(), "work": work, "block_bytes": 700}
    pack_corpus(corpus, tokenizer, out, 32, 7, **options)
    assert content(out) == serial
    assert "train-00004" not in again and "train-00005" in again
    assert not work.exists()


def test_a_run_that_was_killed_at_its_begin_goes_on(tokenizer, tmp_path):
    work = tmp_path / "work"
    (work / ".tmp-killed").mkdir(parents=True)
    (work / "documents.jsonl").write_text("old")
    out = tmp_path / "rows"
    options = {"executor": Inline(), "work": work}
    manifest = pack_corpus(documents(), tokenizer, out, 32, **options)
    assert manifest.splits["train"].documents == 60
    assert os.listdir(tmp_path) == ["rows"]


def test_a_failure_keeps_what_is_done(corpus, tokenizer, serial, tmp_path):
    out, work = tmp_path / "rows", tmp_path / "work"

    class Full(Inline):
        def map(self, function, tasks, title):
            yield from super().map(function, tasks[:3], title)
            raise OSError(28, "No space left on device")

    options = {"work": work, "block_bytes": 700}
    with pytest.raises(OSError, match="No space left"):
        pack_corpus(corpus, tokenizer, out, 32, 7, executor=Full(), **options)
    assert os.listdir(tmp_path) == ["work"]
    pack_corpus(corpus, tokenizer, out, 32, 7, executor=Inline(), **options)
    assert content(out) == serial


def begun(tmp_path, name="work"):
    """A work folder whose run failed after some blocks."""
    work = tmp_path / name
    liar = Bytes()
    liar.vocabulary_size = 130  # é has bytes above
    with pytest.raises(InputError, match="from 0 to 129"):
        pack_corpus(
            [Document("abc", ""), Document("é", "")],
            *(liar, tmp_path / "rows", 8),
            executor=Inline(),
            work=work,
            block_bytes=1,
        )
    return work


def test_work_of_something_else_is_refused(tmp_path):
    work = begun(tmp_path)
    texts = [Document("abc", ""), Document("é", "")]
    options = {"executor": Inline(), "work": work, "block_bytes": 1}
    out = tmp_path / "rows"
    with pytest.raises(InputError, match=r"the corpus that .*work was begun"):
        pack_corpus(texts[:1], Bytes(), out, 8, **options)
    with pytest.raises(InputError, match="the block_bytes that"):
        pack_corpus(texts, Bytes(), out, 8, **{**options, "block_bytes": 7})
    other = Bytes()
    other.fingerprint = "c" * 64
    with pytest.raises(InputError, match="the tokenizer that"):
        pack_corpus(texts, other, out, 8, **options)
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "a.txt").touch()
    with pytest.raises(InputError, match=r"holds other files \(a.txt\)"):
        options["work"] = tmp_path / "else"
        pack_corpus(texts, Bytes(), out, 8, **options)
    assert not out.exists()


def test_damaged_ids_are_named(tmp_path):
    work = begun(tmp_path)
    (work / "train-00000.ids").write_bytes(b"")
    with pytest.raises(InputError, match="train-00000.ids.*Remove"):
        pack_corpus(
            [Document("abc", ""), Document("é", "")],
            *(Bytes(), tmp_path / "rows", 8),
            executor=Inline(),
            work=work,
            block_bytes=1,
        )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: .*Expecting property"),
        ('{"txt": "a"}', "line 2: KeyError"),
        ("[1]", "line 2: TypeError"),
        ('{"text": 3}', "line 2: the text is no string"),
        ("\xff", "line 2: UnicodeDecodeError"),
    ],
)
def test_a_line_that_is_no_document(tmp_path, line, said):
    first = json.dumps({"text": "a rose"})
    data = f"{first}\n{line}\n{first}\n".encode("latin-1")
    (tmp_path / "train.jsonl").write_bytes(data)
    for size in (1, 10**6):
        with pytest.raises(InputError, match=f"train.jsonl, {said}"):
            pack_corpus(
                *(tmp_path, Bytes(), tmp_path / "rows", 8),
                executor=Inline(),
                block_bytes=size,
            )
    assert not (tmp_path / "rows").exists()


def test_lines_that_have_no_text(tmp_path):
    lines = ['{"text": "a"}', "", '{"text": null}', '{"text": ""}']
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    one, two = tmp_path / "one", tmp_path / "two"
    pack_corpus(tmp_path, Bytes(), one, 8)
    manifest = pack_corpus(tmp_path, Bytes(), two, 8, executor=Inline())
    assert content(one) == content(two)
    assert manifest.splits["train"].empty == 1


def test_a_tokenizer_that_cannot_be_sent(tmp_path):
    class Here(Bytes):
        pass

    with pytest.raises(InputError, match="be sent to other.*load_host"):
        pack_corpus(
            *(documents(), Here(), tmp_path / "o", 8), executor=Inline()
        )
    assert os.listdir(tmp_path) == []


def test_impossible_options(tmp_path):
    with pytest.raises(InputError, match="block_bytes=0"):
        pack_corpus(documents(), Bytes(), tmp_path, 8, block_bytes=0)
    with pytest.raises(InputError, match="work='here' alone"):
        pack_corpus(documents(), Bytes(), tmp_path, 8, work="here")
    with pytest.raises(InputError, match="two tokens"):
        pack_corpus([], Bytes(), tmp_path / "o", 8, executor=Inline())
    assert os.listdir(tmp_path) == []
