"""The documents are true: commands parse, the tree is there, the tour runs."""

import re
import subprocess
import sys

import pytest
from commands import check, lines_of
from files_page import page
from sources import ROOT

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


def test_the_page_of_files_is_what_the_files_say():
    now = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    assert now == page(), "Run: python tests/files_page.py > docs/files.md"


def test_the_folders_in_the_readme_exist():
    lines = blocks(section("Files"), "text")[0].splitlines()
    missing = [line for line in lines if not (ROOT / line.split()[0]).exists()]
    assert not missing


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


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("adapters.md", "benchmarks.md", "bias.md", "corpus_report.md"),
        *("curate.md", "curated_vs_raw.md", "data.md", "evaluate.md"),
        *("metrics.md", "mixtures.md", "report.md", "synthesize.md"),
    ],
)
def test_the_python_of_a_page_runs(name, tmp_path):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    script = "\n".join(blocks(text, "python"))
    assert script, f"{name} has no python block"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
