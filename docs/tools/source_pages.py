"""Files outside of docs/ that its pages link to, as pages of the site.

On a code host `../LOG.md` leads to the file. In the site it leads to a page
that shows it, so that no link leaves the site and none breaks.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

FENCED = re.compile(r"(^```.*?^```$|`[^`\n]*`)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(\]\()([^)#\s]+)(#[^)\s]*)?(\))")
LANGUAGES = {
    ".py": "python",
    ".sh": "bash",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".toml": "toml",
    ".c": "c",
    ".go": "go",
    ".java": "java",
    ".conf": "nginx",
}


def site_links(text: str, path: Path, root: Path) -> str:
    """Returns a page's Markdown with its links as they are in the site.

    Args:
        text: Markdown.
        path: Where the page is in the repository: its links start there.
        root: The repository.
    """

    def change(link: re.Match) -> str:
        target = outside(link[2], path, root)
        if not target:
            return link[0]
        start = page_address(path, root)
        where = os.path.relpath(page_address(target, root), start.parent)
        return f"{link[1]}{where}{link[3] or ''}{link[4]}"

    return prose(text, lambda part: LINK.sub(change, part))


def source_pages(documents: list[Path], root: Path) -> dict[str, str]:
    """Returns the pages of files outside of docs/ that the site needs.

    Args:
        documents: Pages of the site; of those outside of docs/ and of all
            files that these and those link to a page is made.
        root: The repository.
    """
    pages: dict[str, str] = {}
    seen: set[Path] = set()
    waiting = list(documents)
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        if not path.is_relative_to(root / "docs"):
            pages[page_address(path, root).as_posix()] = page_of(path, root)
        if path.suffix == ".md":
            waiting += linked(path, root)
    return pages


def linked(path: Path, root: Path) -> list[Path]:
    """The files outside of docs/ that a document links to."""
    targets: list[Path] = []

    def note(part: str) -> str:
        for link in LINK.finditer(part):
            target = outside(link[2], path, root)
            if target:
                targets.append(target)
        return part

    prose(path.read_text(encoding="utf-8"), note)
    return targets


def outside(link: str, path: Path, root: Path) -> Path | None:
    """The file a link leads to, if the site needs another address for it."""
    if "://" in link or link.startswith("mailto:"):
        return None
    target = (path.parent / link).resolve()
    inside = path.is_relative_to(root / "docs")
    if inside and target.is_relative_to(root / "docs"):
        return None
    if target.is_dir():
        target = target / "README.md"
    return target if target.is_file() else None


def page_address(path: Path, root: Path) -> Path:
    """Where a file of the repository is in the site."""
    name = path.relative_to(root)
    if name.parts[0] == "docs":
        return Path(*name.parts[1:])
    return Path("source", name if name.suffix == ".md" else f"{name}.md")


def page_of(path: Path, root: Path) -> str:
    """A Markdown file with its links changed; other files in a fence."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return site_links(text, path, root)
    fence = "````" + LANGUAGES.get(path.suffix, "text")
    return f"# {path.relative_to(root)}\n\n{fence}\n{text.rstrip()}\n````\n"


def prose(text: str, change: Callable[[str], str]) -> str:
    """Changes what is not code."""
    return "".join(
        part if part.startswith("`") else change(part)
        for part in FENCED.split(text)
    )
