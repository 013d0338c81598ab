"""Example: what was made, as a document for the steps and as a line after."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_llm.data.document import Document
from keras_llm.data.rights import document_hash

MARK = "\n\u241e\n"  # SYMBOL FOR RECORD SEPARATOR, on a line between fields
CHAT, PAIR, TEXT = (
    ("instruction", "response"),
    ("prompt", "chosen", "rejected"),
    ("text",),
)
"""The fields of each form of example."""


@dataclasses.dataclass(frozen=True)
class Example:
    """What a model made of something.

    Attributes:
        values: The fields of one of the forms `CHAT`, `PAIR` and `TEXT`.
        origin: What it was made from.
        about: What is known of it beside that, as JSON values.

    Example:

    >>> made = Example(("1 + 1?", "2"), Document("Sums.", "sums.txt"))
    >>> record_of(CHAT, made.document())["messages"][1]["content"]
    '2'
    """

    values: tuple[str, ...]
    origin: Document
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def document(self) -> Document:
        """Returns the fields as one text, for the steps of curation."""
        origin = self.origin
        about = {
            **self.about,
            "source": origin.source,
            "source_hash": document_hash(origin.text),
        }
        if url := origin.metadata.get("url"):
            about["url"] = url
        text = MARK.join(one.replace(MARK.strip(), " ") for one in self.values)
        return Document(
            text, origin.source, origin.license, origin.language, about
        )


def fields_of(document: Document) -> list[str]:
    """Returns the fields of an example's document.

    Example:

    >>> fields_of(Example(("a", "b"), Document("c", "d")).document())
    ['a', 'b']
    """
    return document.text.split(MARK)


def record_of(form: tuple[str, ...], document: Document) -> dict[str, Any]:
    """Returns an example as `keras-llm finetune` reads it.

    Args:
        form: `CHAT`, `PAIR` or `TEXT`.
        document: Of an `Example`.

    Example:

    >>> made = Example(("Hm?", "Yes.", "No."), Document("", "a.txt"))
    >>> {**record_of(PAIR, made.document()), "metadata": None}
    {'prompt': 'Hm?', 'chosen': 'Yes.', 'rejected': 'No.', 'metadata': None}
    """
    if form == TEXT:
        return document.to_dict()
    values = fields_of(document)
    about = dict(document.metadata)
    if document.license:
        about["license"] = document.license
    if form == CHAT:
        said = zip(("user", "assistant"), values, strict=True)
        messages = [{"role": role, "content": text} for role, text in said]
        return {"messages": messages, "metadata": about}
    return {**dict(zip(form, values, strict=True)), "metadata": about}
