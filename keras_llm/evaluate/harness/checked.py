"""Records whose values are checked against the types of their fields."""

import types
import typing
from typing import Any

from keras_llm.errors import InputError
from keras_llm.records import Record


class Checked(Record):
    """A record whose values must be of the types that its fields say.

    Raises:
        InputError: One is not.

    Example:

    >>> import dataclasses
    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Size(Checked):
    ...     width: int = 1
    >>> Size(width=2).width
    2
    """

    def __post_init__(self) -> None:
        for name, hint in typing.get_type_hints(type(self)).items():
            if name not in self.__dataclass_fields__:
                continue
            value = getattr(self, name)
            if not fits(value, hint):
                raise InputError(
                    f"Expected {name} to be {_spoken(hint)}. Received: "
                    f"{value!r:.60}."
                )


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type; True and False are no numbers.

    Example:

    >>> fits(3, int | None), fits(True, int), fits([1], list[dict])
    (True, False, False)
    """
    if hint is Any:
        return True
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in typing.get_args(hint))
    if isinstance(value, bool) and hint is not bool:
        return False
    if origin is list:
        (item,) = typing.get_args(hint)
        return isinstance(value, list) and all(fits(v, item) for v in value)
    return isinstance(value, origin or hint)


def _spoken(hint: Any) -> str:
    """A type in words a user of YAML knows."""
    words = {str: "a text", int: "an integer", bool: "true or false"}
    words |= {dict: "values by name", type(None): "null", float: "a number"}
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_spoken(one) for one in typing.get_args(hint))
    if typing.get_args(hint) == (dict,):
        return "a list of values by name"
    return words.get(typing.get_origin(hint) or hint, "a list")
