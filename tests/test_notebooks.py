"""The notebooks: scripts and .ipynb say the same, and each teaches whole."""

import importlib.util
import re

import pytest
from sources import ROOT

pytest.importorskip("jupytext", reason="the extra notebooks is not installed")
pytest.importorskip("nbconvert", reason="the extra notebooks is not installed")

spec = importlib.util.spec_from_file_location("run", ROOT / "notebooks/run.py")
run = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run)
CHAPTERS = [path for path in run.scripts() if path.stem != "00_tour"]


@pytest.mark.parametrize("script", run.scripts(), ids=lambda path: path.stem)
def test_the_notebook_is_what_the_script_says(script):
    written = script.with_suffix(".ipynb").read_text("utf-8")
    assert written == run.text_of(script), "Run: python notebooks/run.py sync"


@pytest.mark.parametrize("script", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_opens_with_its_aims_and_ends_with_exercises(script):
    notebook = run.notebook_of(script)
    texts = [cell.source for cell in notebook.cells]
    assert texts[0].startswith("# ") and "you will be able to" in texts[0]
    whole = "\n".join(texts)
    exercises, _, solutions = whole.partition("\n## Solutions\n")
    assert len(re.findall(r"^\*\*Exercise \d\.\*\*", exercises, re.M)) == 3
    assert len(re.findall(r"^### Exercise \d$", solutions, re.M)) == 3
    assert solutions.count("assert ") >= 3
