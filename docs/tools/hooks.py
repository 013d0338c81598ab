"""What MkDocs is told beside mkdocs.yml: pages that are made, links, globs."""

import fnmatch
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api_pages import api_pages
from command_page import command_page
from mkdocs.structure.files import File, Files
from settings_page import settings_page
from source_pages import site_links, source_pages

# TensorFlow's start-up notes are not news.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
NAMED = ("CHANGELOG", "CONTRIBUTING", "LOG", "examples/README")
PROJECT = [ROOT / f"{name}.md" for name in NAMED]


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that are made from the code, and fills in the nav.

    Where docs/ has a page of the same name, which stands for it where there is
    no site, the one that is made takes its place.
    """
    for address, text in made_pages().items():
        stand_in = files.get_file_from_path(address)
        if stand_in:
            files.remove(stand_in)
        files.append(File.generated(config, address, content=text))
    if config.nav:
        named = set(leaves(config.nav))
        names = {page.src_uri for page in files.documentation_pages()}
        config.nav = expand(config.nav, sorted(names - named))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links to files outside of docs/ lead to their pages in the site.

    A page without sections has no table of contents, and takes its room.
    """
    if "\n## " not in markdown:
        page.meta.setdefault("hide", ["toc"])
    if page.file.generated_by:
        return markdown
    return site_links(markdown, DOCS / page.file.src_uri, ROOT)


def made_pages() -> dict[str, str]:
    """Returns all pages that are not files in docs/, by address."""
    return {
        "commands.md": command_page(),
        "settings.md": settings_page(),
        **api_pages(),
        **source_pages([*DOCS.rglob("*.md"), *PROJECT], ROOT),
    }


def leaves(nav: list) -> Iterator[str]:
    """The pages and patterns of a nav."""
    for item in nav:
        for inner in item.values() if isinstance(item, dict) else [item]:
            yield from leaves(inner) if isinstance(inner, list) else [inner]


def expand(nav: list, names: list[str]) -> list:
    """Replaces entries with a `*` by the pages they match, in their order.

    A section of which nothing is left is left out.
    """
    expanded = []
    for item in nav:
        if isinstance(item, str) and "*" in item:
            expanded += fnmatch.filter(names, item)
        elif isinstance(item, dict):
            ((title, inner),) = item.items()
            if isinstance(inner, list):
                inner = expand(inner, names)
            expanded += [{title: inner}] * bool(inner)
        else:
            expanded.append(item)
    return expanded
