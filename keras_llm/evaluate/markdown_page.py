"""A report as Markdown: what a terminal, a review and a model card show."""

import re
from collections.abc import Callable, Mapping, Sequence

from keras_llm.evaluate.cells import grid, measure_text
from keras_llm.evaluate.finding import (
    Code,
    HeatMap,
    Table,
    Title,
    Words,
)
from keras_llm.evaluate.report import markdown_table
from keras_llm.evaluate.sections import Drawing, Part, Section, shades

FIGURES = "figures"
BETTER = {True: "higher", False: "lower", None: ""}
_MARKS = re.compile(r"([\\`*\[\]<>#~&!$]|(?<![^\W_])_|_(?![^\W_]))")
_STARTS = re.compile(r"^(\s*)([-+=:]|\d+[.)])", re.MULTILINE)
_WARMEST = 8


def markdown_text(
    title: str, about: str, sections: Sequence[Section], facts: Mapping
) -> str:
    """Returns the whole page.

    Args:
        title: Its heading.
        about: A paragraph below it; may be empty.
        sections: The findings, made ready.
        facts: How it was made, by name.

    Example:

    >>> print(markdown_text("Mine", "", [], {"seed": 1}))
    # Mine
    <BLANKLINE>
    ## How this was made
    <BLANKLINE>
    | what | value |
    | --- | --- |
    | seed | 1 |
    <BLANKLINE>
    """
    parts = [f"# {escaped(title)}"]
    parts += [_words(Words(about))] if about else []
    rows = summary(sections)
    parts += ["## Summary", _table(Table(rows))] if rows else []
    for section in sections:
        parts.append(f"## {escaped(section.title)}")
        parts += [markdown_of(part) for part in section.parts]
    made = [{"what": name, "value": str(facts[name])} for name in facts]
    parts += ["## How this was made", _table(Table(made))]
    return "\n\n".join(parts) + "\n"


def summary(sections: Sequence[Section]) -> list[dict]:
    """Returns a row for every measure.

    Example:

    >>> from keras_llm.evaluate.finding import Measure
    >>> summary([Section("Size", "size", [], {"size/n": Measure(9.0)})])
    [{'measure': 'size/n', 'value': '9.000', 'items': None, 'better': 'higher'}]
    """
    return [
        {
            "measure": name,
            "value": measure_text(measure),
            "items": measure.count,
            "better": BETTER[measure.higher_is_better],
        }
        for section in sections
        for name, measure in section.measures.items()
    ]


def markdown_of(part: Part) -> str:
    """Returns one block as Markdown.

    Example:

    >>> markdown_of(Words("1. *not* a list"))
    '1\\\\. \\\\*not\\\\* a list'
    """
    return _WRITERS[type(part)](part)


def escaped(text: str) -> str:
    """Returns a text that Markdown shows as it is; bars are left alone.

    Example:

    >>> escaped("<b> & *c*")
    '\\\\<b\\\\> \\\\& \\\\*c\\\\*'
    """
    return _MARKS.sub(r"\\\1", text)


def fenced(text: str) -> str:
    """Returns a text letter for letter, in a fence longer than any in it.

    Example:

    >>> print(fenced("1 + 1"))
    ```text
    1 + 1
    ```
    """
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _title(title: Title) -> str:
    return f"### {escaped(title.text)}"


def _words(words: Words) -> str:
    text = escaped(words.text).replace("|", "\\|")
    return _STARTS.sub(_escape_start, text)


def _escape_start(found: re.Match) -> str:
    """A list, an underline or a definition that was none begins so."""
    space, mark = found.groups()
    return f"{space}{mark[:-1]}\\{mark[-1]}"


def _code(code: Code) -> str:
    return fenced(code.text)


def _table(table: Table) -> str:
    head, right, lines = grid(table.rows)
    caption = f"*{escaped(table.caption)}*" if table.caption else ""
    if not lines:
        return "\n\n".join(filter(None, [caption, "No rows."]))
    head = [escaped(name) for name in head]
    rows = [dict(zip(head, map(escaped, line), strict=True)) for line in lines]
    numbers = {
        name for name, is_right in zip(head, right, strict=True) if is_right
    }
    body = markdown_table(rows, right=numbers)
    return "\n\n".join(filter(None, [caption, body]))


def _drawing(drawing: Drawing) -> str:
    caption = escaped(drawing.caption)
    return f"![{caption}]({FIGURES}/{drawing.file})\n\n*{caption}*"


def _heat_map(heat: HeatMap) -> str:
    """Markdown has no colours: the text, and which tokens are warmest."""
    known = [
        (value, token)
        for token, value, warmth in shades(heat)
        if warmth is not None
    ]
    warmest = sorted(known, key=lambda pair: -pair[0])[:_WARMEST]
    listed = [{"token": repr(t), "value": v} for v, t in warmest]
    text = fenced("".join(heat.tokens))
    return f"{text}\n\n{_table(Table(listed, heat.caption))}"


_WRITERS: dict[type, Callable] = {
    Title: _title,
    Words: _words,
    Code: _code,
    Table: _table,
    Drawing: _drawing,
    HeatMap: _heat_map,
}
