"""docs/zoo.md is what the zoo says today."""

import subprocess
import sys

import pytest
from sources import ROOT

from keras_llm.zoo.table import page

PAGE = ROOT / "docs" / "zoo.md"
COMMAND = "python -m keras_llm.zoo.table > docs/zoo.md"


@pytest.fixture(scope="module")
def printed():
    """The page of a fresh process: without families that tests register."""
    script = """
from keras_llm import zoo
print("\\n".join(zoo.list()))
"""
    table, names = (
        subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, check=True
        ).stdout
        for words in (("-m", "keras_llm.zoo.table"), ("-c", script))
    )
    return table, names.split()


def test_the_page_is_up_to_date(printed):
    written = PAGE.read_text(encoding="utf-8")
    assert written == printed[0], f"Run: {COMMAND}"


def test_every_preset_is_on_it(printed):
    table, names = printed
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0][2:] for row in rows[2:]] == names


def test_it_says_how_it_is_written():
    assert COMMAND in page()
