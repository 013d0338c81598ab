"""Docstrings as Markdown: sections, lists of arguments, examples."""

import inspect
import re
from collections.abc import Iterator

SECTION = re.compile(r"^([A-Z][A-Za-z ]+):(?: (.+))?$")
LISTED = ("Args", "Attributes", "Raises", "Returns", "Yields")
ENTRY = re.compile(r"^(\*{0,2}[\w.]+(?:, \*{0,2}[\w.]+)*):\s+(.*)$")
CODE = re.compile(r"(`[^`]*`)")


def markdown(docstring: str) -> str:
    """Returns a docstring as Markdown, its sections with bold titles.

    Example:

    >>> print(markdown("Adds.\\n\\nArgs:\\n    a: One\\n        number."))
    Adds.
    <BLANKLINE>
    **Args**
    <BLANKLINE>
    - `a`: One number.
    """
    return "\n\n".join(
        _section(title, lines) for title, lines in _sections(docstring)
    ).strip()


def entries(docstring: str, *titles: str) -> dict[str, str]:
    """Returns what sections like "Args" say of each name.

    `low, high: Bounds.` is said of both.
    """
    found = {}
    for title, lines in _sections(docstring):
        if title in titles:
            for names, text in _entries(lines):
                found |= dict.fromkeys(names.split(", "), text)
    return found


def escape(text: str) -> str:
    """Keeps `<` outside of code from becoming a tag."""
    return "".join(
        part if part.startswith("`") else part.replace("<", "&lt;")
        for part in CODE.split(text)
    )


def _sections(docstring: str) -> Iterator[tuple[str, list[str]]]:
    """Yields title and lines; what stands before a title has none."""
    title, lines = "", []
    for line in inspect.cleandoc(docstring).splitlines():
        start = SECTION.match(line)
        if start and (start[1] in LISTED or start[1] in ("Example", "Source")):
            yield title, lines
            title, lines = start[1], [start[2]] if start[2] else []
        else:
            lines.append(line)
    yield title, lines


def _section(title: str, lines: list[str]) -> str:
    head = f"**{title}**\n\n" * bool(title)
    if title in LISTED:
        listed = list(_entries(lines))
        if listed:
            return head + "\n".join(
                f"- `{name}`: {escape(text)}" for name, text in listed
            )
    return head + _prose(inspect.cleandoc("\n".join(["", *lines])))


def _prose(text: str) -> str:
    """Paragraphs, with `>>>` examples in fences."""
    parts = []
    for block in re.split(r"\n\n+", text):
        if block.lstrip().startswith(">>>"):
            code = inspect.cleandoc("\n" + block)
            parts.append(f"```pycon\n{code}\n```")
        elif block.startswith("    "):
            parts.append(f"```text\n{inspect.cleandoc(chr(10) + block)}\n```")
        else:
            parts.append(escape(_lists(block)))
    return "\n\n".join(parts)


def _lists(block: str) -> str:
    """A list needs an empty line before it, which docstrings spare."""
    return re.sub(r"(?m)^(?![-*] )(\S.*)\n(?=[-*] )", r"\1\n\n", block, count=1)


def _entries(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yields the names and the text of each entry of a section."""
    name, words = None, []
    for line in inspect.cleandoc("\n".join(["", *lines])).splitlines():
        start = ENTRY.match(line)
        if start:
            if name:
                yield name, " ".join(words)
            name, words = start[1], [start[2]]
        elif name:
            words.append(line.strip())
    if name:
        yield name, " ".join(filter(None, words))
