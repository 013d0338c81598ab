"""Every public name exists, says what it does, and shows it by an example."""

import doctest
import importlib
import inspect
import pkgutil

import pytest
from sources import module_name, source_files

import keras_llm

PAGES = [
    "keras_llm",
    *(
        f"keras_llm.{module.name}"
        for module in pkgutil.iter_modules(keras_llm.__path__)
        if module.ispkg and module.name != "cli"
    ),
    "keras_llm.zoo",
    "keras_llm.export",
]
PAGES = list(dict.fromkeys(PAGES))
MODULES = [module_name(path) for path in source_files()]


def public(page: str) -> list[tuple[str, object]]:
    """Returns the functions and classes of ours that a page promises."""
    module = importlib.import_module(page)
    found = [(name, getattr(module, name)) for name in module.__all__]
    return [
        (name, value)
        for name, value in found
        if (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__.startswith("keras_llm")
    ]


def functions(value: object) -> list:
    """Returns a function itself, or the public methods a class defines."""
    if inspect.isfunction(value):
        return [value]
    members = [plain(member) for member in vars(value).values()]
    return [
        member
        for member in members
        if inspect.isfunction(member) and not member.__name__.startswith("_")
    ]


def plain(member: object) -> object:
    """Takes the function out of a property, classmethod or staticmethod."""
    if isinstance(member, property):
        return member.fget
    return inspect.unwrap(getattr(member, "__func__", member))


def fully_hinted(function) -> bool:
    signature = inspect.signature(function)
    hints = [signature.return_annotation] + [
        parameter.annotation
        for name, parameter in signature.parameters.items()
        if name not in ("self", "cls")
    ]
    return inspect.Parameter.empty not in hints


@pytest.mark.parametrize("page", PAGES)
def test_every_promised_name_exists_once(page):
    module = importlib.import_module(page)
    assert len(module.__all__) == len(set(module.__all__))
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert not missing
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("page", PAGES)
def test_every_public_name_has_a_docstring_with_an_example(page):
    without = [
        name
        for name, value in public(page)
        if ">>> " not in (inspect.getdoc(value) or "")
    ]
    assert not without, f"{page}: no `>>>` example in {without}"


@pytest.mark.parametrize("page", PAGES)
def test_every_public_function_has_type_hints(page):
    without = [
        f"{name}: {function.__qualname__}"
        for name, value in public(page)
        for function in functions(value)
        if not fully_hinted(function)
    ]
    assert not without, f"{page}: no type hints in {without}"


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(
        importlib.import_module(name),
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
    )
    assert result.failed == 0, f"{name}: see the output above"
