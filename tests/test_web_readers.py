"""Pages and archives of the web become text."""

import gzip
import sys
import zlib

import pyarrow
import pytest

from keras_llm.data import Document, read_documents
from keras_llm.data.reading.archives import records
from keras_llm.data.reading.encodings import html_encoding
from keras_llm.data.reading.pages import is_page, main_text
from keras_llm.errors import InputError

PAGE = """<!doctype html><html><head><title>T</title>
<meta charset="{charset}"><script>var a = 1;</script></head><body>
<nav><a href="/">Home</a> <a href="/in">Log in</a></nav>
<article><h1>The café by the sea</h1>
<p>{text}</p></article><footer>All rights reserved</footer></body></html>"""
SENTENCE = "We walked to the café by the sea, and the naïve gull followed us. "


def refused(*paths, **options):
    """Returns the sentence with which reading is refused."""
    with pytest.raises(InputError) as error:
        list(read_documents(*paths, **options))
    return str(error.value)


def zst(data):
    return pyarrow.compress(data, "zstd", asbytes=True)


def test_pages(tmp_path):
    pytest.importorskip("trafilatura")
    page = PAGE.format(charset="iso-8859-1", text=SENTENCE * 5)
    (tmp_path / "a.html").write_bytes(page.encode("cp1252"))
    (tmp_path / "b.htm.gz").write_bytes(gzip.compress(b"<html></html>"))
    (tmp_path / "c.html").write_bytes(b"\xff\xfe\0")
    reader = read_documents(tmp_path)
    (document,) = reader
    assert SENTENCE.strip() in document.text
    assert "Log in" not in document.text and "var a" not in document.text
    assert reader.counts.dropped.total() == 2
    assert reader.counts.dropped["no main text"] == 1


def test_pages_by_resiliparse():
    pytest.importorskip("resiliparse")
    page = PAGE.format(charset="utf-8", text=SENTENCE * 5)
    text = main_text(page, "resiliparse")
    assert SENTENCE.strip() in text and "Log in" not in text


@pytest.mark.parametrize(
    "name, extra",
    [
        ("trafilatura", "keras_llm[html]"),
        ("resiliparse", "resiliparse"),
    ],
)
def test_extractors_that_are_not_installed(tmp_path, monkeypatch, name, extra):
    path = tmp_path / "a.html"
    path.write_text(PAGE.format(charset="utf-8", text=SENTENCE))
    for module in (name, f"{name}.extract.html2text"):
        monkeypatch.setitem(sys.modules, module, None)
    assert extra in refused(path, html=name)
    assert "trafilatura, resiliparse" in refused(path, html="mine")


def test_encodings_of_pages():
    mark = b"\xef\xbb\xbf<meta charset=koi8-r>"
    assert html_encoding(mark) == "utf-8"
    assert html_encoding(b"<p>", "text/html; charset=KOI8-R") == "koi8-r"
    meta = b'<meta http-equiv="Content-Type" content="text/html; charset=big5">'
    assert html_encoding(meta) == "big5"
    assert (
        html_encoding(b"<meta charset=nonsense>", stated="cp1251") == "cp1251"
    )
    assert is_page("<?xml version='1.0'?>\n<html>") and not is_page(
        "<?xml ?><a>"
    )


def warc(kind, url, content, **headers):
    lines = {
        "WARC-Type": kind,
        "WARC-Target-URI": url,
        "WARC-Date": "2024-01-02T03:04:05Z",
        **{name.replace("_", "-"): value for name, value in headers.items()},
        "Content-Length": len(content),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return b"WARC/1.0\r\n" + head.encode() + b"\r\n" + content + b"\r\n\r\n"


def http(body, status="200 OK", kind="text/html", **headers):
    lines = {"Content-Type": kind, **headers}
    head = "".join(
        f"{name.replace('_', '-')}: {value}\r\n"
        for name, value in lines.items()
    )
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def test_wet_and_its_compressed_forms(tmp_path):
    parts = [
        warc("warcinfo", "", b"software: x"),
        warc(
            "conversion",
            "https://a.org/1",
            "Où ça?\nHier.".encode(),
            WARC_Identified_Content_Language="fra,eng",
        ),
        warc("conversion", "https://a.org/2", b" "),
    ]
    forms = {
        "a.wet": b"".join(parts),
        "b.warc.wet.gz": b"".join(map(gzip.compress, parts)),
        "c.wet.zst": b"".join(map(zst, parts)),
    }
    wanted = Document(
        "Où ça?\nHier.",
        "https://a.org/1",
        metadata={
            "url": "https://a.org/1",
            "date": "2024-01-02T03:04:05Z",
            "languages": "fra,eng",
        },
    )
    for name, data in forms.items():
        path = tmp_path / name
        path.write_bytes(data)
        reader = read_documents(path)
        assert list(reader) == [wanted]
        assert reader.counts.dropped == {"empty": 1}


def test_warc_answers(tmp_path):
    plain = {"kind": "text/plain; charset=latin-1"}
    chunked = b"3\r\nOne\r\n4\r\n two\r\n0\r\n\r\n"
    answers = [
        http("café".encode("latin-1"), **plain),
        http(chunked, kind="text/plain", Transfer_Encoding="chunked"),
        http(
            gzip.compress(b"zipped"), kind="text/plain", Content_Encoding="gzip"
        ),
        http(
            zlib.compress(b"flat"),
            kind="text/plain",
            Content_Encoding="deflate",
        ),
        http(b"x", status="404 Not Found"),
        http(b"x", kind="image/png"),
        http(b"x", kind="text/plain", Content_Encoding="gzip"),
        b"nothing",
    ]
    path = tmp_path / "a.warc.gz"
    path.write_bytes(
        b"".join(
            gzip.compress(warc("response", f"http://a.org/{n}", answer))
            for n, answer in enumerate(answers)
        )
        + gzip.compress(warc("request", "http://a.org", b"GET /"))
    )
    reader = read_documents(path)
    assert [d.text for d in reader] == ["café", "One two", "zipped", "flat"]
    assert reader.counts.dropped == {
        "HTTP status 404": 1,
        "content type image/png": 1,
        "broken HTTP answer": 2,
    }


def test_records_as_warcio_reads_them(tmp_path):
    pytest.importorskip("warcio")
    from warcio.archiveiterator import ArchiveIterator

    path = tmp_path / "a.warc.gz"
    parts = [
        warc("conversion", f"http://a.org/{n}", f"text {n} é\n".encode() * n)
        for n in range(5)
    ]
    path.write_bytes(b"".join(map(gzip.compress, parts)))
    with open(path, "rb") as file:
        wanted = [
            (r.rec_headers["WARC-Target-URI"], r.content_stream().read())
            for r in ArchiveIterator(file)
        ]
    found = [(r.headers["warc-target-uri"], r.content) for r in records(path)]
    assert found == wanted


def test_broken_archives_say_where(tmp_path):
    path = tmp_path / "a.wet"
    good = warc("conversion", "https://a.org/1", b"One")
    path.write_bytes(good + good[:-8])
    assert f"at byte {len(good)} of its content the record is cut" in refused(
        path
    )
    path.write_bytes(good + b"<html>")
    assert f"at byte {len(good)} of its content no record" in refused(path)
    path.write_bytes(b"WARC/1.0\r\nWARC-Type: conversion\r\n\r\n")
    assert "has no length" in refused(path)
