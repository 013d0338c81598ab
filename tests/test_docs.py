"""The documents are true: commands parse, the tree is there, the tour runs."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import check, lines_of
from sources import ROOT, source_files

from keras_llm.cli.app import VERBS

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = ("shell", "sh", "bash", "console")


def blocks(text: str, *languages: str) -> list[str]:
    """Returns the fenced blocks of a document in one of the languages."""
    return [body for name, body in FENCE.findall(text) if name in languages]


def section(heading: str) -> str:
    """Returns the README's text below `## heading`, up to the next one."""
    found = re.search(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)",
        README,
        re.MULTILINE | re.DOTALL,
    )
    assert found, f"README.md has no section `## {heading}`"
    return found[1]


def tree() -> dict[str, str]:
    """Returns path -> phrase, as the README's `## Files` block lists them.

    Two spaces indent one level, a folder ends with `/`, two spaces or more
    stand before the phrase.
    """
    listed: dict[str, str] = {}
    folders: list[str] = []
    for line in blocks(section("Files"), "text")[0].splitlines():
        found = re.fullmatch(r"( *)(\S+)(?: {2,}(\S.*))?", line)
        assert found, f"Expected `name  phrase`. Received: {line!r}"
        indent, name, phrase = found.groups()
        del folders[len(indent) // 2 :]
        path = "".join(folders) + name
        assert path not in listed, f"{path} is listed twice"
        listed[path] = phrase or ""
        if name.endswith("/"):
            folders.append(name)
    return listed


def described(path: Path) -> str:
    """Returns where the tree describes a file: `__init__.py` at its folder."""
    name = path.relative_to(ROOT).as_posix()
    return name.removesuffix("__init__.py")


COMMANDS = [
    pytest.param(line, id=f"{path.name}: {line}")
    for path in DOCUMENTS
    for block in blocks(path.read_text(encoding="utf-8"), *SHELL)
    for line in lines_of(block)
]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_understood(line):
    check(line)


def test_the_verbs_come_in_the_order_of_the_work():
    shown = re.findall(r"keras-llm (\w+)", "\n".join(blocks(README, *SHELL)))
    first = [name for name in dict.fromkeys(shown) if name in VERBS]
    assert first == list(VERBS)


def test_the_two_commands_are_there():
    shown = "\n".join(blocks(README, *SHELL))
    assert "make quickstart" in shown and "make test" in shown


def test_the_tree_lists_only_what_exists():
    missing = [path for path in tree() if not (ROOT / path).exists()]
    assert not missing, f"Listed in README.md, not on the disk: {missing}"


def test_the_tree_lists_every_source_file_with_a_phrase():
    listed = tree()
    missing = [
        described(path)
        for path in source_files()
        if not listed.get(described(path))
    ]
    assert not missing, (
        f"README.md's tree has no phrase for {missing}. To paste there, with "
        "what the files say of themselves:\n" + "\n".join(suggestion(listed))
    )


def suggestion(listed: dict[str, str]) -> Iterator[str]:
    """Yields the lines of a whole tree of the source files."""
    for path in sorted(source_files(), key=described):
        name = described(path)
        indent = "  " * (name.rstrip("/").count("/"))
        own = name.rstrip("/").rpartition("/")[2] + "/" * name.endswith("/")
        first = path.read_text(encoding="utf-8").strip('"r').split("\n")[0]
        phrase = listed.get(name) or first.rstrip('."')
        yield f"{indent + own:22}  {phrase}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(path):
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    broken = [
        target
        for target in targets
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert not broken


@pytest.mark.slow
def test_the_python_tour_runs(tmp_path):
    tour = "\n".join(blocks(section("Python"), "python"))
    assert tour, "README.md's section `## Python` has no python block"
    subprocess.run([sys.executable, "-c", tour], cwd=tmp_path, check=True)
