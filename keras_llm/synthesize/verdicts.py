"""Judges of what was made: the better of two answers, grades of examples."""

from collections.abc import Sequence

from keras_llm.compare.verdicts import (
    FIRST,
    SECOND,
    grade_question,
    pair_question,
    read_grade,
    read_verdict,
)
from keras_llm.data.document import Document
from keras_llm.synthesize.generator import Generator
from keras_llm.synthesize.tasks import asked

UNDECIDED = "the judge sees a tie, or contradicts itself"
UNREAD = "the judge gave no verdict"


def better(
    judge: Generator,
    items: Sequence[Document],
    first: Sequence[str],
    second: Sequence[str],
) -> list[str]:
    """Returns which of two answers a judge prefers, in both orders.

    Args:
        judge: Who is asked.
        items: The prompts.
        first: An answer to each.
        second: Another answer to each.

    Returns:
        "first", "second", or why neither is preferred.

    Source: both orders as in Zheng et al. 2023,
    https://arxiv.org/abs/2306.05685; see `compare.judge`.

    Example:

    >>> def longer(question):
    ...     a, b = (question.split(f"<answer_{x}>")[1].split("</answer")[0]
    ...         for x in "AB")
    ...     return "[[A]]" if len(a) > len(b) else "[[B]]"
    >>> better(Generator(longer), [Document("Why?", "")], ["no"], ["because"])
    ['second']
    """
    triples = list(zip(items, first, second, strict=True))
    straight = [pair_question(d.text, a, b) for d, a, b in triples]
    swapped = [pair_question(d.text, b, a) for d, a, b in triples]
    both = [*items, *items]
    said = [
        read_verdict(answer.text)
        for answer in asked(
            *(judge, both, straight + swapped, "judging"), temperature=0.0
        )
    ]
    size = len(triples)
    return list(map(_agreed, said[:size], said[size:]))


def grades(
    judge: Generator, items: Sequence[Document], answers: Sequence[str]
) -> list[float | None]:
    """Returns a grade from 1 to 10 of each answer, None where it has none.

    Example:

    >>> grades(Generator(lambda q: "[[7]]"), [Document("Why?", "")], ["so"])
    [7.0]
    """
    questions = [
        grade_question(item.text, answer)
        for item, answer in zip(items, answers, strict=True)
    ]
    found = asked(judge, items, questions, "grading", temperature=0.0)
    return [read_grade(answer.text) for answer in found]


def _agreed(straight: str | None, swapped: str | None) -> str:
    if straight is None or swapped is None:
        return UNREAD
    agreed = {(FIRST, SECOND): FIRST, (SECOND, FIRST): SECOND}
    return agreed.get((straight, swapped), UNDECIDED)
