"""Readers beyond text: tables, Zstandard, encodings, addresses, PDF hooks."""

import csv
import gzip
import io
import json
import sys
import tempfile
import zipfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_llm.data import (
    Document,
    gutenberg,
    read_documents,
    write_jsonl,
    write_parquet,
)
from keras_llm.data.counts import Counts
from keras_llm.data.reading.encodings import detect_encoding
from keras_llm.data.reading.kinds import Reading
from keras_llm.data.reading.records import read_table
from keras_llm.errors import InputError


def texts(*paths, **options):
    return [document.text for document in read_documents(*paths, **options)]


def refused(*paths, **options):
    """Returns the sentence with which reading is refused."""
    with pytest.raises(InputError) as error:
        list(read_documents(*paths, **options))
    return str(error.value)


def zst(data):
    return pyarrow.compress(data, "zstd", asbytes=True)


def test_csv_and_tsv(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        '\ufefftext,source,license,year\n"One,\n""two""",x.org,,1999\n\n'
        "three,,MIT,\n,gone,,\n",
        encoding="utf-8",
    )
    reader = read_documents(path)
    assert list(reader) == [
        Document('One,\n"two"', "x.org", metadata={"year": "1999"}),
        Document("three", f"{path}:5", license="MIT"),
    ]
    assert reader.counts.dropped == {"null text": 1}
    tab = tmp_path / "b.tsv.gz"
    tab.write_bytes(gzip.compress(b'id\tbody\n1\t"tab\there"\n2\tplain, one\n'))
    assert texts(tab, text_field="body") == ["tab\there", "plain, one"]


cell = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"))


@given(st.lists(st.tuples(cell.filter(bool), cell), max_size=5))
def test_what_csv_writes_is_read(rows):
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([("text", "note"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        path.write_text(file.getvalue(), encoding="utf-8", newline="")
        reading = Reading("text", "utf-8", "strict", Counts("read"))
        found = list(read_table(path, reading))
    assert [(d.text, d.metadata.get("note", "")) for d in found] == rows


def test_long_cells_and_the_limit_of_the_module(tmp_path):
    path = tmp_path / "long.csv"
    path.write_text("text\n" + "x" * 200_000 + "\nshort\n")
    before = csv.field_size_limit()
    assert [len(text) for text in texts(path)] == [200_000, 5]
    reader = read_documents(path)
    next(reader)
    assert csv.field_size_limit() == before


def test_broken_tables_say_where(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,b\nx,1\ny\n")
    assert "Received: 1 in" in refused(path) and "line 3" in refused(path)
    path.write_text('text\n"never closed\n')
    assert "Expected CSV." in refused(path) and "line 2" in refused(path)
    path.write_text("a,b\n1,2\n")
    assert "field 'text'" in refused(path) and "['a', 'b']" in refused(path)
    path.write_text("")
    assert "at least one document" in refused(path)


def test_zstandard(tmp_path):
    documents = [Document(f"text {n} é", f"s{n}") for n in range(3000)]
    path = tmp_path / "a.jsonl.zst"
    assert write_jsonl(path, documents) == 3000
    first = path.read_bytes()
    assert list(read_documents(path)) == documents
    write_jsonl(path, documents)
    assert path.read_bytes() == first
    for name, data in (
        ("b.txt.zst", zst(b"one")),
        ("c.csv.zst", zst(b"text\ntwo\n")),
    ):
        (tmp_path / name).write_bytes(data)
    assert texts(tmp_path)[3000:] == ["one", "two"]
    path.write_bytes(first[:-50])
    assert "a.jsonl.zst, which cannot be decompressed" in refused(path)
    path.write_bytes(b"no Zstandard at all")
    assert "Expected a whole Zstandard file" in refused(path)


def test_parquet_round_trip(tmp_path):
    documents = [
        Document("One é", "a", "MIT", "en", {"url": "http://x", "n": [1]}),
        Document("Two", "b"),
    ] * 800
    path = tmp_path / "a.parquet"
    assert write_parquet(path, iter(documents)) == 1600
    assert list(read_documents(path)) == documents
    table = pyarrow.parquet.read_table(path)
    assert json.loads(table["metadata"][0].as_py())["n"] == [1]
    assert table["license"].to_pylist()[:2] == ["MIT", None]


def test_parquet_of_others_keeps_its_columns(tmp_path):
    path = tmp_path / "a.parquet"
    table = pyarrow.table({"text": ["One"], "metadata": ["no JSON"]})
    pyarrow.parquet.write_table(table, path)
    assert list(read_documents(path)) == [Document("One", f"{path}:1")]


def test_a_failing_parquet_write_leaves_the_old_file(tmp_path):
    def failing():
        yield Document("One", "a")
        raise OSError("No space left on device")

    path = tmp_path / "a.parquet"
    write_parquet(path, [Document("Old", "o")])
    with pytest.raises(OSError, match="No space"):
        write_parquet(path, failing())
    assert texts(path) == ["Old"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


def declaration(folder, language):
    """Returns the Universal Declaration of Human Rights."""
    (archive,) = (folder / "udhr").glob("*.zip")
    with zipfile.ZipFile(archive) as file:
        (name,) = [n for n in file.namelist() if n.endswith(f"{language}.txt")]
        return file.read(name).decode("utf-8")


@pytest.mark.parametrize(
    "language, encoding",
    [
        ("fra", "cp1252"),
        ("spa", "cp1252"),
        ("ita", "cp1252"),
        ("swe", "cp1252"),
        ("isl", "cp1252"),
        ("ces", "cp1250"),
        ("pol", "cp1250"),
        ("hun", "cp1250"),
        ("hrv", "cp1250"),
        ("rus", "cp1251"),
        ("rus", "koi8-r"),
        ("tur", "cp1254"),
        ("jpn", "shift_jis"),
        ("kor", "euc-kr"),
        ("cmn_hans", "gb18030"),
        ("deu_1901", "utf-8"),
        ("rus", "utf-16"),
        ("fra", "utf-8-sig"),
    ],
)
def test_encodings_are_detected(shared_data, tmp_path, language, encoding):
    text = declaration(shared_data, language)
    path = tmp_path / "a.txt"
    data = text.encode(encoding, "ignore")
    path.write_bytes(data)
    reader = read_documents(path, encoding="detect")
    (document,) = reader
    wanted = data.decode(encoding).replace("\r\n", "\n")
    assert document.text == wanted
    ((kind, number),) = reader.counts.found.items()
    assert number == 1
    utf8 = encoding.startswith("utf-8")
    assert reader.counts.samples == ({} if utf8 else {kind: [str(path)]})


def test_books_in_latin_1_are_detected(shared_data):
    paths = sorted((shared_data / "gutenberg").glob("*.txt"))
    reader = read_documents(*paths, encoding="detect")
    books = {d.source: d.text for d in gutenberg()(reader, Counts("g"))}
    assert reader.counts.found == {"encoding utf-8": 3, "encoding cp1252": 2}
    for path in paths:
        if "latin1" in path.name:
            raw = path.read_text("latin-1")
            assert books[str(path)][:500] in raw.replace("\r", "")


def test_detection_where_there_is_nothing_to_detect(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    for data, wanted in ((b"", "utf-8"), (b"a\0\xff", "utf-8")):
        path.write_bytes(data)
        assert detect_encoding(path) == wanted
    assert "which is binary" in refused(path, encoding="detect")
    # A character across two chunks is still UTF-8.
    path.write_bytes(b"x" * ((1 << 20) - 1) + "é".encode())
    assert detect_encoding(path) == "utf-8"
    path.write_bytes(b"x" * ((1 << 20) - 1) + b"\xc3")
    monkeypatch.setitem(sys.modules, "charset_normalizer", None)
    assert "pip install charset-normalizer" in refused(path, encoding="detect")


def test_detected_tables_and_lines(shared_data, tmp_path):
    wide = tmp_path / "excel.tsv"
    wide.write_bytes("text\tn\nÜber\t1\nЖ\t2\n".encode("utf-16"))
    lines = tmp_path / "a.jsonl"
    text = declaration(shared_data, "fra").replace("\u2010", "-")
    line = json.dumps({"text": text}, ensure_ascii=False)
    lines.write_bytes(line.encode("cp1252"))
    found = texts(wide, lines, encoding="detect")
    assert found == ["Über", "Ж", text]
    assert "line 1, byte" in refused(lines)
    wide.write_bytes(wide.read_bytes()[:-1])
    assert "excel.tsv, line 3" in refused(wide, encoding="utf-16")


def test_own_extractors(tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"%PDF good")
    (tmp_path / "b.PDF").write_bytes(b"bad")
    (tmp_path / "c.pdf.gz").write_bytes(gzip.compress(b"%PDF "))

    def extract(data):
        if not data.startswith(b"%PDF"):
            raise ValueError("it has no header")
        return data[5:].decode()

    reader = read_documents(tmp_path, extractors={".pdf": extract})
    assert [d.text for d in reader] == ["good"]
    assert reader.counts.dropped == {
        "its extractor cannot read it": 1,
        "no text found": 1,
    }
    bad = refused(tmp_path / "b.PDF", extractors={".pdf": extract})
    assert "b.PDF, of which it says: it has no header" in bad
    path = tmp_path / "a.pdf"
    assert 'extractors={".pdf": function}' in refused(path)
    assert "a bytes for" in refused(path, extractors={".pdf": bytes})
    assert "lower case. Received: 'pdf'" in refused(
        path, extractors={"pdf": str}
    )


def test_addresses():
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    files = {
        "b.txt.gz": gzip.compress(b"two"),
        "a.jsonl.zst": zst(b'{"text": "one"}\n'),
        "c/d.txt": b"three",
        "c/.git/e.txt": b"hidden",
        ".f.txt": b"hidden",
        "g.png": b"...",
    }
    for name, data in files.items():
        system.pipe(f"/corpus/{name}", data)
    with system.open("/corpus/z.parquet", "wb") as file:
        pyarrow.parquet.write_table(pyarrow.table({"text": ["four"]}), file)
    reader = read_documents("memory://corpus")
    documents = list(reader)
    assert [d.text for d in documents] == ["one", "two", "three", "four"]
    assert documents[2].source == "memory:///corpus/c/d.txt"
    assert reader.counts.dropped == {
        "hidden file": 1,
        "unknown file type .png": 1,
    }
    assert texts("memory://corpus/c/d.txt") == ["three"]
    assert "where there is nothing" in refused("memory://absent")
    assert "that fsspec can open" in refused("nosuch://a/b.txt")


def test_addresses_without_fsspec(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert "pip install fsspec" in refused("s3://bucket/a.txt")
