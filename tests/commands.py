"""Reads command lines and says whether they would be understood today.

Nothing is run: a line of `keras-llm` is parsed by the app itself, a line of
`make` is looked up in the Makefile, an extra of `pip install` in
pyproject.toml.
"""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from sources import ROOT

from keras_llm.cli import app

# Other people's programs: their words are not ours to check.
OTHERS = {
    *(".", "cd", "curl", "dask", "echo", "gcloud", "git", "kubectl", "ls"),
    *("printf", "sbatch", "source", "srun", "tensorboard"),
    "text_model",  # that `make -C examples/c` builds
}


def lines_of(block: str) -> Iterator[str]:
    """Yields the command lines of a shell block, without comments."""
    for line in block.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\|\||[|;]", line.removeprefix("$ ")):
            words = shlex.split(part, comments=True)
            if words:
                yield shlex.join(words)


def check(line: str) -> None:
    """Raises an AssertionError that says why a line would not work."""
    words = shlex.split(line)
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    program = Path(words[0]).name or words[0]
    if program == "keras-llm":
        check_verb(words[1:])
    elif program == "make":
        check_make(words[1:])
    elif program in ("pip", "python", "python3"):
        check_python(words[1:])
    else:
        assert program in OTHERS, f"Unknown program in: {line}"


def check_verb(words: list[str]) -> None:
    """Parses the words as `keras-llm` would, without running the verb."""
    group = typer.main.get_command(app)
    if not words or words[0] in ("-h", "--help", "--version"):
        return
    parse(group, group.make_context("keras-llm", list(words)))


def parse(group: Any, context: Any) -> None:
    """Parses the words that are left in a group's context."""
    words = [*context._protected_args, *context.args]
    name, command, rest = group.resolve_command(context, words)
    group = hasattr(command, "commands")
    if {"-h", "--help"} & set(rest[:1] if group else rest):
        return
    inner = command.make_context(name, rest, parent=context)
    if group:
        parse(command, inner)


def commands_of(group: Any, *before: str) -> dict[str, Any]:
    """Returns a group's commands by name, with those of groups in it."""
    found = {}
    for name, command in group.commands.items():
        found[" ".join([*before, name])] = command
        if hasattr(command, "commands"):
            found |= commands_of(command, *before, name)
    return found


def check_make(words: list[str]) -> None:
    """Looks the targets up; options in ARGS go to `keras-llm quickstart`."""
    folder = ROOT
    if words[:1] == ["-C"]:
        folder, words = ROOT / words[1], words[2:]
    targets = [word for word in words if "=" not in word]
    given = dict(word.split("=", 1) for word in words if "=" in word)
    makefile = (folder / "Makefile").read_text(encoding="utf-8")
    for target in targets:
        assert re.search(rf"(?m)^{target}:", makefile), f"No target {target}"
    for name in given:
        assert re.search(rf"(?m)^{name} \?=", makefile), f"No variable {name}"
    if targets == ["quickstart"]:
        check_verb(["quickstart", *shlex.split(given.get("ARGS", ""))])


def check_python(words: list[str]) -> None:
    """Checks our extras in `pip install`, and that a script exists."""
    project = tomllib.loads(
        (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    )["project"]
    for word in words:
        for extras in re.findall(r"^(?:keras_llm|\.)\[(.*)\]$", word):
            unknown = set(extras.split(",")) - {
                *project["optional-dependencies"]
            }
            assert not unknown, f"No such extra: {unknown}"
        if word.endswith(".py"):
            assert (ROOT / word).exists(), f"No such file: {word}"
