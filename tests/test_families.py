"""A family is one file of data: short, not copied, and branched on nowhere."""

import ast
import collections
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sources import PACKAGES, module_name, source_files

from keras_llm import zoo
from keras_llm.config import SCALINGS
from keras_llm.zoo.family import Family

SOURCES = source_files()
STEMS = tuple(
    sorted(
        {
            re.match("[a-z]+", name)[0]
            for family in zoo.families()
            for name in (family.name, family.model_type, *family.presets)
        }
        | {f.architecture for f in zoo.families()}
    )
)
LARGEST = 5  # expressions in a repeated expression: a name, a call of a few


def family_files() -> list[Path]:
    """The files that define a `Family`."""
    return [
        path
        for path in SOURCES
        if module_name(path).startswith("keras_llm.zoo.")
        and any(
            isinstance(value, Family)
            for value in vars(
                importlib.import_module(module_name(path))
            ).values()
        )
    ]


FILES = family_files()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_there_is_a_file_for_every_family():
    assert len(FILES) == len(zoo.families()) > 12


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_family_file_is_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_family_file_says_where_it_comes_from(path):
    text = ast.get_docstring(parsed(path)) or ""
    assert "Sources: " in text and "https://" in text


def test_no_code_stands_in_two_family_files():
    places = collections.defaultdict(set)
    for path in FILES:
        for node in ast.walk(parsed(path)):
            inner = [n for n in ast.walk(node) if isinstance(n, ast.expr)]
            if isinstance(node, ast.expr) and len(inner) > LARGEST:
                places[ast.unparse(node)].add(path.stem)
            elif isinstance(node, ast.FunctionDef):
                places[body_of(node)].add(path.stem)
    assert not {k: v for k, v in places.items() if len(v) > 1}


def body_of(node: ast.FunctionDef) -> str:
    """What a function does, whatever it and its words are called."""
    start = 1 if ast.get_docstring(node) else 0
    return "\n".join(ast.unparse(line) for line in node.body[start:])


def words_compared(tree: ast.AST) -> Iterator[str]:
    """Yields the words in comparisons, in `match`, and in prefix tests."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            parts = [node.value]
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("startswith", "endswith", "find", "index")
        ):
            parts = node.args
        else:
            continue
        for part in parts:
            for leaf in ast.walk(part):
                if isinstance(leaf, ast.Constant) and type(leaf.value) is str:
                    yield leaf.value


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_nothing_asks_for_a_models_name(path):
    """Differences between families are fields of the config, or tables."""
    tree = parsed(path)
    words = {word.lower() for word in words_compared(tree)} - {*SCALINGS}
    stems = tuple(stem.lower() for stem in STEMS)
    assert not [word for word in words if word.startswith(stems)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and isinstance(
            node.ops[0], ast.Eq | ast.NotEq
        ):
            text = ast.unparse(node)
            assert "'model_type'" not in text and "architecture" not in text
            assert "family.name" not in text and "family.model_" not in text


def test_the_search_for_names_finds_some():
    for code in (
        "if name == 'llama': pass",
        "x = 1 if kind in ('gemma', 'phi3') else 2",
        "match name:\n    case 'qwen3': pass",
        "name.startswith('mistral')",
    ):
        words = list(words_compared(ast.parse(code)))
        assert words and all(word.startswith(STEMS) for word in words)


def test_all_packages_are_searched():
    rooms = {module_name(path).split(".")[1] for path in SOURCES[1:]}
    assert {"zoo", "export", "layers", "cli"} <= rooms and PACKAGES
