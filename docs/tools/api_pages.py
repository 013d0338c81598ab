"""API pages: every public name of every public page, from the code itself.

The pages are made when the site is built, from what Python imports: so lazy
names, and the folders `zoo` and `export` that setup.py maps into the package,
need no special care, and no page can be older than the code.
"""

import functools
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from docstrings import escape, markdown
from signatures import class_signature, function_signature

import keras_llm

LONGEST_VALUE = 300
DECORATORS = {
    property: "@property",
    functools.cached_property: "@property",
    classmethod: "@classmethod",
    staticmethod: "@staticmethod",
}


def api_pages() -> dict[str, str]:
    """Returns the Markdown of each page by its address in the site."""
    pages = {name: importlib.import_module(name) for name in page_names()}
    texts = {address(name): page(module) for name, module in pages.items()}
    return {"api/index.md": overview(pages), **texts}


def page_names() -> list[str]:
    """The public modules: `keras_llm` and those that it names."""
    return ["keras_llm", *(f"keras_llm.{name}" for name in keras_llm._MODULES)]


def address(module: str) -> str:
    """keras_llm.data -> api/data.md."""
    return f"api/{module.rpartition('.')[2]}.md"


def overview(pages: dict[str, ModuleType]) -> str:
    """The list of pages with the first line of each."""
    rows = [
        f"| [{name}]({address(name)[4:]}) | {len(promised(module))} | "
        f"{first_line(module)} |"
        for name, module in pages.items()
    ]
    return "\n".join(
        [
            "# The Python API",
            "",
            "These pages are made from the docstrings. What is not here is "
            "not promised.",
            "",
            "| import | names | what it has |",
            "| --- | ---: | --- |",
            *rows,
            "",
        ]
    )


def promised(module: ModuleType) -> list[str]:
    """The public names: `__all__`, or else all that a module defines."""
    return getattr(module, "__all__", None) or own_names(module)


def own_names(module: ModuleType) -> list[str]:
    """The names without an underscore of what is defined in a module."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", "") == module.__name__
    ]


def page(module: ModuleType) -> str:
    """The page of one module: all that it promises."""
    parts = [f"# {module.__name__}", markdown(inspect.getdoc(module) or "")]
    for name in promised(module):
        value = getattr(module, name)
        if not (inspect.ismodule(value) and value.__name__ in page_names()):
            parts.append(entry(f"{module.__name__}.{name}", value))
    if module is keras_llm:
        parts.append("## Modules\n\n" + _module_list())
    return "\n\n".join(parts) + "\n"


def first_line(value: Any) -> str:
    """The first sentence of a docstring, for a table."""
    return escape((inspect.getdoc(value) or "").split("\n")[0])


def entry(path: str, value: Any, level: str = "##") -> str:
    """A name with its signature and docstring; a class with its methods."""
    name = path.rpartition(".")[2]
    head = _heading(path, level)
    inner = inspect.unwrap(value) if callable(value) else value
    if inspect.isclass(inner):
        parts = [_fenced(class_signature(inner)), _doc(inner)]
        parts += members(path, inner, level + "#")
    elif inspect.isfunction(inner):
        parts = [_fenced(function_signature(name, inner)), _doc(inner)]
    elif inspect.ismodule(inner):
        parts = [_doc(inner), *module_entries(path, inner, level + "#")]
    else:
        parts = [_fenced(_value(name, inner)), "A constant."]
    where = _where(inner)
    return "\n\n".join(filter(None, [head, *parts, where]))


def _heading(path: str, level: str) -> str:
    """A heading whose anchor is the whole name."""
    name = path.rpartition(".")[2]
    if name.startswith("__"):  # emphasis, which attributes do not survive
        return f'<a id="{path}"></a>\n\n{level} `{name}`'
    return f'{level} {name} {{: #{path} data-toc-label="{name}" }}'


def module_entries(path: str, module: ModuleType, level: str) -> list[str]:
    """The entries of a public module in a page, as `tune.rewards`."""
    return [
        entry(f"{path}.{name}", getattr(module, name), level)
        for name in own_names(module)
    ]


def members(path: str, cls: type, level: str) -> list[str]:
    """The public methods and properties of a class and of its own bases."""
    found = {}
    for owner in reversed(inspect.getmro(cls)):
        if owner.__module__.startswith("keras_llm"):
            found |= vars(owner)
    return [
        text
        for name, member in found.items()
        if not name.startswith("_")
        for text in _member(f"{path}.{name}", member, level)
    ]


def _member(path: str, member: Any, level: str) -> Iterator[str]:
    name = path.rpartition(".")[2]
    function = _function_of(member)
    if not inspect.isfunction(function):
        return
    line = DECORATORS.get(type(member))
    code = "\n".join(filter(None, [line, function_signature(name, function)]))
    head = _heading(path, level)
    yield "\n\n".join(filter(None, [head, _fenced(code), _doc(function)]))


def _function_of(member: Any) -> Any:
    """The function in a property, a class method or a cached property."""
    for name in ("fget", "func", "__func__"):
        inner = getattr(member, name, None)
        if inspect.isfunction(inner):
            return inspect.unwrap(inner)
    return inspect.unwrap(member) if callable(member) else member


def _fenced(code: str) -> str:
    return f"```python\n{code}\n```"


def _doc(value: Any) -> str:
    return markdown(inspect.getdoc(value) or "")


def _value(name: str, value: Any) -> str:
    text = repr(sorted(value) if isinstance(value, dict) else value)
    kind = "the keys" if isinstance(value, dict) else type(value).__name__
    return textwrap.shorten(
        f"{name}: {kind} = {text}", LONGEST_VALUE, placeholder=" ..."
    )


def _where(value: Any) -> str:
    """In which module it is defined."""
    module = getattr(value, "__module__", None)
    return f"*Defined in `{module}`.*" if module else ""


def _module_list() -> str:
    return "\n".join(
        f"- [`{name}`]({address(name)[4:]}): "
        f"{first_line(importlib.import_module(name))}"
        for name in page_names()[1:]
    )
