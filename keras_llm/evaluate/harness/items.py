"""From documents to what the model is asked about each."""

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeAlias

from keras_llm.errors import InputError
from keras_llm.evaluate.harness import template
from keras_llm.evaluate.harness.contexts import (
    Message,
    Style,
    before_question,
    question,
    written,
)
from keras_llm.evaluate.harness.fewshot import Sampler
from keras_llm.evaluate.harness.task import (
    CHOICE,
    LIKELIHOOD,
    ROLLING,
    Task,
)
from keras_llm.evaluate.subject import Continuation, Prompt

Request: TypeAlias = Continuation | Prompt | str


@dataclasses.dataclass(frozen=True)
class Item:
    """A document of a task, and what is asked about it.

    Attributes:
        number: The document's place in its split, from 0.
        doc: Its columns.
        target: As the task gives it.
        golds: The right answers: numbers of choices, or texts.
        choices: Where there are some.
        requests: A continuation for each choice (and, for mutual
            information, each choice without its context); one or more
            prompts; or one text to be read.

    Example:

    >>> Item(0, {"a": 1}, "1", ["1"], [], [Prompt("1 =")]).golds
    ['1']
    """

    number: int
    doc: dict[str, Any]
    target: Any
    golds: list
    choices: list[str]
    requests: Sequence[Request]


def build_items(
    task: Task,
    docs: Sequence[tuple[int, dict[str, Any]]],
    sampler: Sampler,
    style: Style | None = None,
    seed: int = 0,
    mutual_information: bool = False,
) -> list[Item]:
    """Fills all templates of all documents.

    Args:
        task: The task.
        docs: Numbers and documents.
        sampler: Draws the solved examples.
        style: How prompts are written. Default: as plain text.
        seed: Of drawn answers.
        mutual_information: Whether choices are asked for without their
            context too.

    Raises:
        InputError: A template, column, answer or choice is wrong; the task
            and the document are named.

    Source: `ConfigurableTask.construct_requests` of the
    lm-evaluation-harness 0.4.13.

    Example:

    >>> task = Task(task="sums", doc_to_text="{{a}}+{{a}}=",
    ...     doc_to_target="{{a+a}}", num_fewshot=0)
    >>> docs = [(0, {"a": 2})]
    >>> build_items(task, docs, Sampler([], 0, False, 0, "sums"))[0].requests
    [Prompt(context='2+2=', until=('\\n\\n',), ...)]
    """
    style = style or Style()
    several = False
    if docs and task.output_type == CHOICE:
        where = f"task {task.task}, document {docs[0][0]}"
        several = isinstance(template.text(task, docs[0][1], where), int)
    writer = _Writer(task, sampler, style, seed, several, mutual_information)
    return [writer.item(number, doc) for number, doc in docs]


@dataclasses.dataclass(frozen=True)
class _Writer:
    task: Task
    sampler: Sampler
    style: Style
    seed: int
    several: bool  # whether each choice is a context of its own
    mutual_information: bool

    def item(self, number: int, doc: dict[str, Any]) -> Item:
        task = self.task
        where = f"task {task.task}, document {number}"
        target = template.target(task, doc, where)
        if task.output_type == ROLLING:
            text = _text(target, where)
            return Item(number, doc, target, [text], [], [text])
        # The harness looks for the document among its examples only here.
        known = task.fewshot.split == task.test_split
        shots = self.sampler.draw(doc if known else None)
        before = before_question(task, doc, shots, self.style, where)
        options = template.choices(task, doc, where)
        if task.output_type == CHOICE:
            golds, asks = self._choices(doc, target, options, before, where)
            return Item(number, doc, target, golds, options, asks)
        asked = str(template.text(task, doc, where))
        context = self._context(doc, before, asked, where)
        if task.output_type == LIKELIHOOD:
            text = _text(target, where)
            asks = [Continuation(context, text)]
            return Item(number, doc, target, [text], options, asks)
        golds = _gold_texts(target, options, where)
        first = self.seed * task.repeats  # no seed draws what another drew
        asks = [task.prompt(context, first + n) for n in range(task.repeats)]
        return Item(number, doc, target, golds, options, asks)

    def _choices(
        self,
        doc: dict[str, Any],
        target: Any,
        options: list[str],
        before: list[Message],
        where: str,
    ) -> tuple[list[int], list[Request]]:
        asked = template.text(self.task, doc, where)
        delimiter = self._delimiter()
        if self.several:  # the target follows each choice
            golds = _gold_numbers(asked, options, where)
            follows = [f"{delimiter}{_text(target, where)}"] * len(options)
            contexts = [
                self._context(doc, before, option, where) for option in options
            ]
        else:
            golds = _gold_numbers(target, options, where)
            follows = [f"{delimiter}{option}" for option in options]
            context = self._context(doc, before, str(asked), where)
            contexts = [context] * len(options)
        asks: list[Request] = list(map(Continuation, contexts, follows))
        if self.mutual_information:
            asks += [Continuation("", f"{delimiter}{one}") for one in options]
        return golds, asks

    def _context(
        self, doc: dict[str, Any], before: list[Message], asked: str, where: str
    ) -> str:
        prefix = None
        if self.task.gen_prefix:
            where = f"{where}, gen_prefix"
            prefix = str(template.fill(self.task.gen_prefix, doc, where))
        asking = question(asked, prefix, self.task.target_delimiter)
        return written([*before, *asking], self.style)

    def _delimiter(self) -> str:
        """Before a choice: a chat's answer begins without a space."""
        prefix = self.task.gen_prefix
        if self.style.chat is None or (prefix and not prefix[-1].isspace()):
            return self.task.target_delimiter
        return ""


def _text(target: Any, where: str) -> str:
    if not isinstance(target, str) or not target:
        raise InputError(
            f"Expected a text that is not empty as the target of {where}. "
            f"Received: {target!r:.60}."
        )
    return target


def _gold_texts(target: Any, options: list[str], where: str) -> list[str]:
    targets = target if isinstance(target, list) else [target]
    if options:
        return [options[n] for n in _gold_numbers(targets, options, where)]
    return [str(one) for one in targets]


def _gold_numbers(target: Any, options: list[str], where: str) -> list[int]:
    targets = target if isinstance(target, list) else [target]
    numbers = [
        options.index(one) if isinstance(one, str) and one in options else one
        for one in targets
    ]
    right = all(isinstance(n, int) and 0 <= n < len(options) for n in numbers)
    if not numbers or not right:
        raise InputError(
            f"Expected the right one of {len(options)} choices, counted from "
            f"0, as the target of {where}. Received: {target!r:.60}. Correct "
            "the document, or doc_to_target."
        )
    return [int(n) for n in numbers]
