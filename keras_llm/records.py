"""Record: the base of the frozen settings that travel as JSON."""

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any, ClassVar, Self

from keras_llm.errors import InputError, check_choice
from keras_llm.files import write_text


class Record:
    """Dictionary and JSON forms, with unknown keys refused by name.

    Subclasses are frozen keyword-only dataclasses.

    Example:

    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Size(Record):
    ...     width: int = 1
    >>> Size.from_dict({"width": 2}).to_dict()
    {'width': 2}
    """

    __dataclass_fields__: ClassVar[dict]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values that `from_dict` and JSON understand."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Builds the record from `to_dict`'s values.

        Raises:
            InputError: A key is not a field of this record.
        """
        if not isinstance(values, dict):
            raise InputError(
                f"Expected the fields of {cls.__name__} by name. Received: "
                f"{values!r:.60}."
            )
        unknown = sorted(set(values) - set(cls.__dataclass_fields__))
        if unknown:
            raise InputError(
                f"Expected only fields of {cls.__name__}: "
                f"{', '.join(cls.__dataclass_fields__)}. "
                f"Received unknown keys: {', '.join(unknown)}. Remove them, "
                "or update keras_llm if a newer version wrote them."
            )
        missing = sorted(cls._required() - set(values))
        if missing:
            raise InputError(
                f"Expected {cls.__name__} to have {', '.join(missing)}. "
                f"Received only: {', '.join(values) or 'nothing'}."
            )
        return cls(**values)

    @classmethod
    def _required(cls) -> set[str]:
        missing = dataclasses.MISSING
        return {
            name
            for name, field in cls.__dataclass_fields__.items()
            if field.default is missing and field.default_factory is missing
        }

    def _one_of(self, name: str, allowed: tuple) -> None:
        check_choice(name, getattr(self, name), allowed)

    def _positive(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            whole = self.__dataclass_fields__[name].type in (int, int | None)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(
                value, int if whole else (int, float)
            ):
                kind = "an integer" if whole else "a number"
                raise InputError(
                    f"Expected {name} to be {kind}. Received: {value!r}."
                )
            if not value > 0 or not math.isfinite(value):
                raise InputError(
                    f"Expected {name} to be above zero. Received: {value!r}."
                )

    def _whole(self, name: str, least: int, most: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise InputError(
                f"Expected {name} to be an integer. Received: {value!r}."
            )
        self._between(name, least, most)

    def _between(self, name: str, least: float, most: float) -> None:
        value = getattr(self, name)
        number = isinstance(value, (int, float)) and math.isfinite(value)
        if not number or not least <= value <= most:
            highest = f"{most:,}" if isinstance(most, int) else f"{most:g}"
            limit = "" if most == math.inf else f" and at most {highest}"
            raise InputError(
                f"Expected {name} to be at least {least:g}{limit}. "
                f"Received: {value!r}."
            )

    def save(self, path: str | os.PathLike) -> None:
        """Writes the config as JSON, whole or not at all."""
        write_text(path, json.dumps(self.to_dict(), indent=2) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Reads what `save` wrote.

        Raises:
            InputError: The file is missing, is not JSON, or has unknown keys.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InputError(
                f"Expected {cls.__name__} as JSON at {path}. "
                "Received: no such file."
            ) from error
        except ValueError as error:
            raise InputError(
                f"Expected JSON in {path}. Received: {error}. The file is "
                "damaged: restore it or save the model again."
            ) from error
        return cls.from_dict(values)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
