"""The prompt of a document: description, solved examples, question."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from keras_llm.errors import InputError
from keras_llm.evaluate.harness import template
from keras_llm.evaluate.harness.task import FewShot, Task


class Message(NamedTuple):
    """A part of a prompt.

    Attributes:
        role: "system", "user" or "assistant".
        content: Its text.
        delimiter: Follows it in a plain prompt, not in a chat.

    Example:

    >>> Message("user", "1 + 1 =", " ").delimiter
    ' '
    """

    role: str
    content: str
    delimiter: str = ""


@dataclasses.dataclass(frozen=True)
class Style:
    """How prompts are written.

    Attributes:
        chat: Makes a chat's messages (`role`, `content`) one text that a
            model answers; None writes plain text.
        multiturn: Whether solved examples are turns of the chat of their own.
        system: Stands before everything.

    Example:

    >>> Style().chat is None
    True
    """

    chat: Callable[[list[dict[str, str]]], str] | None = None
    multiturn: bool = True
    system: str | None = None


def before_question(
    task: Task,
    doc: dict[str, Any],
    shots: Sequence[dict],
    style: Style,
    where: str,
) -> list[Message]:
    """Returns what stands before the question of a document.

    Args:
        task: The task.
        doc: The document.
        shots: Solved examples.
        style: How prompts are written.
        where: The task and document, for errors.

    Raises:
        InputError: A template or column is wrong.

    Source: `ConfigurableTask.fewshot_context` of the lm-evaluation-harness.

    Example:

    >>> task = Task(task="a", description="Add.\\n", doc_to_text="q",
    ...     doc_to_target="a")
    >>> shots = [{"q": "1+1=", "a": "2"}]
    >>> made = before_question(task, {}, shots, Style(), "a")
    >>> "".join(one.content + one.delimiter for one in made)
    'Add.\\n1+1= 2\\n\\n'
    """
    description = ""
    if task.description:
        where_described = f"{where}, description"
        description = str(template.fill(task.description, doc, where_described))
    system = joined(style.system, description, task.fewshot_delimiter)
    made = [Message("system", system)] if system else []
    fields = task.fewshot
    for number, shot in enumerate(shots):
        made += _solved(fields, shot, f"{where}, solved example {number}")
    return made


def question(text: str, prefix: str | None, delimiter: str) -> list[Message]:
    """Returns the question that is to be answered.

    Args:
        text: The question.
        prefix: How the answer begins.
        delimiter: Between the two, unless one of them has a space there.

    Example:

    >>> [one.content for one in question("1+1=", "Sum:", " ")]
    ['1+1=', 'Sum:']
    """
    if not prefix:
        return [Message("user", text)]
    apart = bool(text) and not (text[-1].isspace() or prefix[0].isspace())
    return [
        Message("user", text, delimiter if apart else ""),
        Message("assistant", prefix),
    ]


def written(made: Sequence[Message], style: Style) -> str:
    """Returns messages as one text.

    Args:
        made: The messages; an assistant's at the end is the beginning of the
            answer.
        style: How prompts are written.

    Example:

    >>> written([Message("user", "1+1=", " "), Message("assistant", "2")],
    ...     Style())
    '1+1= 2'
    """
    if style.chat is None:
        return "".join(one.content + one.delimiter for one in made)
    begun = ""
    if made[-1].role == "assistant":
        begun, made = made[-1].content, made[:-1]
    turns = made if style.multiturn else _single(made)
    chat = [{"role": one.role, "content": one.content} for one in turns]
    return style.chat(chat) + begun


def joined(first: str | None, second: str | None, delimiter: str) -> str:
    """Returns two texts, with a delimiter where neither has a space.

    Example:

    >>> joined("The answer is", "2", " "), joined("", "2", " ")
    ('The answer is 2', '2')
    """
    if not first or not second:
        return (first or "") + (second or "")
    apart = not (first[-1].isspace() or second[0].isspace())
    return first + delimiter * apart + second


def answer_text(target: Any, options: Sequence[str], where: str) -> str:
    """Returns the answer of a solved example as text.

    Args:
        target: As `template.target` gives it; of several the first counts.
        options: The choices, where there are some.
        where: The task and document, for errors.

    Raises:
        InputError: There is no such choice, or no answer.

    Example:

    >>> answer_text(1, ["no", "yes"], "a")
    'yes'
    """
    if isinstance(target, list) and target:
        target = target[0]
    if options and isinstance(target, int):
        if not 0 <= target < len(options):
            raise InputError(
                f"Expected one of {len(options)} choices, counted from 0, in "
                f"{where}. Received: {target}."
            )
        return options[target]
    if isinstance(target, list):
        raise InputError(
            f"Expected an answer in {where}. Received: none. Name a "
            "fewshot_split whose documents have answers."
        )
    return str(target)


def _solved(fields: FewShot, doc: dict[str, Any], where: str) -> list[Message]:
    asked = template.text(fields, doc, where)
    options = template.choices(fields, doc, where)
    solution = template.target(fields, doc, where)
    if isinstance(asked, int):  # the number of the right context
        asked, options = answer_text(asked, options, where), []
    answer = answer_text(solution, options, where)
    prefix = None
    if fields.gen_prefix:
        where_begun = f"{where}, gen_prefix"
        prefix = str(template.fill(fields.gen_prefix, doc, where_begun))
    asking = question(asked, prefix, fields.target_delimiter)
    if answer == "":
        return asking
    first = asking[0]
    if not prefix:
        first = first._replace(delimiter=fields.target_delimiter)
    full = joined(prefix, answer, " ")
    return [first, Message("assistant", full, fields.fewshot_delimiter)]


def _single(made: Sequence[Message]) -> list[Message]:
    """All turns as one of the user's, after the system's."""
    system = [one for one in made[:1] if one.role == "system"]
    rest = made[len(system) :]
    last = rest[-1]._replace(delimiter="")
    parts = [*rest[:-1], last]
    plain = "".join(one.content + one.delimiter for one in parts)
    return [*system, Message("user", plain)]
