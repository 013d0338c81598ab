"""The report: its page in a browser, its Markdown, its JSON."""

import html.parser
import json
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt
from report_findings import HOSTILE, Everything, curve

from keras_llm.errors import InputError
from keras_llm.evaluate import (
    Gate,
    HeatMap,
    Measure,
    Picture,
    Table,
    Words,
    check_gates,
    write_report,
)
from keras_llm.evaluate.cells import column_texts, grid, measure_text
from keras_llm.evaluate.gate import baseline_gates
from keras_llm.evaluate.html_page import html_of
from keras_llm.evaluate.markdown_page import markdown_of
from keras_llm.evaluate.provenance import fingerprint_of
from keras_llm.evaluate.sections import sections_of, shades

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


class Small:
    """As little as a finding may be."""

    def __init__(self, title="Small", measures=None, blocks=(), values=None):
        self.title, self._measures = title, measures or {}
        self._blocks, self._values = blocks, values or {}

    def measures(self):
        return self._measures

    def blocks(self):
        return self._blocks

    def to_dict(self):
        return self._values


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "out"
    findings = [Everything(), Everything("Language modelling", "copa")]
    return write_report(
        folder,
        findings,
        title="Is it <good>?",
        about=f"About {HOSTILE}",
        seed=7,
        sources={"model": "ab12"},
    )


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed"
    )
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def visit(browser, report):
    """Opens the page; fails on an error or a request for anything else."""
    contexts, wrong, asked = [], [], []

    def opened(width=1280, **options):
        size = {"width": width, "height": 900}
        contexts.append(browser.new_context(viewport=size, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(report.html.resolve().as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong
    assert [u for u in asked if not u.startswith("data:")] == [
        report.html.resolve().as_uri()
    ] * len(contexts)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_its_window(visit, width):
    page = visit(width=width, is_mobile=width == 390)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    boxes = page.evaluate(
        "[...document.querySelectorAll('section, nav, figure, .scroll, pre')]"
        ".map(one => one.getBoundingClientRect().right)"
    )
    assert max(boxes) <= width
    wide = (
        page.locator(".scroll")
        .nth(1)
        .evaluate("one => one.scrollWidth > one.clientWidth")
    )
    assert wide is (width == 390)  # the table scrolls, not the page


def test_what_a_model_wrote_is_only_text(visit):
    page = visit()
    assert page.locator("script, b img, td img, p img").count() == 0
    assert page.locator("h1").text_content() == "Is it <good>?"
    assert HOSTILE in page.locator("p.words").nth(1).text_content()
    tokens = page.locator(".heat").first.locator("span")
    assert HOSTILE.replace(" ", "␣") in tokens.all_text_contents()


def test_every_link_leads_somewhere_and_names_are_unique(visit):
    page = visit()
    links = page.locator("a[href^='#']").evaluate_all(
        "all => all.map(one => one.getAttribute('href').slice(1))"
    )
    ids = page.locator("[id]").evaluate_all("all => all.map(one => one.id)")
    assert len(ids) == len(set(ids)) and set(links) <= set(ids)
    assert "part-language-modelling-2" in links
    landmarks = page.locator("header, nav, main, footer").count()
    assert landmarks == 4 and page.get_attribute("html", "lang") == "en"
    alts = page.locator("img").evaluate_all("all => all.map(one => one.alt)")
    assert alts == ["Loss against the position in the context."] * 2
    loaded = page.locator("img").evaluate_all(
        "all => all.map(one => one.naturalWidth)"
    )
    assert loaded == [1152, 1152]  # 8 inches at 144 dots


def ratio(page, selector):
    """Contrast of text with what is behind it, by WCAG's formula."""
    parts = page.locator(selector).first.evaluate(
        """one => {
          const seen = [];
          for (let n = one; n; n = n.parentElement)
            seen.push(getComputedStyle(n).backgroundColor);
          const canvas = document.createElement('canvas').getContext(
            '2d', {willReadFrequently: true});
          for (const colour of seen.reverse()) {
            canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
          }
          const back = [...canvas.getImageData(0, 0, 1, 1).data];
          canvas.fillStyle = getComputedStyle(one).color;
          canvas.fillRect(0, 0, 1, 1);
          return [back, [...canvas.getImageData(0, 0, 1, 1).data]];
        }"""
    )

    def light(colour):
        linear = [
            c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
            for c in (part / 255 for part in colour[:3])
        ]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722])) + 0.05

    dark, bright = sorted(map(light, parts))
    return bright / dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_every_colour(visit, scheme):
    page = visit(color_scheme=scheme)
    texts = ["p.quiet", "caption", "td a", "nav a", "figcaption", "thead th"]
    for selector in [*texts, ".heat .h0", ".heat .h3", ".heat .h7"]:
        assert ratio(page, selector) >= 4.5, selector


def test_warmer_tokens_have_stronger_colours(visit):
    page = visit(color_scheme="light")
    steps = [ratio(page, f".heat .h{shade}") for shade in (0, 3, 7)]
    assert steps == sorted(steps, reverse=True)  # darker: closer to the text
    titles = page.locator(".heat .h7").first.get_attribute("title")
    assert titles == "12.00"


def test_print_has_everything_in_one_column(visit):
    page = visit()
    page.emulate_media(media="print")
    shown = page.locator(".columns").evaluate(
        "one => getComputedStyle(one).display"
    )
    assert shown == "block"


class Tags(html.parser.HTMLParser):
    """The tags of a page, as the standard library sees them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_without_a_browser(report):
    text = report.html.read_text(encoding="utf-8")
    found = Tags(text)
    assert not found.open
    names = {name for name, _ in found.tags}
    assert "script" not in names and "link" not in names
    for _, attributes in found.tags:
        address = attributes.get("src") or attributes.get("href") or "#"
        assert address.startswith(("#", "data:image/png;base64,"))
        assert not any(name.startswith("on") for name in attributes)


def rendered(markdown):
    """What a reader of the Markdown sees, by markdown-it."""
    tags = MarkdownIt("commonmark").enable("table").render(markdown)
    return html.unescape(re.sub("<[^>]*>", "", tags)).strip()


@pytest.mark.parametrize(
    "text",
    [
        HOSTILE,
        "1. no list\n- none\n+ none\n> no quote\n# no title\n=== none",
        "a_b _c_ __d__ [x](y) ![z](w) 5 * 3 * 2 \\* &amp; a|b",
        "    no code",
    ],
)
def test_markdown_shows_words_as_they_are(text):
    assert rendered(markdown_of(Words(text))) == text.strip()


def test_markdown_cells_and_fences_keep_their_text(report):
    cell = markdown_of(
        Table([{"said": HOSTILE, "n": 1}, {"said": "|", "n": 2}])
    )
    assert HOSTILE in rendered(cell) and rendered(cell).count("|") == 2
    page = (
        MarkdownIt("commonmark")
        .enable("table")
        .render(report.markdown.read_text(encoding="utf-8"))
    )
    assert "<script" not in page and "<img src=x" not in page
    assert "what is ```1 + 1```?" in page
    images = re.findall('<img src="([^"]+)"', page)
    assert len(images) == 2 and all(
        (report.folder / one).read_bytes()[1:4] == b"PNG" for one in images
    )
    assert page.count('style="text-align:right"') > 8


def test_json_has_all_of_it_and_only_json(report):
    def refuse(name):
        raise AssertionError(name)

    text = (report.folder / "results.json").read_text(encoding="utf-8")
    found = json.loads(text, parse_constant=refuse)
    assert found == report.results
    assert found["measures"]["lm/bits_per_byte"] == {
        "value": 1.2345,
        "error": 0.0123,
        "count": 200,
        "higher_is_better": False,
    }
    assert found["measures"]["copa/nothing"]["value"] is None
    (first, _) = found["findings"]
    assert first["text"] == HOSTILE and first["domains"]["moby"] is None
    assert found["seed"] == 7 and found["sources"] == {"model": "ab12"}
    assert {"python", "keras", "keras_llm"} <= set(found["environment"])
    assert "cores" in found["cpu"] and found["command"]
    assert check_gates(report.measures, [Gate("copa/acc", 0.6)])
    names = [
        gate.metric for gate in baseline_gates(report.folder / "results.json")
    ]
    assert names == [
        *("lm/bits_per_byte", "lm/acc"),
        *("copa/bits_per_byte", "copa/acc"),
    ]


def test_a_report_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    drawn = Small(blocks=[Picture(curve(), "A curve.")])
    write_report(tmp_path / "out", [drawn])
    assert len(list((tmp_path / "out").rglob("*"))) == 5
    before = (tmp_path / "out/results.json").read_text()
    with pytest.raises(InputError, match="plain values in the results of Sm"):
        write_report(tmp_path / "out", [Small(values={"a": object()})])
    assert (tmp_path / "out/results.json").read_text() == before
    write_report(tmp_path / "out", [Small()])
    assert len(list((tmp_path / "out").rglob("*"))) == 3  # no old picture
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds other files .*notes\.txt"):
        write_report(tmp_path / "out", [Small()])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_mistakes_are_told():
    twice = [Small(measures={"a/b": Measure(1.0)})] * 2
    with pytest.raises(InputError, match="Received: several of a/b"):
        sections_of(twice)
    with pytest.raises(InputError, match="Expected findings: objects"):
        sections_of(["text"])
    with pytest.raises(InputError, match="Expected blocks among Title, Words"):
        sections_of([Small(blocks=["text"])])
    with pytest.raises(InputError, match="1 tokens and 2 values in 'Loss"):
        html_of(HeatMap(["a"], [1.0, 2.0], "Loss."))
    with pytest.raises(InputError, match="nowhere, which is not there"):
        fingerprint_of(Path("nowhere"))


def test_hashes_are_of_content_and_names(tmp_path):
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").mkdir()
    one = fingerprint_of(tmp_path)
    assert fingerprint_of(tmp_path / "a").startswith("6b86b273")  # sha256("1")
    (tmp_path / "a").rename(tmp_path / "b" / "a")
    assert fingerprint_of(tmp_path) != one
    assert fingerprint_of("6b86") == "6b86"


def test_numbers_have_as_many_digits_as_they_deserve():
    assert column_texts([1234.5, 2.0]) == ["1,234", "2"]
    assert column_texts([0.25, 1e-7, 0.0]) == ["0.2500", "1.0e-07", "0.0000"]
    assert column_texts([np.int64(12000), np.float32(0.5)])[0] == "12,000"
    assert column_texts([math.inf, math.nan, None, False, [1, 2]]) == [
        *("inf", "–", "–", "no", "1, 2")
    ]
    assert measure_text(Measure(0.5, 0.0)) == "0.5000"
    assert measure_text(Measure(1234.5, 12.3)) == "1,234 ± 12"
    assert measure_text(Measure(math.nan, 0.1)) == "–"
    assert measure_text(Measure(8.0, 1e-15)) == "8.000"  # it is rounding
    assert measure_text(Measure(2e-8, 1e-9)) == "2.00e-08 ± 1.0e-09"
    assert measure_text(Measure(2.0796e9, 2e8)) == "2.08e+09 ± 2.0e+08"
    assert column_texts([2.5e8, 1.0]) == ["2.50e+08", "1"]
    gaps = [{"a": 1.5, "b": "", "c": "x"}, {"a": "", "b": None, "c": 2}]
    assert grid(gaps).right == [True, False, False]


def test_the_ends_of_the_heat_are_used():
    values = [-2.0, math.inf, 0.0, 2.0, math.nan]
    heat = HeatMap(list("abcde"), values, "Difference.")
    assert [shade for _, _, shade in shades(heat)] == [0, None, 4, 7, None]
    flat = HeatMap(["a", "b"], [1.0, 1.0], "All alike.")
    assert [shade for _, _, shade in shades(flat)] == [0, 0]
