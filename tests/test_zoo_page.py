"""docs/zoo.md is what the zoo says today."""

import subprocess
import sys

from sources import ROOT

from keras_llm import zoo
from keras_llm.zoo.table import page

PAGE = ROOT / "docs" / "zoo.md"
COMMAND = "python -m keras_llm.zoo.table > docs/zoo.md"


def test_the_page_is_up_to_date():
    written = PAGE.read_text(encoding="utf-8")
    assert written == page(), f"Run: {COMMAND}"


def test_every_preset_is_on_it():
    lines = page().splitlines()
    names = [line.split(" | ")[0].removeprefix("| ") for line in lines]
    assert [name for name in names if name in zoo.list()] == list(zoo.list())


def test_the_command_that_it_names_prints_it():
    assert COMMAND in page()
    answer = subprocess.run(
        [sys.executable, "-m", "keras_llm.zoo.table"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout == page()
