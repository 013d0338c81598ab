"""Tasks on instructions: better ones with better answers, preferences."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from keras_llm.compare.verdicts import FIRST, SECOND
from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.synthesize.examples import CHAT, PAIR, Example
from keras_llm.synthesize.prompts import (
    BETTER_INSTRUCTION,
    BETTER_RESPONSE,
    RESPONSE,
    checked,
    fill,
)
from keras_llm.synthesize.replies import read_objects
from keras_llm.synthesize.settings import DEFAULTS, SynthesisSettings
from keras_llm.synthesize.tasks import Models, Task, asked, dropped, trouble
from keras_llm.synthesize.verdicts import better, grades

EQUAL = "both answers are equal"
BOTH = ("instruction", "response")


class _Talk(NamedTuple):
    """An instruction and its response."""

    instruction: str
    response: str


@dataclasses.dataclass(frozen=True)
class Reflect(Task):
    """Examples improved: the instruction, then the response; the better stays.

    The judge grades the example as it was and as it became. The new one takes
    its place where its grade is higher; where an answer of the model or a
    grade cannot be read, the example stays as it was, and that is counted.

    Args:
        prompt: What is asked for an instruction, with {instruction} and
            {response}. It must ask for "instruction" and "response".
        response: What is asked for a response, with the same places. It must
            ask for "response".

    Raises:
        InputError: A prompt lacks a place.

    Source: Li et al. 2023, "Reflection-Tuning",
    https://arxiv.org/abs/2310.11716, without its choice by a judge; the words
    are ours.

    Example:

    >>> item = Document("Add 1, 1.", "a", metadata={"response": "2"})
    >>> "<response>\\n2\\n</response>" in Reflect().prompts([item])[0]
    True
    """

    prompt: str = BETTER_INSTRUCTION
    response: str = BETTER_RESPONSE
    name = "reflect"

    def __post_init__(self):
        for prompt in self.templates():
            checked(prompt, BOTH)

    def templates(self) -> tuple[str, ...]:
        """Returns both prompts."""
        return self.prompt, self.response

    def prompts(
        self,
        items: Sequence[Document],
        settings: SynthesisSettings = DEFAULTS,
    ) -> list[str]:
        """Returns what is asked for better instructions."""
        return [_filled(self.prompt, _talk_of(item)) for item in items]

    def examples(
        self,
        models: Models,
        items: Sequence[Document],
        settings: SynthesisSettings,
        counts: Counts,
    ) -> Iterator[Example]:
        """Yields each example, as it was or improved."""
        old = dict(enumerate(map(_talk_of, items)))
        new = self._improved(models, items, old, counts)
        before = _grades(models, items, {n: old[n] for n in new})
        after = _grades(models, items, new)
        for n, item in enumerate(items):
            talk, about = old[n], dict[str, Any](kept="original")
            was, became = before.get(n), after.get(n)
            if was is not None and became is not None:
                about["grades"] = [was, became]
                if became > was:
                    talk, about["kept"] = new[n], "reflected"
            elif n in new:
                counts.change("as it was: no grade")
            yield Example(talk, item, about)

    def _improved(
        self,
        models: Models,
        items: Sequence[Document],
        old: dict[int, _Talk],
        counts: Counts,
    ) -> dict[int, _Talk]:
        """What became of the examples that the model could improve."""
        ask = functools.partial(self._asked, models, items, counts)
        first = {n: _Talk(*new) for n, new in ask(self.prompt, CHAT, old)}
        return {
            n: _Talk(first[n].instruction, *new)
            for n, new in ask(self.response, CHAT[1:], first)
        }

    def _asked(
        self,
        models: Models,
        items: Sequence[Document],
        counts: Counts,
        prompt: str,
        names: tuple[str, ...],
        talks: dict[int, _Talk],
    ) -> Iterator[tuple[int, list[str]]]:
        """Yields numbers of items, and the fields that were answered."""
        prompts = [_filled(prompt, talk) for talk in talks.values()]
        some = [items[n] for n in talks]
        answers = asked(models.generator, some, prompts, self.name)
        for n, answer in zip(talks, answers, strict=True):
            if values := read_objects(answer.text, names):
                yield n, list(values[0].values())
            else:
                why = trouble(answer, whole=False) or "no JSON"
                counts.change(f"as it was: {why}")


@dataclasses.dataclass(frozen=True)
class Preferences(Task):
    """Two answers to each prompt, and which one a judge prefers.

    The answers are of two models, or of one with two seeds. The judge is
    asked in both orders; pairs on which it contradicts itself are dropped.

    Args:
        prompt: What is asked, with {instruction}.

    Raises:
        InputError: The prompt has no place for the instruction.

    Source: as `compare.judge`.

    Example:

    >>> Preferences().prompts([Document("Why?", "a.jsonl")])
    ['Why?']
    """

    prompt: str = RESPONSE
    name = "prefer"
    form = PAIR

    def __post_init__(self):
        checked(self.prompt, CHAT[:1])

    def templates(self) -> tuple[str, ...]:
        """Returns the prompt."""
        return (self.prompt,)

    def prompts(
        self,
        items: Sequence[Document],
        settings: SynthesisSettings = DEFAULTS,
    ) -> list[str]:
        """Returns what both are asked."""
        return [fill(self.prompt, instruction=item.text) for item in items]

    def examples(
        self,
        models: Models,
        items: Sequence[Document],
        settings: SynthesisSettings,
        counts: Counts,
    ) -> Iterator[Example]:
        """Yields prompts with the answers, the better one first."""
        prompts = self.prompts(items)
        first = asked(models.generator, items, prompts, "answers")
        second = asked(
            *(models.other, items, prompts, "other answers"),
            seed=(settings.seed + 1) % 2**31,
        )
        left = []
        for item, *both in zip(items, first, second, strict=True):
            troubles = [(one, trouble(one)) for one in both if trouble(one)]
            a, b = (one.text.strip() for one in both)
            if troubles:
                dropped(counts, item, *troubles[0])
            elif a == b:
                dropped(counts, item, both[0], EQUAL)
            else:
                left.append((item, a, b))
        yield from _preferred(models, left, counts)


def _preferred(
    models: Models, asked_: list[tuple[Document, str, str]], counts: Counts
) -> Iterator[Example]:
    items, first, second = zip(*asked_, strict=True) if asked_ else ((),) * 3
    names = (models.generator.name, models.other.name)
    verdicts = better(models.judge, items, first, second)
    for (item, a, b), verdict in zip(asked_, verdicts, strict=True):
        if verdict not in (FIRST, SECOND):
            counts.drop(
                Document(f"{item.text}\n{a}\n{b}", item.source), verdict
            )
            continue
        won = verdict == FIRST
        chosen, rejected = (a, b) if won else (b, a)
        about = {"chosen_by": models.judge.name, "chosen_of": names[not won]}
        yield Example((item.text, chosen, rejected), item, about)


def _talk_of(item: Document) -> _Talk:
    return _Talk(item.text, item.metadata["response"])


def _filled(prompt: str, talk: _Talk) -> str:
    return fill(prompt, **talk._asdict())


def _grades(
    models: Models, items: Sequence[Document], talks: dict[int, _Talk]
) -> dict[int, float | None]:
    told = [
        Document(talk.instruction, items[n].source) for n, talk in talks.items()
    ]
    said = grades(models.judge, told, [t.response for t in talks.values()])
    return dict(zip(talks, said, strict=True))
