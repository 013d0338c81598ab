"""Reading and writing documents: formats, order, and every kind of bad file."""

import gzip
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_llm.data import (
    Document,
    read_documents,
    standard_library,
    write_jsonl,
)
from keras_llm.errors import InputError


def texts(*paths, **options):
    return [document.text for document in read_documents(*paths, **options)]


def refused(*paths, **options):
    """Returns the sentence with which reading is refused."""
    with pytest.raises(InputError) as error:
        list(read_documents(*paths, **options))
    return str(error.value)


def test_folder_order_and_counted_reasons(tmp_path):
    for name in ("b/z.py", "b/a.txt", "a.md", ".git/x.txt", "b/.hidden.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    (tmp_path / "image.png").write_bytes(b"\x89PNG\0")
    (tmp_path / "c.txt").write_bytes(b"a\0b")
    (tmp_path / "d.txt").write_bytes("café".encode("latin-1"))
    (tmp_path / "e.txt").write_text(" \n")
    reader = read_documents(tmp_path)
    assert [d.text for d in reader] == ["a.md", "b/a.txt", "b/z.py"]
    assert reader.counts.dropped == {
        "unknown file type .png": 1,
        "binary": 1,
        "not UTF-8": 1,
        "empty": 1,
        "hidden file": 1,
    }
    assert reader.counts.documents_out == 3
    assert reader.counts.bytes_out == len("a.mdb/a.txtb/z.py")
    assert reader.counts.examples["binary"] == [str(tmp_path / "c.txt")]


def test_text_loses_byte_order_mark_and_carriage_returns(tmp_path):
    path = tmp_path / "windows.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree")
    assert texts(path) == ["one\ntwo\nthree"]


def test_gzip_reads_like_plain(tmp_path):
    for name, content in (("a.txt.gz", "one"), ("b.jsonl.gz", '{"text":"2"}')):
        (tmp_path / name).write_bytes(gzip.compress(content.encode()))
    assert texts(tmp_path) == ["one", "2"]


def test_cut_gzip_is_named(tmp_path):
    path = tmp_path / "cut.jsonl.gz"
    lines = "".join(f'{{"text": "{n * 7919}"}}\n' for n in range(5000))
    path.write_bytes(gzip.compress(lines.encode())[:-200])
    assert "cut.jsonl.gz" in refused(path)
    path.write_bytes(b"not gzip at all")
    assert "cut.jsonl.gz" in refused(path)


def test_jsonl_fields(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"text": "one", "license": "MIT", "language": "en", "year": 1999}\n'
        "\n"
        '{"text": null}\n'
        '{"text": "two", "source": "web", "metadata": {"page": 3}}\n'
    )
    reader = read_documents(path)
    assert list(reader) == [
        Document("one", f"{path}:1", "MIT", "en", {"year": 1999}),
        Document("two", "web", None, None, {"page": 3}),
    ]
    assert reader.counts.dropped == {"null text": 1}
    path.write_text('{"body": "other field"}')
    assert texts(path, text_field="body") == ["other field"]
    assert "['body']" in refused(path)


def test_jsonl_lines_end_at_newline_only(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a\u2028b\x85c"}\n', encoding="utf-8")
    assert texts(path) == ["a\u2028b\x85c"]


def test_lone_surrogates_become_replacement_characters(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(r'{"text": "\ud83d\ude00 \ud83d"}')
    assert texts(path) == ["\U0001f600 \ufffd"]


@pytest.mark.parametrize(
    "content, words",
    [
        (b'{"text": "one"}\n{"text": "tw', ["line 2", "cut off"]),
        (b'["one"]', ["line 1", "list"]),
        (b'{"text": 3}', ["line 1", "int"]),
        (b'{"text": "\xff"}', ["line 1", "UTF-8"]),
    ],
)
def test_broken_jsonl_names_file_and_line(tmp_path, content, words):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    message = refused(tmp_path)
    assert all(word in message for word in ["bad.jsonl", *words])


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    table = {"text": ["one", None, "two"], "license": ["MIT", "MIT", None]}
    parquet.write_table(pyarrow.table({**table, "n": [1, 2, 3]}), path)
    reader = read_documents(path)
    assert [(d.text, d.license, d.source) for d in reader] == [
        ("one", "MIT", f"{path}:1"),
        ("two", None, f"{path}:3"),
    ]
    assert reader.counts.dropped == {"null text": 1}
    assert "'body'" in refused(path, text_field="body")
    path.write_bytes(b"PAR1 nothing")
    assert "a.parquet" in refused(path)


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'keras_llm[data]'" in refused(path)


def test_bad_paths(tmp_path):
    assert "does not exist" in refused(tmp_path / "none.txt")
    assert "no path" in refused()
    assert str(tmp_path) in refused(tmp_path)
    (tmp_path / "a.png").write_bytes(b"x")
    assert "1 unknown file type .png" in refused(tmp_path)
    (tmp_path / "a.json").write_text("[]")
    assert ".jsonl" in refused(tmp_path / "a.json")
    (tmp_path / "empty.txt").write_text("")
    assert "1 empty" in refused(tmp_path / "empty.txt")


def test_missing_path_is_refused_before_reading_starts(tmp_path):
    with pytest.raises(InputError):
        read_documents(tmp_path / "none.txt")


def test_explicit_binary_and_undecodable_files(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"\x7fELF\0\0\xff")
    assert "binary" in refused(path)
    path.write_bytes(b"caf\xe9")
    message = refused(path)
    assert "offset 3" in message and 'encoding="latin-1"' in message
    assert texts(path, encoding="latin-1") == ["café"]
    assert texts(path, errors="replace") == ["caf\ufffd"]
    assert "klingon" in refused(path, encoding="klingon")
    assert "ignore" in refused(path, errors="ignore")


def test_latin_1_gutenberg(shared_data):
    book = shared_data / "gutenberg" / "Don-Quijote_2000.latin1.txt"
    assert "not UTF-8" in refused(book)
    (text,) = texts(book, encoding="latin-1")
    assert "En un lugar de la Mancha" in text and "\r" not in text
    reader = read_documents(shared_data / "gutenberg")
    assert len(list(reader)) == 3
    assert reader.counts.dropped["not UTF-8"] == 2


json_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.lists(json_texts, min_size=1, max_size=5))
def test_jsonl_round_trip(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("jsonl") / "a.jsonl"
    documents = [
        Document(text, str(number), "MIT", "en", {"n": number})
        for number, text in enumerate(values)
    ]
    assert write_jsonl(path, documents) == len(values)
    assert list(read_documents(path)) == documents


def test_write_jsonl_gz_is_deterministic(tmp_path):
    for folder in ("one", "two"):
        write_jsonl(tmp_path / folder / "a.jsonl.gz", [Document("x", "y")])
    first, second = tmp_path.glob("*/a.jsonl.gz")
    assert first.read_bytes() == second.read_bytes()
    assert json.loads(gzip.decompress(first.read_bytes()))["text"] == "x"


def test_failed_write_leaves_previous_file(tmp_path):
    path = tmp_path / "a.jsonl"
    write_jsonl(path, [Document("old", "a")])

    def failing():
        yield Document("new", "a")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_jsonl(path, failing())
    assert texts(path) == ["old"]
    assert [file.name for file in tmp_path.iterdir()] == ["a.jsonl"]


def test_standard_library_without_help_topics(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    reader = standard_library()
    assert next(reader).source.startswith("python/lib/")
    assert dict(reader.counts.dropped) == {"not part of this Python": 1}


def test_standard_library_is_clean_and_deterministic():
    first, second = list(standard_library()), list(standard_library())
    assert first == second
    names = {document.source for document in first}
    assert {"python/lib/json/decoder.py", "python/topics/with"} <= names
    assert {document.license for document in first} == {"PSF-2.0"}
    left_out = ("site-packages", "/test/", "/tests/", "idlelib", "lib2to3")
    assert not [n for n in names if any(part in n for part in left_out)]
    assert sum(len(document.text) for document in first) > 5_000_000
