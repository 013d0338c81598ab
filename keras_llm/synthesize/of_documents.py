"""Tasks on documents: instructions, questions, rewriting."""

import dataclasses
from collections.abc import Iterator, Sequence

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.errors import InputError, check_choice
from keras_llm.synthesize.examples import TEXT, Example
from keras_llm.synthesize.prompts import (
    INSTRUCTIONS,
    QUESTIONS,
    STYLES,
    checked,
    fill,
)
from keras_llm.synthesize.replies import read_objects, read_text
from keras_llm.synthesize.settings import DEFAULTS, SynthesisSettings
from keras_llm.synthesize.tasks import (
    NO_JSON,
    Models,
    Task,
    asked,
    dropped,
    trouble,
)


@dataclasses.dataclass(frozen=True)
class FromDocuments(Task):
    """Instructions or questions, with answers, from each document.

    The model is asked for a JSON list; what has all fields is taken, also of
    a list that was cut off.

    Args:
        name: "instructions" or "questions".
        per_document: How many are asked for.
        prompt: What is asked, with {document} and perhaps {count}. It must
            ask for "instruction" and "response". Default: by the name.

    Raises:
        InputError: The name is another one, `per_document` is below 1, or the
            prompt has no place for the document.

    Example:

    >>> task = FromDocuments("questions", per_document=2)
    >>> [prompt] = task.prompts([Document("A rose is a rose.", "a.txt")])
    >>> "A rose is a rose." in prompt and "Write 2 different" in prompt
    True
    """

    name: str = "instructions"
    per_document: int = 3
    prompt: str = ""
    copies = True

    def __post_init__(self):
        own = {"instructions": INSTRUCTIONS, "questions": QUESTIONS}
        check_choice("name", self.name, tuple(own))
        if self.per_document < 1:
            raise InputError(
                "Expected per_document to be at least 1. Received: "
                f"{self.per_document}."
            )
        prompt = checked(self.prompt or own[self.name], ["document"])
        object.__setattr__(self, "prompt", prompt)

    def templates(self) -> tuple[str, ...]:
        """Returns the prompt."""
        return (self.prompt,)

    def prompts(
        self,
        items: Sequence[Document],
        settings: SynthesisSettings = DEFAULTS,
    ) -> list[str]:
        """Returns what is asked of each document."""
        return [
            fill(self.prompt, document=item.text, count=self.per_document)
            for item in items
        ]

    def examples(
        self,
        models: Models,
        items: Sequence[Document],
        settings: SynthesisSettings,
        counts: Counts,
    ) -> Iterator[Example]:
        """Yields the pairs in the answers."""
        answers = asked(models.generator, items, self.prompts(items), self.name)
        for item, answer in zip(items, answers, strict=True):
            reason = trouble(answer, whole=False)
            pairs = [] if reason else read_objects(answer.text, self.form)
            if not pairs:
                dropped(counts, item, answer, reason or NO_JSON)
            for pair in pairs:
                yield Example(tuple(pair.values()), item)


@dataclasses.dataclass(frozen=True)
class Rephrase(Task):
    """Each document once more, in another style.

    Args:
        style: "easy", "medium", "hard", "qa", or "persona".
        persona: Who tells it, for the style "persona": "a retired sailor".
        prompt: What is asked, with {document} and perhaps {persona}.
            Default: by the style.

    Raises:
        InputError: The style is unknown, a persona is missing or is not
            used, or the prompt has no place for the document.

    Source: the four styles are those of Maini et al. 2024, "Rephrasing the
    Web", https://arxiv.org/abs/2401.16380, which cuts documents to 300
    tokens; the words are ours.

    Example:

    >>> task = Rephrase("persona", persona="a retired sailor")
    >>> [prompt] = task.prompts([Document("It rains.", "a.txt")])
    >>> "tell it: a retired sailor" in prompt
    True
    """

    style: str = "medium"
    persona: str = ""
    prompt: str = ""
    name = "rephrase"
    form = TEXT
    answer = 0
    minimum = 100
    copies = True

    def __post_init__(self):
        check_choice("style", self.style, tuple(STYLES))
        prompt = checked(self.prompt or STYLES[self.style], ["document"])
        if bool(self.persona) != ("{persona}" in prompt):
            raise InputError(
                'Expected a persona with style="persona", or a prompt with '
                f"{{persona}}, and with no other. Received: {self.persona!r} "
                f"with style={self.style!r}."
            )
        object.__setattr__(self, "prompt", prompt)

    def templates(self) -> tuple[str, ...]:
        """Returns the prompt with the persona."""
        return (fill(self.prompt, persona=self.persona),)

    def prompts(
        self,
        items: Sequence[Document],
        settings: SynthesisSettings = DEFAULTS,
    ) -> list[str]:
        """Returns what is asked of each document."""
        return [
            fill(self.prompt, document=item.text, persona=self.persona)
            for item in items
        ]

    def examples(
        self,
        models: Models,
        items: Sequence[Document],
        settings: SynthesisSettings,
        counts: Counts,
    ) -> Iterator[Example]:
        """Yields the new texts."""
        answers = asked(models.generator, items, self.prompts(items), self.name)
        about = {"style": self.style}
        if self.persona:
            about["persona"] = self.persona
        for item, answer in zip(items, answers, strict=True):
            if reason := trouble(answer):
                dropped(counts, item, answer, reason)
            else:
                yield Example((read_text(answer.text),), item, about)
