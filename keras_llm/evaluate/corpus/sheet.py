"""The datasheet of a corpus: what is known, and what only you can say."""

from collections.abc import Iterator

from keras_llm.evaluate.corpus.answers import Answers
from keras_llm.evaluate.corpus.description import CorpusDescription
from keras_llm.evaluate.corpus.funnel import CurationFunnel
from keras_llm.evaluate.corpus.known import Known, known_answers
from keras_llm.evaluate.corpus.questions import QUESTIONS
from keras_llm.evaluate.markdown_page import markdown_of

OPEN = "To be answered by you:"
_NOTHING = Known((), False)


def datasheet(
    description: CorpusDescription,
    funnel: CurationFunnel | None = None,
    answers: Answers | None = None,
    name: str = "Corpus",
) -> str:
    """Returns a datasheet in Markdown, every question answered or open.

    What was counted is filled in; what nobody can count stands there as a
    question ("To be answered by you: ...") until `answers` has it.

    Args:
        description: What the corpus is made of.
        funnel: What curation did; see `read_funnel`.
        answers: What you said; see `load_answers`.
        name: Title of the page, unless the answers have one.

    Source: Gebru et al. 2021, "Datasheets for Datasets",
    https://doi.org/10.1145/3458723.

    Example:

    >>> from keras_llm.data import Document
    >>> from keras_llm.evaluate import describe_corpus
    >>> found = describe_corpus([Document("A rose.", "a", language="en")])
    >>> page = datasheet(found, answers=Answers(answers={"funding": "I did."}))
    >>> "I did." in page, "1 documents, 7 bytes" in page
    (True, True)
    """
    answers = answers or Answers()
    facts = known_answers(description, funnel)
    parts = [
        f"# Datasheet: {answers.dataset.get('name', name)}",
        answers.dataset.get("description", ""),
        _state(open_questions(description, funnel, answers)),
    ]
    for section, asked in QUESTIONS.items():
        parts.append(f"## {section}")
        for key, question in asked.items():
            known = facts.get(key, _NOTHING)
            parts += _answer(key, question, known, answers)
    return "\n\n".join(part for part in parts if part) + "\n"


def open_questions(
    description: CorpusDescription,
    funnel: CurationFunnel | None = None,
    answers: Answers | None = None,
) -> list[str]:
    """Returns the keys of the questions that are still open, in order.

    Args as for `datasheet`.

    Example:

    >>> from keras_llm.data import Document
    >>> from keras_llm.evaluate import describe_corpus
    >>> found = describe_corpus([Document("A rose.", "a", language="en")])
    >>> open_questions(found)[:2]
    ['purpose', 'creators']
    """
    said = (answers or Answers()).answers
    facts = known_answers(description, funnel)
    return [
        key
        for asked in QUESTIONS.values()
        for key in asked
        if key not in said and not facts.get(key, _NOTHING).enough
    ]


def _answer(
    key: str, question: str, known: Known, answers: Answers
) -> Iterator[str]:
    """Yields what is known, what was said, and what is still open."""
    said = answers.answers.get(key)
    if not known.blocks and said is None:
        yield f"*{OPEN} {question}* (`{key}`)"
        return
    yield f"**{question}**"
    yield from map(markdown_of, known.blocks)
    if said is not None:
        yield said
    elif not known.enough:
        yield f"*{OPEN} what else is there to say?* (`{key}`)"


def _state(still_open: list[str]) -> str:
    whole = sum(map(len, QUESTIONS.values()))
    if not still_open:
        return "All questions are answered."
    return (
        f"{len(still_open)} of {whole} questions are open. The numbers were "
        "counted by keras_llm; see the report for how."
    )
