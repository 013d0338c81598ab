"""Which fields the examples of a file have: found out once, then kept to."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from keras_llm.errors import InputError
from keras_llm.tune.entries import Entry


class Shape(NamedTuple):
    """A form that examples come in.

    Attributes:
        fields: What an example of this form must have.
        parse: Makes the record of an entry.
        kind: Forms of one kind may stand in one file. "" for a kind of its
            own.
    """

    fields: tuple[str, ...]
    parse: Callable[[Entry], Any]
    kind: str = ""

    def __str__(self) -> str:
        """Returns the fields as a list in words."""
        return ", ".join(self.fields)

    @property
    def group(self) -> str:
        """Returns the kind, or what stands for it."""
        return self.kind or str(self)


def parsed(
    entries: Iterable[Entry], shapes: Sequence[Shape], hint: str = ""
) -> Iterator[Any]:
    """Yields the record of each entry; the first decides the form of all.

    Args:
        entries: The objects of one file.
        shapes: The forms there are; of those that fit, the first is taken.
        hint: What to do where none fits.

    Raises:
        InputError: No form fits, or not the form of the first one.

    Example:

    >>> text = Shape(("text",), lambda entry: entry.text("text"))
    >>> list(parsed([Entry({"text": "Hi"}, "a.jsonl, line 1", 1)], [text]))
    ['Hi']
    """
    first: tuple[Shape, Entry] | None = None
    for entry in entries:
        shape = _shape_of(entry, shapes)
        if first is None:
            if shape is None:
                raise _unknown(entry, shapes, hint)
            first = shape, entry
        elif shape is None or shape.group != first[0].group:
            raise _other(entry, shape, *first)
        yield shape.parse(entry)


def _shape_of(entry: Entry, shapes: Sequence[Shape]) -> Shape | None:
    for shape in shapes:
        if entry.fields.keys() >= {*shape.fields}:
            return shape
    return None


def _unknown(entry: Entry, shapes: Sequence[Shape], hint: str) -> InputError:
    forms = "; ".join(str(shape) for shape in shapes)
    return InputError(
        f"Expected examples with the fields of one of these forms: {forms}. "
        f"Received: {entry.where} has {', '.join(entry.fields) or 'none'}. "
        f"Rename the fields.{hint and ' '}{hint}"
    )


def _other(
    entry: Entry, shape: Shape | None, first: Shape, start: Entry
) -> InputError:
    missing = [name for name in first.fields if name not in entry.fields]
    if shape is None:
        return InputError(
            f"Expected the fields {first}, as in {start.where}. Received: "
            f"{entry.where} without {', '.join(missing)}; it has "
            f"{', '.join(entry.fields) or 'none'}. Add what is missing, or "
            "remove the example."
        )
    return InputError(
        f"Expected one form in a file: {first}, as in {start.where}. "
        f"Received: {entry.where} with {shape}. Put each form into a file of "
        "its own."
    )
