"""The house keeps its shape: who may import whom, how long a file may be."""

import ast
import collections
import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sources import PACKAGES, ROOT, module_name, source_files

# An import goes down or sideways, never up. A new module gets its rank here.
RANKS = {
    "closing": 0,
    "errors": 0,
    "mesh": 0,
    "estimate": 0,
    "estimate_flops": 0,
    "estimate_levers": 0,
    "estimate_memory": 0,
    "estimate_plan": 0,
    "estimate_setup": 0,
    "figures": 0,
    "executors": 0,
    "files": 0,
    "lazy": 0,
    "hardware": 0,
    "progress": 0,
    "config": 0,
    "records": 0,
    "shapes": 0,
    "layers": 1,
    "tokenizers": 1,
    "data": 1,
    "model": 2,
    "sketch": 2,
    "step": 2,
    "adapters": 3,
    "decoding": 3,
    "embed": 3,
    "generate": 3,
    "sampling": 3,
    "quantize": 3,
    "resize": 3,
    "score": 3,
    "stopping": 3,
    "weights": 3,
    "card": 4,
    "causal_lm": 4,
    "classify": 4,
    "model_folder": 4,
    "pruning": 4,
    "conversation": 4,
    "train": 4,
    "tune": 4,
    "evaluate": 4,
    "feedback": 4,
    "visualize": 4,
    "search": 4,
    "zoo": 5,
    "export": 6,
    "compare": 6,
    "synthesize": 6,
    "cli": 7,
}

# Sideways, but not these: a tokenizer is passed in, a layer sees only tensors.
FORBIDDEN = {
    "data": {"tokenizers", "layers"},
    "layers": {"tokenizers", "data"},
    "tokenizers": {"layers", "data"},
}

SOURCES = source_files()
EVERYTHING = [
    path
    for folder in (*PACKAGES, "tests", "benchmarks", "notebooks")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def imported(path: Path) -> Iterator[str]:
    """Yields the full name of everything a file imports, wherever in it."""
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level + (node.module or "")
            origin = importlib.util.resolve_name(dots, package)
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def room(name: str) -> str:
    """keras_llm.data.pack -> data; keras_llm alone -> nothing."""
    parts = name.split(".")
    return parts[1] if parts[0] == "keras_llm" and len(parts) > 1 else ""


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_imports_only_go_down(path):
    own = room(module_name(path))
    if not own:  # the public page names everything, lazily
        return
    assert own in RANKS, f"Give keras_llm.{own} a rank in {__file__}."
    for name in imported(path):
        other = room(name)
        if other in RANKS:
            assert RANKS[other] <= RANKS[own], f"{own} imports {name}"
            assert other not in FORBIDDEN.get(own, ()), f"{own} imports {name}"


@pytest.mark.parametrize("path", EVERYTHING, ids=relative)
def test_zoo_and_export_are_never_bare(path):
    bare = {name.split(".")[0] for name in imported(path)} & {"zoo", "export"}
    assert not bare, f"Import keras_llm.{bare.pop()}: bare, it is a second copy"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_every_module_imports(path):
    assert importlib.import_module(module_name(path)).__doc__


@pytest.mark.parametrize("module", ["keras_llm", "keras_llm.cli"])
def test_the_front_door_does_not_wait_for_tensorflow(module):
    heavy = "{'tensorflow', 'keras', 'jax', 'torch', 'transformers'}"
    script = f"import {module}, sys; print(sorted({heavy} & set(sys.modules)))"
    answer = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "[]"


# A chapter of the notebooks is a page to read, not a part of a program.
PROGRAMS = [path for path in EVERYTHING if not path.stem[:2].isdigit()]


@pytest.mark.parametrize("path", PROGRAMS, ids=relative)
def test_no_file_is_long(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 400, f"{lines} lines; split it by what its parts do"


def test_no_function_stands_twice():
    places = collections.defaultdict(list)
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                start = 1 if ast.get_docstring(node) else 0
                body = node.body[start:]
                if sum(isinstance(n, ast.stmt) for n in walk(body)) >= 4:
                    key = "\n".join(ast.dump(line) for line in body)
                    places[key].append(f"{relative(path)}:{node.lineno}")
    assert not [found for found in places.values() if len(found) > 1]


def walk(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yields every node below a list of statements."""
    for line in body:
        yield from ast.walk(line)
