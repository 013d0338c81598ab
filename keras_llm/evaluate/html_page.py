"""A report as one HTML file: no script, no request, no folder beside it.

What a model wrote is untrusted text: jinja2 escapes whatever is put into
`page/report.html`, and the page forbids scripts and requests by its policy.
"""

import base64
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_llm.evaluate.cells import column_texts, grid
from keras_llm.evaluate.finding import Code, HeatMap, Table, Title, Words
from keras_llm.evaluate.markdown_page import summary
from keras_llm.evaluate.sections import (
    SHADES,
    Drawing,
    Part,
    Section,
    limits,
    shades,
)

PAGE = Path(__file__).parent / "page"
LONG = 32  # characters; a longer cell may be several lines high
VISIBLE = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"}


def html_text(
    title: str,
    about: str,
    date: str,
    sections: Sequence[Section],
    facts: Mapping[str, str],
) -> str:
    """Returns the whole page.

    Args:
        title: Its heading.
        about: A paragraph below it; may be empty.
        date: When it was made.
        sections: The findings, made ready.
        facts: How it was made, by name.

    Example:

    >>> page = html_text("<b>", "", "2026-11-30", [], {"seed": "1"})
    >>> "<h1>&lt;b&gt;</h1>" in page
    True
    """
    made = [{"what": name, "value": facts[name]} for name in facts]
    parts = [
        {**section._asdict(), "parts": map(html_of, section.parts)}
        for section in sections
    ]
    return _macros().page(
        *(title, about, date),
        _summary(sections),
        parts,
        html_of(Table(made)),
        _style(),
    )


def html_of(part: Part) -> str:
    """Returns one block as HTML, its text escaped.

    Example:

    >>> print(html_of(Words("a < b")).strip())
    <p class="words">a &lt; b</p>
    """
    return _WRITERS[type(part)](part)


@functools.cache
def _macros() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=FileSystemLoader(PAGE, encoding="utf-8"),
    )
    return environment.get_template("report.html").module


def _style() -> Any:
    """The style sheet, with a colour for each warmth."""
    from markupsafe import Markup

    sheet = (PAGE / "report.css").read_text(encoding="utf-8")
    warm = [
        f".h{shade} {{ background: color-mix(in oklab, var(--hot) "
        f"calc(var(--strength) * {shade / (SHADES - 1):.3f}), transparent); }}"
        for shade in range(SHADES)
    ]
    return Markup(sheet + "\n".join(warm) + "\n")


def _summary(sections: Sequence[Section]) -> str:
    rows = summary(sections)
    if not rows:
        return ""
    links = [section.anchor for section in sections for _ in section.measures]
    columns, lines = _cells(Table(rows), right={"value"})
    for line, link in zip(lines, links, strict=True):
        line[0]["link"] = f"part-{link}"
    return _macros().table(columns, lines, "All measures.")


def _title(title: Title) -> str:
    return _macros().title(title.text)


def _words(words: Words) -> str:
    return _macros().words(words.text)


def _code(code: Code) -> str:
    return _macros().code(code.text)


def _table(table: Table) -> str:
    return _macros().table(*_cells(table), table.caption)


def _cells(
    table: Table, right: frozenset[str] | set[str] = frozenset()
) -> tuple[list[dict], list[list[dict]]]:
    head, is_right, lines = grid(table.rows)
    columns = [
        {"name": name, "right": number or name in right}
        for name, number in zip(head, is_right, strict=True)
    ]
    return columns, [
        [
            {"text": text, "kind": _kind(text, column["right"]), "link": ""}
            for text, column in zip(line, columns, strict=True)
        ]
        for line in lines
    ]


def _kind(text: str, right: bool) -> str:
    return "right" if right else "long" if len(text) > LONG else ""


def _drawing(drawing: Drawing) -> str:
    data = base64.b64encode(drawing.png).decode()
    address = f"data:image/png;base64,{data}"
    return _macros().drawing(address, drawing.width, drawing.caption)


def _heat_map(heat: HeatMap) -> str:
    found = list(shades(heat))
    values = column_texts([value for _, value, _ in found])
    tokens = [
        {
            "shade": shade,
            "value": text,
            "pieces": _pieces(token),
            "quoted": "".join(text for text, _ in _pieces(token)),
            "breaks": token.endswith("\n"),
        }
        for (token, _, shade), text in zip(found, values, strict=True)
    ]
    low, high = column_texts(limits(heat))
    return _macros().heat_map(tokens, low, high, range(SHADES), heat.caption)


def _pieces(token: str) -> list[tuple[str, bool]]:
    """A token's characters, and which of them only make spaces visible."""
    return [(VISIBLE.get(one, one), one in VISIBLE) for one in token]


_WRITERS: dict[type, Callable] = {
    Title: _title,
    Words: _words,
    Code: _code,
    Table: _table,
    Drawing: _drawing,
    HeatMap: _heat_map,
}
