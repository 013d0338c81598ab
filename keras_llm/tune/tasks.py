"""Text tasks as instructions: ready wordings, and the answer read back."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from keras_llm.errors import InputError, check_choice
from keras_llm.tune.entries import Entry, checked_text
from keras_llm.tune.examples import Conversation
from keras_llm.tune.messages import exchange


class Task(NamedTuple):
    """How a task is asked for.

    Attributes:
        fields: What a wording needs to know.
        answer: The field with the answer.
        wordings: Instructions with the fields in braces. A model that saw
            several takes a new one more easily.

    Example:

    >>> task = Task(("text",), "title", ("Give a title to: {text}",))
    >>> task.prompt({"text": "Call me Ishmael."})
    'Give a title to: Call me Ishmael.'
    """

    fields: tuple[str, ...]
    answer: str
    wordings: tuple[str, ...]

    def prompt(self, values: Mapping[str, str], number: int = 0) -> str:
        """Returns the instruction for one text.

        Args:
            values: The task's fields.
            number: Which wording; it goes round after the last one.
        """
        return self.wordings[number % len(self.wordings)].format_map(values)


TASKS = {
    "summarize": Task(
        ("text",),
        "summary",
        (
            "Summarize the following text in one sentence.\n\n{text}",
            "What is the main point of this text?\n\n{text}",
            "Write a short summary.\n\nText: {text}",
            "{text}\n\nSay in one sentence what the text above is about.",
        ),
    ),
    "translate": Task(
        ("text", "source", "target"),
        "translation",
        (
            "Translate from {source} into {target}.\n\n{text}",
            "Translate this {source} text into {target}:\n\n{text}",
            "What is this in {target}?\n\n{text}",
            "{source} text: {text}\n\nGive the {target} translation.",
        ),
    ),
    "answer": Task(
        ("context", "question"),
        "answer",
        (
            "Answer the question from the text.\n\nText: {context}\n\n"
            "Question: {question}",
            "{context}\n\n{question} Answer with words of the text.",
            "Read the text, then answer briefly.\n\n{context}\n\n{question}",
            "Question: {question}\n\nFind the answer here:\n\n{context}",
        ),
    ),
    "sentiment": Task(
        ("text", "choices"),
        "label",
        (
            "What is the sentiment of this text: {choices}?\n\n{text}",
            "Classify the sentiment as {choices}.\n\n{text}",
            "{text}\n\nIs this {choices}? Answer with one word.",
            "Text: {text}\n\nHow does the writer feel ({choices})?",
        ),
    ),
    "rewrite": Task(
        ("text", "style"),
        "rewritten",
        (
            "Rewrite this text so that it is {style}.\n\n{text}",
            "Make the following text {style}.\n\n{text}",
            "{text}\n\nSay the same, but {style}.",
            "Text: {text}\n\nGive a version that is {style}.",
        ),
    ),
}
"""The tasks by name. "choices" of sentiment: "positive or negative"."""


def as_instructions(
    task: Task | str,
    records: Iterable[Mapping[str, Any] | Entry],
    names: Mapping[str, str] | None = None,
    answers: Mapping[str, str] | None = None,
    **same: str,
) -> Iterator[Conversation]:
    """Turns records of a data set into conversations to learn from.

    Record n gets wording n, going round after the last one, so that the same
    records give the same conversations.

    Args:
        task: A task, or the name of one in `TASKS`.
        records: Dictionaries with the task's fields and its answer, or what
            `entries.read_entries` gives.
        names: The records' names of fields that are called otherwise, such
            as `{"summary": "target"}`.
        answers: Words in place of the records' answers, such as
            `{"0": "negative", "1": "positive"}`.
        **same: Fields that are the same for all records, such as
            `target="English"`.

    Raises:
        InputError: The task is unknown, or a record lacks a field, has an
            empty one, or an answer that is none of `answers`; it is named by
            file and line, a dictionary by its number, from 1.

    Example:

    >>> [conversation] = as_instructions("sentiment",
    ...     [{"text": "Loved it.", "label": "1"}],
    ...     answers={"1": "positive"}, choices="positive or negative")
    >>> for message in conversation.messages:
    ...     print(message["content"])
    What is the sentiment of this text: positive or negative?
    <BLANKLINE>
    Loved it.
    positive
    """
    if isinstance(task, str):
        check_choice("task", task, tuple(TASKS))
        task = TASKS[task]
    return _conversations(task, records, names or {}, answers, same)


def read_answer(text: str, choices: Sequence[str] = ()) -> str | None:
    """Returns what an answer says, for scores.

    Args:
        text: What a model wrote.
        choices: What it could choose from.

    Returns:
        The answer with single spaces; or the choice that is named first in
        it as a whole word, whatever its case, and None where none is.

    Example:

    >>> read_answer(" It is Positive. ", ("negative", "positive"))
    'positive'
    >>> read_answer("A  short\\nsummary. ")
    'A short summary.'
    """
    if not choices:
        return " ".join(text.split())
    longest = sorted(choices, key=len, reverse=True)
    words = "|".join(re.escape(choice.lower()) for choice in longest)
    found = re.search(rf"(?<!\w)(?:{words})(?!\w)", text.lower())
    by_name = {choice.lower(): choice for choice in choices}
    return by_name[found[0]] if found else None


def _conversations(
    task: Task,
    records: Iterable[Mapping[str, Any] | Entry],
    names: Mapping[str, str],
    answers: Mapping[str, str] | None,
    same: Mapping[str, str],
) -> Iterator[Conversation]:
    for number, record in enumerate(records, 1):
        where = f"record {number}"
        if isinstance(record, Entry):
            record, where = record.fields, record.where
        values = {
            name: _value({**same, **record}, names.get(name, name), where)
            for name in (*task.fields, task.answer)
        }
        answer = values.pop(task.answer)
        if answers is not None:
            answer = _word(answers, answer, where)
        messages = exchange(task.prompt(values, number - 1), answer)
        yield Conversation(messages, number, where)


def _value(record: Mapping[str, Any], name: str, where: str) -> str:
    if name not in record:
        raise InputError(
            f"Expected a field {name!r}. Received: {where} with "
            f"{', '.join(record) or 'nothing'}. Say with names={{...}} what "
            f"it is called, or pass {name}=... if it is the same for all."
        )
    return checked_text(record[name], f"field {name!r}", where)


def _word(answers: Mapping[str, str], answer: str, where: str) -> str:
    if answer not in answers:
        raise InputError(
            f"Expected an answer out of {', '.join(answers)}. Received: "
            f"{answer!r:.40} in {where}. Add a word for it to answers."
        )
    return answers[answer]
