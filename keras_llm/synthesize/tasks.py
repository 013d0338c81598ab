"""What a task of synthesis is, and what all tasks share."""

import abc
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.synthesize.asked import Answer
from keras_llm.synthesize.examples import CHAT, Example
from keras_llm.synthesize.generator import Generator
from keras_llm.synthesize.settings import SynthesisSettings

REFUSED = "refused by the model's server"
EMPTY = "empty answer"
CUT = "cut off at the most new tokens"
NO_JSON = "no JSON with all fields"


class Models(NamedTuple):
    """Who is asked.

    Attributes:
        generator: Who writes.
        judge: Who judges.
        other: Who writes the second answer of a pair.

    Example:

    >>> echo = Generator(str.upper)
    >>> Models(echo, echo, echo).judge.name
    'str.upper'
    """

    generator: Generator
    judge: Generator
    other: Generator


class Task(abc.ABC):
    """Something that models are asked to make of each of some items.

    Attributes:
        name: How reports call it.
        form: The fields of its examples: `CHAT`, `PAIR` or `TEXT`.
        answer: Which of them is the model's answer.
        minimum: Fewest characters of an example, all fields together.
        copies: Whether an answer that copies its origin is dropped.
        seeds: Whether `limit` is of what is made, not of the items.

    Example:

    >>> class Shout(Task):
    ...     name, form, answer = "shout", ("text",), 0
    ...     def templates(self):
    ...         return ("{document}",)
    ...     def prompts(self, items, settings):
    ...         return [item.text for item in items]
    ...     def examples(self, models, items, settings, counts):
    ...         asked = models.generator.ask(self.prompts(items, settings))
    ...         for item, answer in zip(items, asked):
    ...             yield Example((answer.text,), item)
    >>> item, echo = Document("a rose", "a.txt"), Generator(str.upper)
    >>> made = Shout().examples(
    ...     Models(echo, echo, echo), [item], SynthesisSettings(), Counts("")
    ... )
    >>> next(made).values
    ('A ROSE',)
    """

    name: str
    form: tuple[str, ...] = CHAT
    answer: int = 1
    minimum: int = 20
    copies: bool = False
    seeds: bool = False

    @abc.abstractmethod
    def templates(self) -> tuple[str, ...]:
        """Returns the prompts, before any text is filled in."""

    @abc.abstractmethod
    def prompts(
        self, items: Sequence[Document], settings: SynthesisSettings
    ) -> list[str]:
        """Returns what is asked first."""

    @abc.abstractmethod
    def examples(
        self,
        models: Models,
        items: Sequence[Document],
        settings: SynthesisSettings,
        counts: Counts,
    ) -> Iterator[Example]:
        """Yields what models made of the items; drops are counted."""


def asked(
    generator: Generator,
    items: Sequence[Document],
    prompts: Sequence[str],
    what: str,
    **changes: Any,
) -> list[Answer]:
    """Asks one question about each item; the log says which item.

    Example:

    >>> items = [Document("a", "1")]
    >>> asked(Generator(str.upper), items, ["why"], "asking")[0].text
    'WHY'
    """
    about = [{"task": what, "source": item.source} for item in items]
    return generator.ask(prompts, what, about, **changes)


def trouble(answer: Answer, whole: bool = True) -> str:
    """Returns why an answer cannot be used, or "".

    Args:
        answer: The answer.
        whole: Whether one that was cut off is of no use.

    Example:

    >>> trouble(Answer(" "))
    'empty answer'
    """
    if answer.refused:
        return REFUSED
    if not answer.text.strip():
        return EMPTY
    return CUT if whole and answer.cut else ""


def dropped(
    counts: Counts, item: Document, answer: Answer, reason: str
) -> None:
    """Counts an answer of which nothing is made.

    Example:

    >>> counts = Counts("questions")
    >>> dropped(counts, Document("a", "1"), Answer("?"), NO_JSON)
    >>> dict(counts.dropped)
    {'no JSON with all fields': 1}
    """
    text = answer.text or answer.refused
    counts.drop(Document(text, item.source), reason)
