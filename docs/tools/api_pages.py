"""API pages: every public name of every public page, from the code itself.

The pages are made when the site is built, from what Python imports: so lazy
names, and the folders `zoo` and `export` that setup.py maps into the package,
need no special care, and no page can be older than the code.
"""

import ast
import functools
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from docstrings import entries, escape, markdown

import keras_llm

LONGEST_VALUE = 300
DECORATORS = {
    property: "@property",
    functools.cached_property: "@property",
    classmethod: "@classmethod",
    staticmethod: "@staticmethod",
}
PRIVATE = re.compile(r"^_(?!_)")


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
    head = f'{level} {name} {{: #{path} data-toc-label="{name}" }}'
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
    head = f'{level} {name} {{: #{path} data-toc-label="{name}" }}'
    yield "\n\n".join(filter(None, [head, _fenced(code), _doc(function)]))


def _function_of(member: Any) -> Any:
    """The function in a property, a class method or a cached property."""
    for name in ("fget", "func", "__func__"):
        inner = getattr(member, name, None)
        if inspect.isfunction(inner):
            return inspect.unwrap(inner)
    return inspect.unwrap(member) if callable(member) else member


def function_signature(name: str, function: Any) -> str:
    """The signature as it is written in the source."""
    node = _node(function)
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return f"{name}{inspect.signature(function)}"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return _call(name, _parameters(node), returns)


def class_signature(cls: type) -> str:
    """How an object is made: its fields, or the arguments of `__init__`."""
    if "__init__" in vars(cls) and inspect.isfunction(_node_owner(cls)):
        node = _node(_node_owner(cls))
        return _call(f"class {cls.__name__}", _parameters(node), "")
    fields = [
        ast.unparse(item)
        for owner in reversed(inspect.getmro(cls))
        if owner.__module__.startswith("keras_llm")
        for item in getattr(_node(owner), "body", [])
        if isinstance(item, ast.AnnAssign)
        and "ClassVar" not in ast.unparse(item.annotation)
        and not PRIVATE.match(ast.unparse(item.target))
    ]
    return _call(f"class {cls.__name__}", fields, "")


def _node_owner(cls: type) -> Any:
    """`__init__` as it was written; None for one that `dataclass` made."""
    function = inspect.unwrap(vars(cls)["__init__"])
    return function if _node(function) else None


def _parameters(node: Any) -> list[str]:
    """The parameters one by one, with `*` and `/` where they stand."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults))
    found = [
        _parameter(argument, default)
        for argument, default in zip(
            positional, [*defaults, *arguments.defaults], strict=True
        )
    ]
    if arguments.posonlyargs:
        found.insert(len(arguments.posonlyargs), "/")
    if arguments.vararg:
        found.append("*" + ast.unparse(arguments.vararg))
    elif arguments.kwonlyargs:
        found.append("*")
    found += [
        _parameter(argument, default)
        for argument, default in zip(
            arguments.kwonlyargs, arguments.kw_defaults, strict=True
        )
    ]
    if arguments.kwarg:
        found.append("**" + ast.unparse(arguments.kwarg))
    return [text for text in found if text not in ("self", "cls")]


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    text = ast.unparse(argument)
    if default is None:
        return text
    return (
        f"{text}{' = ' if argument.annotation else '='}{ast.unparse(default)}"
    )


def _call(name: str, parameters: list[str], returns: str) -> str:
    line = f"{name}({', '.join(parameters)}){returns}"
    if len(line) <= 80:
        return line
    return "\n".join(
        [f"{name}(", *(f"    {p}," for p in parameters), f"){returns}"]
    )


def _node(value: Any) -> Any:
    """The definition of a function or class; None where none is written."""
    try:
        source = inspect.getsource(value)
    except (OSError, TypeError):
        return None
    return ast.parse(textwrap.dedent(source)).body[0]


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


def fields_of(cls: type) -> list[tuple[str, str, str, str]]:
    """Name, type, default and meaning of each field of a record."""
    said = entries(inspect.getdoc(cls) or "", "Args", "Attributes")
    found = []
    for item in _node(cls).body:
        if isinstance(item, ast.AnnAssign):
            name = ast.unparse(item.target)
            default = ast.unparse(item.value) if item.value else ""
            hint = ast.unparse(item.annotation)
            found.append((name, hint, default, _said_of(name, said)))
    return found


def _said_of(name: str, said: dict[str, str]) -> str:
    """What is said of a field, or where else it is explained."""
    if name in said:
        return said[name]
    others = [other for other, text in said.items() if f"`{name}`" in text]
    return f"See `{others[0]}`." if others else ""
