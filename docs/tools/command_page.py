"""The page of the command line, from the app itself."""

import importlib
import re
from typing import Any

import typer
from docstrings import escape, markdown

from keras_llm.cli import app
from keras_llm.cli.app import PANELS

BOLD = re.compile(r"\[bold\](.*?)\[/bold\]", re.DOTALL)

HEAD = """\
# Commands

Every verb reads a plain folder and writes a plain folder. `keras-llm VERB
--help` shows the same on a terminal. A mistake is one sentence and exit code 2,
an export that failed its check is one sentence and exit code 1, Ctrl-C is exit
code 130.
"""


def command_page() -> str:
    """Returns the page: verbs in the order of the work, each with options."""
    group: Any = typer.main.get_command(app)
    parts = [HEAD]
    for panel, names in PANELS.items():
        parts.append(f"## {panel}")
        parts += [_verb(group, name) for name in names]
    return "\n\n".join(parts) + "\n"


def _verb(group: Any, name: str, *before: str) -> str:
    command = group.commands[name]
    words = [*before, name]
    context = command.make_context(
        " ".join(["keras-llm", *words]), [], resilient_parsing=True
    )
    usage = " ".join(command.collect_usage_pieces(context))
    level = "#" * (len(words) + 2)
    parts = [
        f"{level} {' '.join(words)}",
        f"```text\nkeras-llm {' '.join(words)} {usage}\n```",
        markdown(command.help or ""),
        _examples(command.epilog or ""),
        *_tables(command, context),
    ]
    parts += [_verb(command, inner, *words) for inner in _inner(command)]
    return "\n\n".join(filter(None, parts))


def _inner(command: Any) -> list[str]:
    return list(getattr(command, "commands", {}))


def _examples(epilog: str) -> str:
    lines = [" ".join(line.split()) for line in BOLD.findall(epilog)]
    return "```bash\n" + "\n".join(lines) + "\n```" if lines else ""


def _tables(command: Any, context: Any) -> list[str]:
    """A table of options for each group of them."""
    groups: dict[str, list[str]] = {}
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record:
            title = getattr(parameter, "rich_help_panel", None) or ""
            groups.setdefault(title, []).append(_row(*record))
    return [
        (f"**{title}**\n\n" * bool(title))
        + "\n".join(["| option | |", "| --- | --- |", *rows])
        for title, rows in groups.items()
    ]


def _row(name: str, text: str) -> str:
    default = re.search(r"  \[(.*)\]$", text, re.DOTALL)
    said = escape(text[: default.start()] if default else text)
    kept = f" `{default[1]}`" if default else ""
    return f"| `{name}` | {said}{kept} |".replace("|str", "\\|str")


def all_verbs() -> list[str]:
    """The verbs that the page has to have, for the test."""
    return list(importlib.import_module("keras_llm.cli.app").ORDER)
