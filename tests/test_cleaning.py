"""Cleaning: what is no text goes, what is text stays."""

import gzip
import html
import json
import time
import unicodedata

import ftfy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_llm.data import (
    Counts,
    Document,
    boilerplate_lines,
    control_characters,
    gutenberg,
    html_leftovers,
    html_pages,
    repair,
    white_space,
)
from keras_llm.errors import InputError


def cleaned(step, *texts, source="a.txt"):
    """Returns the texts that a step hands on, and its counts."""
    counts = Counts(step.name)
    documents = [Document(text, source) for text in texts]
    return [d.text for d in step(documents, counts)], counts


def one(step, text, **where):
    """Returns what a step makes of one text."""
    return cleaned(step, text, **where)[0][0]


def dirty(folder, *kinds):
    with gzip.open(folder / "dirty" / "dirty_sample.jsonl.gz", "rt") as file:
        records = [json.loads(line) for line in file]
    return [record for record in records if record["kind"] in kinds]


@pytest.mark.parametrize(
    "name, number", [("in_the_wild", 70), ("synthetic", 30), ("negative", 31)]
)
def test_ftfys_own_cases(shared_data, name, number):
    path = shared_data / "dirty" / f"ftfy_{name}.json"
    cases = json.loads(path.read_text(encoding="utf-8"))
    wanted = [case.get("fixed-encoding", case["fixed"]) for case in cases]
    texts = [case["original"] for case in cases]
    assert cleaned(repair(), *texts)[0] == wanted
    assert len(cases) == number


def test_mojibake_of_the_dirty_sample(shared_data):
    documents = dirty(shared_data, "mojibake")
    reversible = [
        d for d in documents if ftfy.fix_encoding(d["text"]) == d["want"]
    ]
    texts, counts = cleaned(repair(), *(d["text"] for d in reversible))
    assert texts == [d["want"] for d in reversible]
    assert len(reversible) == counts.changed["mojibake"] == 100
    clean = [d["text"] for d in dirty(shared_data, "clean")]
    assert cleaned(repair(), *clean)[0] == clean


def test_control_characters():
    text = (
        "\ufeffa\x00\x07\x1b[31;1mb\x1b[0m\r\nc\rd\x0ce\u2028f\tg\u00ad\u202eh"
    )
    assert one(control_characters(), text) == "ab\nc\nd\ne\nf\tgh"
    # Persian and emoji need the joiners.
    for text in ("می\u200cخواهم", "👩\u200d🔬 é 中文\n\tx", "a\u00a0b"):
        assert one(control_characters(), text) == text


@given(st.text())
def test_no_control_character_stays(text):
    step = control_characters()
    texts, counts = cleaned(step, text)
    assert len(texts) + counts.dropped.total() == 1
    for result in texts:
        gone = ("Cc", "Zl", "Zp")
        odd = {c for c in result if unicodedata.category(c) in gone}
        assert odd <= {"\n", "\t"}
        assert cleaned(step, result)[0] == [result]


def test_nothing_but_control_characters_is_a_counted_drop():
    texts, counts = cleaned(control_characters(), "\x00\x01", "fine")
    assert texts == ["fine"]
    assert counts.dropped == {"nothing but control characters": 1}


def test_white_space():
    text = "\n\n  verse \t\nnext\u00a0\n\n\n\n\nend\n\n"
    assert one(white_space(), text) == "  verse\nnext\n\n\nend"
    assert one(white_space(blank_lines=0), text) == "  verse\nnext\nend"
    with pytest.raises(InputError, match="blank_lines >= 0. Received: -1"):
        white_space(-1)


def test_gutenberg_books(shared_data):
    ends = {
        "Alice": ("ALICE’S ADVENTURES", "THE END\n"),
        "Don": ("El ingenioso hidalgo don Quijote", "Fin\n"),
        "Moby": ("MOBY-DICK;", "only found another orphan.\n"),
        "Pride": ("PRIDE AND PREJUDICE", "means of uniting them.\n"),
        "The-Adventures": ("THE ADVENTURES OF SHERLOCK", "success.\n"),
    }
    for name, (first, last) in ends.items():
        (path,) = (shared_data / "gutenberg").glob(f"{name}*.txt")
        encoding = "latin-1" if "latin1" in path.name else "utf-8-sig"
        raw = path.read_text(encoding)
        counts = Counts("gutenberg")
        (book,) = gutenberg()([Document(raw, path.name)], counts)
        assert book.text.startswith(first) and book.text.endswith(last)
        assert "GUTENBERG EBOOK" in raw and "Gutenberg-tm" in raw
        for gone in ("GUTENBERG EBOOK", "Gutenberg-tm", "Produced by"):
            assert gone not in book.text
        assert len(book.text) > 0.85 * len(raw)
        assert set(book.metadata) == {"title", "author"}
        assert counts.changed == {"Gutenberg header and footer": 1}


def test_gutenberg_leaves_other_texts():
    text = "A talk about *** START OF *** and End of Project Gutenberg's\n"
    assert one(gutenberg(), text) == text
    cut = "*** START OF THE PROJECT GUTENBERG EBOOK X ***\n\nNo end.\n"
    assert one(gutenberg(), cut) == "No end.\n"


def test_boilerplate_lines():
    text = "\n".join(
        [
            "This site uses cookies. OK?",
            "» Read more...",
            "He would read more, and sign up for the voyage.",
            "COOKIES AKZEPTIEREN",
            "Buy our İstanbul mug",
        ]
    )
    wanted = "He would read more, and sign up for the voyage.\n"
    assert one(boilerplate_lines(), text) == wanted + "Buy our İstanbul mug"
    own = boilerplate_lines(["İSTANBUL mug"])
    assert one(own, text) == wanted.strip()
    longer = "A book on the use of cookies: " + "crumbs " * 50
    assert one(boilerplate_lines(), longer) == longer
    texts, counts = cleaned(boilerplate_lines(), "Sign in\nLog in")
    assert not texts and counts.dropped == {"nothing but boilerplate lines": 1}
    with pytest.raises(InputError, match="list of phrases"):
        boilerplate_lines("phrase")


def test_boilerplate_leaves_books(shared_data):
    clean = [
        d["text"]
        for d in dirty(shared_data, "clean")
        if "Gutenberg" not in d["text"]
    ]
    assert cleaned(boilerplate_lines(), *clean)[0] == clean
    nav = [d["text"] for d in dirty(shared_data, "nav")]
    size = sum(map(len, nav))
    left = sum(map(len, cleaned(boilerplate_lines(), *nav)[0]))
    assert left < 0.6 * size


CODE = [
    "if a < b and c > d: vector<int> x; List<A> y; Map<I, B>",
    "#include <string>\nx <b && c> d; cout << a; f(&copy); R&D; AT&T",
    "<3 you <- see -> <jo@b.org> <https://a.b> &nosuchname; 1 <2> 3",
    "Write `<b>` and\n```html\n<p>x &amp; y</p>\n```\n",
    "~~~\n<p>never closed",
]


@pytest.mark.parametrize("text", CODE)
def test_code_is_no_markup(text):
    assert one(html_leftovers(), text) == text


def test_source_files_are_left_alone():
    page = "echo '<p>Hi</p>' &amp; <br>"
    for source in ("a.php", "b/c.JS.gz"):
        assert one(html_leftovers(), page, source=source) == page


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("H<sub>2</sub>O &amp; <STRONG>x</STRONG>", "H2O & x"),
        ("<!-- c --><script>var a='<b>';</script>Hi", "Hi"),
        ("a<!-- <script> -->b<!doctype html>c<!-- open", "abc<!-- open"),
        ("one<br/>two<p class='a'>three", "one\ntwo\nthree"),
        ("<a href=x.html>link</a><img src='a.png'>", "link"),
        ("&lt;b&gt; &amp;lt; &#8217; &#x41;", "<b> &lt; ’ A"),
        ("<b>bold</b> `<b>` <b>x</b>", "bold `<b>` x"),
        ("<ul><li>a<li>b</ul>", "a\nb"),
        ("a<td>b<td>c", "a b c"),
    ],
)
def test_markup_goes(text, wanted):
    assert one(html_leftovers(), text) == wanted


def test_time_grows_with_the_text_only():
    """Markup that is opened again and again and never closed."""
    pieces = ["<!--", "<script>", "<a b ", "<b>", "<", "&a", "`", "```\n", "``"]
    for piece in pieces:
        text = piece * (200_000 // len(piece))
        start = time.process_time()
        one(html_leftovers(), text)
        assert time.process_time() - start < 5, piece


@given(st.text(alphabet="ab <>&;\n\"'=-!`"))
def test_escaped_text_comes_back(text):
    """`html.escape` is the inverse, for text without code marks."""
    text = text.replace("`", "").strip("\n")
    if text.strip():
        assert one(html_leftovers(), html.escape(text)) == text


def test_pages_become_their_text(shared_data):
    pytest.importorskip("trafilatura")
    records = dirty(shared_data, "html")
    texts, counts = cleaned(html_pages(), *(r["text"] for r in records))
    assert counts.changed["HTML page"] == len(records) == 200
    for text, record in zip(texts, records, strict=True):
        assert record["want"] in text
        assert "color:red" not in text and "var a=" not in text


def test_pages_of_an_unknown_extractor():
    with pytest.raises(InputError, match="trafilatura, resiliparse"):
        html_pages("magic")
