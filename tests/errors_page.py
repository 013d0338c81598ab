"""Prints docs/errors.md: every error message a user can meet.

`python tests/errors_page.py > docs/errors.md`
"""

import ast
import functools
import hashlib
import re
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from sources import module_name, source_files

KINDS = ("InputError", "ExportError", "Damaged", "Refused")
MARK = re.compile(r"\0(.*?)\0")  # what is filled in, while a text is made
MARKDOWN = re.compile(r"([\\`*_\[\]<>|#])")
WORDS = 8  # of a message, in its anchor

HEAD = """\
# Error messages

Every message of the library's two errors. An `InputError` is a mistake in what
was passed; an `ExportError` says that an exported file failed a check and was
not kept. A message says what was expected, what was received, and, where it is
not plain from that, what to do. What is *slanted* is filled in. The address of
a message is behind its #.

Search for the first words of yours, or for a word that is not a name or a
number. The verbs print the message alone; `keras-llm --debug VERB` shows where
it came from. [Questions and answers](faq.md) says more about the common ones.

This page is written by `python tests/errors_page.py > docs/errors.md`.
"""


class Message(NamedTuple):
    """One message: where it is raised, what it is, its words."""

    module: str
    kind: str
    text: str


def page() -> str:
    """Returns the page as it should be now."""
    parts = [HEAD]
    known: dict[str, list[str]] = {}
    for message in messages():
        known.setdefault(message.text, []).append(message.module)
    first = {}
    for message in messages():
        first.setdefault(message.text, message)
    anchors = anchors_of(first)
    listed = sorted(first.values(), key=lambda one: (one.module, one.text))
    for package, inner in groupby(listed, lambda one: package_of(one.module)):
        parts.append(f"\n## {package}\n")
        for module, own in groupby(inner, lambda one: one.module):
            parts.append(f"\n### {module}\n\n")
            parts += [line(one, anchors[one.text], known) for one in own]
    return "".join(parts)


def line(message: Message, anchor: str, known: dict[str, list[str]]) -> str:
    """One message of the list, with the other modules that say the same."""
    others = sorted(set(known[message.text]) - {message.module})
    also = f" (Also in {', '.join(others)}.)" if others else ""
    kind = "" if message.kind == "InputError" else f"`{message.kind}` "
    link = f'<a id="{anchor}" href="#{anchor}">#</a>'
    return f"- {link} {kind}{shown(message.text)}{also}\n"


def shown(text: str) -> str:
    """The words as Markdown: what is filled in is slanted."""
    parts = MARK.split(" ".join(text.split()))
    for number, part in enumerate(parts):
        part = MARKDOWN.sub(r"\\\1", part)
        parts[number] = f"*{part}*" if number % 2 else part
    return "".join(parts)


def package_of(module: str) -> str:
    """keras_llm.data.pack -> keras_llm.data; modules at the top: keras_llm."""
    parts = module.split(".")
    return ".".join(parts[:2]) if len(parts) > 2 else "keras_llm"


def anchors_of(texts: dict) -> dict[str, str]:
    """An anchor for each message, of its first words.

    Where two messages begin alike both have a hash of all words, too, so that
    no anchor depends on where a message stands.
    """
    slugs = {text: slug(text) for text in texts}
    often = list(slugs.values())
    return {
        text: own if often.count(own) == 1 else f"{own}-{digest(text)}"
        for text, own in slugs.items()
    }


def slug(text: str) -> str:
    """The first words, without what is filled in."""
    words = re.findall(r"[a-z0-9]+", MARK.sub(" ", text).lower())
    return "-".join(words[:WORDS])


def digest(text: str) -> str:
    """Eight digits that tell messages apart."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@functools.cache
def messages() -> tuple[Message, ...]:
    """Every message of the source, in the order of the files."""
    return tuple(
        Message(module_name(path), kind, " ".join(text.split()))
        for path in source_files()
        for kind, text in raised(ast.parse(path.read_text(encoding="utf-8")))
    )


def raised(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yields what is raised and the words, for each place that makes one."""
    functions = {
        node.name: node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            kind = ast.unparse(node.func).rpartition(".")[2]
            if kind in KINDS:
                for text in texts_of(node.args[0], functions):
                    yield kind, text


def texts_of(node: ast.expr, functions: dict) -> list[str]:
    """The forms a message can have: each choice in it makes another one."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.JoinedStr):
        return ["".join(map(_part, node.values))]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [
            left + right
            for left in texts_of(node.left, functions)
            for right in texts_of(node.right, functions)
        ]
    if isinstance(node, ast.IfExp):
        return [
            *texts_of(node.body, functions),
            *texts_of(node.orelse, functions),
        ]
    helper = functions.get(_called(node))
    if helper:
        return [
            text
            for inner in ast.walk(helper)
            if isinstance(inner, ast.Return) and inner.value
            for text in texts_of(inner.value, functions)
        ]
    return [f"\0{_name(node)}\0"]


def _called(node: ast.expr) -> str:
    """The name of a function that makes the message."""
    if not isinstance(node, ast.Call):
        return ""
    return ast.unparse(node.func).removeprefix("self.")


def _part(node: ast.expr) -> str:
    """A part of an f-string."""
    if isinstance(node, ast.FormattedValue):
        return f"\0{_name(node.value)}\0"
    return str(node.value) if isinstance(node, ast.Constant) else ""


def _name(node: ast.expr) -> str:
    """What is filled in, in a word if it has a name."""
    if isinstance(node, ast.Name):
        return node.id.strip("_")
    if isinstance(node, ast.Attribute):
        return node.attr.strip("_")
    return "..."


if __name__ == "__main__":
    print(page(), end="")
