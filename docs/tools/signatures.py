"""Signatures and fields as they are written in the source."""

import ast
import inspect
import re
import textwrap
from typing import Any

from docstrings import entries

WIDTH = 80
PRIVATE = re.compile(r"^_(?!_)")


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
    if len(line) <= WIDTH:
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
