"""A package's public page whose names are imported on first use."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy(package: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Returns a module's `__getattr__` for names that stand in its files.

    Args:
        package: The package, for example "keras_llm.evaluate".
        names: Public name -> the file of the package that has it. The two
            must differ: an imported file is an attribute of its package too.

    Example:

    >>> get = lazy("keras_llm", {"InputError": "errors"})
    >>> get("InputError").__name__
    'InputError'
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no {name!r}")
        module = importlib.import_module(f"{package}.{names[name]}")
        return getattr(module, name)

    return get
