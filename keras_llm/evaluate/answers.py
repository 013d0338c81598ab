"""Whether an answer is one of those expected, by the rules of SQuAD."""

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Returns an answer without case, punctuation, articles and wide spaces.

    Only ASCII punctuation and English articles go, as in the script. What is
    left is compared.

    Source: `normalize_answer` of the SQuAD 2.0 evaluation script,
    https://rajpurkar.github.io/SQuAD-explorer.

    Example:

    >>> normalize_answer("The  U.S. Army!")
    'us army'
    """
    plain = text.lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def exact_match(prediction: str, references: str | Sequence[str]) -> float:
    """Returns 1.0 if the answer is one of the references, else 0.0.

    Args:
        prediction: The answer; "" says that there is none.
        references: One or several right answers. None of them (`[]`, or only
            empty ones): the question has no answer.

    Source: the SQuAD 2.0 evaluation script; Rajpurkar et al. 2018,
    https://arxiv.org/abs/1806.03822.

    Example:

    >>> exact_match("the Army.", ["Army", "US Army"]), exact_match("Navy", [])
    (1.0, 0.0)
    """
    return float(normalize_answer(prediction) in _normalized(references))


def token_f1(prediction: str, references: str | Sequence[str]) -> float:
    """Returns the F1 of the words shared with the best reference, 0 to 1.

    The mean of precision and recall over words of the normalized texts, each
    counted as often as it stands there. Where one text has no words, it is 1
    if the other has none either, as in SQuAD 2.0 (SQuAD 1.1, where every
    question has an answer, gives 0).

    Args:
        prediction, references: As for `exact_match`.

    Source: as for `exact_match`.

    Example:

    >>> round(token_f1("a US Army base", ["the Army", "US Army"]), 3)
    0.8
    """
    words = normalize_answer(prediction).split()
    return max(_f1(words, one.split()) for one in _normalized(references))


def _normalized(references: str | Sequence[str]) -> list[str]:
    """The references that have words, or the one that has none."""
    several = [references] if isinstance(references, str) else references
    return list(filter(None, map(normalize_answer, several))) or [""]


def _f1(words: list[str], expected: list[str]) -> float:
    if not words or not expected:
        return float(words == expected)
    shared = (Counter(words) & Counter(expected)).total()
    return 2 * shared / (len(words) + len(expected))
