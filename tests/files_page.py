"""Prints docs/files.md: every source file and what it says of itself.

`python tests/files_page.py > docs/files.md`
"""

from pathlib import Path

from sources import ROOT, source_files

HEAD = """\
# The files

What every module says of itself, from its first line. An import only goes
down the ranks of [tests/test_imports.py](../tests/test_imports.py).

This page is written by `python tests/files_page.py > docs/files.md`.

```text
"""


def page() -> str:
    """Returns the page as it should be now."""
    return (
        HEAD + "".join(map(_line, sorted(source_files(), key=_name))) + "```\n"
    )


def _name(path: Path) -> str:
    """Where a file is described: `__init__.py` at its folder."""
    return path.relative_to(ROOT).as_posix().removesuffix("__init__.py")


def _line(path: Path) -> str:
    name = _name(path)
    indent = "  " * name.rstrip("/").count("/")
    own = name.rstrip("/").rpartition("/")[2] + "/" * name.endswith("/")
    first = path.read_text(encoding="utf-8").strip('"r').split("\n")[0]
    phrase = first.rstrip('."')
    return f"{indent + own:28}  {phrase}\n"


if __name__ == "__main__":
    print(page(), end="")
