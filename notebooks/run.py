"""The notebooks: from scripts to .ipynb, run, and written as pages.

    python notebooks/run.py sync              # .py -> .ipynb, no outputs
    python notebooks/run.py tiny [NAME ...]   # run at the size of CI
    python notebooks/run.py pages [NAME ...]  # in full, to docs/notebooks

A notebook is a script in jupytext's percent form, `NN_name.py`; edit that one.
NAME is its number or more of its name.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from nbconvert.writers import FilesWriter

HERE = Path(__file__).parent
PAGES = HERE.parent / "docs" / "notebooks"
DATA = HERE.parents[1] / "shared" / "data"
LIMIT = 3600  # seconds a cell may take
# Code in a page (where a # is no heading), a heading, an image without a name.
PARTS = re.compile(r"^```.*?^```$|^#+ ([^\n]*)|!\[png\]", re.M | re.S)


def scripts(names: list[str] | None = None) -> list[Path]:
    """The notebooks' scripts, in order; those that begin with a name."""
    found = sorted(HERE.glob("[0-9]*_*.py"))
    chosen = [
        path
        for path in found
        if not names or any(path.stem.startswith(name) for name in names)
    ]
    if not chosen:
        sys.exit(f"Expected the number of a notebook. Received: {names}.")
    return chosen


def notebook_of(script: Path) -> nbformat.NotebookNode:
    """The notebook of a script; the same script gives the same bytes."""
    notebook = jupytext.read(script)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata = {}
    notebook.metadata = {
        "kernelspec": {
            "display_name": "Python 3",
            "language": "python",
            "name": "python3",
        }
    }
    return notebook


def text_of(script: Path) -> str:
    """What stands in the .ipynb of a script."""
    return nbformat.writes(notebook_of(script), indent=1) + "\n"


def sync(names: list[str]) -> None:
    """Writes the .ipynb of each script."""
    for script in scripts(names):
        script.with_suffix(".ipynb").write_text(text_of(script), "utf-8")


def executed(script: Path) -> nbformat.NotebookNode:
    """Runs a notebook in a kernel of its own; an error names its cell."""
    notebook = notebook_of(script)
    started = time.monotonic()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if DATA.is_dir():  # the texts beside our checkout: nothing is downloaded
        os.environ.setdefault("KERAS_LLM_DATA", str(DATA))
    NotebookClient(
        notebook,
        timeout=LIMIT,
        resources={"metadata": {"path": str(HERE)}},
        extra_arguments=["--log-level=ERROR"],
        coalesce_streams=True,  # one block for all that a cell prints
    ).execute()
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        outputs[:] = [one for one in outputs if not passing(one)]
    seconds = time.monotonic() - started
    print(f"{script.stem}: {seconds:.0f} s", flush=True)
    return notebook


def passing(output: nbformat.NotebookNode) -> bool:
    """Whether an output is a progress bar or a program's start-up line."""
    page = str(output.get("data", {}).get("text/html"))
    return output.get("name") == "stderr" or "<pre style" in page


def tiny(names: list[str]) -> int:
    """Runs notebooks at a tiny size, two at a time; how many failed."""
    environment = {**os.environ, "KERAS_LLM_TINY": "1"}
    with ThreadPoolExecutor(2) as pool:
        codes = pool.map(
            lambda script: subprocess.call(
                [sys.executable, __file__, "one", script.stem], env=environment
            ),
            scripts(names),
        )
        return sum(code != 0 for code in codes)


def named(page: str) -> str:
    """The page, with each image named by the heading above it."""
    heading = ""

    def name(part: re.Match[str]) -> str:
        nonlocal heading
        heading = part[1] or heading
        return f"![{heading}]" if part[0] == "![png]" else part[0]

    return PARTS.sub(name, page)


def pages(names: list[str]) -> None:
    """Runs notebooks in full and writes each as Markdown with its figures."""
    for script in scripts(names):
        figures = PAGES / f"{script.stem}_files"
        body, resources = MarkdownExporter().from_notebook_node(
            executed(script), {"output_files_dir": figures.name}
        )
        shutil.rmtree(figures, ignore_errors=True)
        writer = FilesWriter(build_directory=str(PAGES))
        writer.write(named(body), resources, notebook_name=script.stem)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=["sync", "tiny", "pages", "one"])
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    if given.what == "sync":
        sync(given.names)
    elif given.what == "pages":
        pages(given.names)
    elif given.what == "tiny":
        sys.exit(1 if tiny(given.names) else 0)
    else:
        executed(scripts(given.names)[0])


if __name__ == "__main__":
    main()
