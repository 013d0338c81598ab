"""Rewards that can be checked: what an answer is worth, without a model.

A reward is a function `(prompt, answer, record) -> float`: the text of the
user's last message, the model's answer, and the other fields of the question.
Any function of yours will do.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_llm.errors import InputError
from keras_llm.tune.questions import Question

Reward = Callable[[str, str, Mapping[str, Any]], float]

_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[-+]?\.\d+")


def exact(field: str = "answer") -> Reward:
    """Returns a reward of 1 for the right text, white space aside, else 0.

    Args:
        field: Where in the record the right answer is, a text, a number or a
            list of several that are right.

    Example:

    >>> exact()("3+4=", " 7\\n", {"answer": 7})
    1.0
    """

    def reward(prompt: str, answer: str, record: Mapping[str, Any]) -> float:
        right = _value(record, field)
        several = right if isinstance(right, list | tuple) else [right]
        said = " ".join(answer.split())
        return float(said in {" ".join(str(one).split()) for one in several})

    return reward


def matches(pattern: str, ignore_case: bool = False) -> Reward:
    """Returns a reward of 1 where a pattern is found in the answer, else 0.

    Args:
        pattern: A regular expression; "^" and "$" are the ends of the whole
            answer, and "." matches a line break too.
        ignore_case: Whether "a" also matches "A".

    Raises:
        InputError: The pattern is no regular expression.

    Example:

    >>> matches(r"^[0-9]+$")("3+4=", "7", {})
    1.0
    """
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    try:
        found = re.compile(pattern, flags)
    except re.error as error:
        raise InputError(
            f"Expected a regular expression. Received: {pattern!r} ({error}). "
            'Put "\\" before characters that are meant as they are.'
        ) from error

    def reward(prompt: str, answer: str, record: Mapping[str, Any]) -> float:
        return float(found.search(answer) is not None)

    return reward


def number(field: str = "answer", tolerance: float = 1e-6) -> Reward:
    """Returns a reward of 1 where the answer's last number is right, else 0.

    "The total is 1,050." and "so 10 + 1040 = 1050" both say 1050. The right
    one is a number, or a text of which the last number counts, as in GSM8K.

    Args:
        field: Where in the record the right number is.
        tolerance: How far off is right, as a share of the right number and
            as a number.

    Example:

    >>> number()("", "3 and 4 make 7.", {"answer": "3 + 4 = 7 #### 7"})
    1.0
    """

    def reward(prompt: str, answer: str, record: Mapping[str, Any]) -> float:
        right, said = _last_number(str(_value(record, field))), None
        if right is None:
            raise InputError(
                f"Expected a number in field {field!r} of every question. "
                f"Received: {record[field]!r:.60}. Correct it, or use exact."
            )
        said = _last_number(answer)
        return float(
            said is not None
            and math.isclose(said, right, rel_tol=tolerance, abs_tol=tolerance)
        )

    return reward


REWARDS: dict[str, Callable[..., Reward]] = {
    "exact": exact,
    "matches": matches,
    "number": number,
}
"""The rewards by name."""


def judged(
    reward: Reward, questions: Sequence[Question], answers: Sequence[str]
) -> list[float]:
    """Returns what a reward says of each answer.

    A `RewardModel`, or whatever has a method `score`, gets them all at once,
    with all messages of their prompts.

    Args:
        reward: A reward.
        questions: One for each answer.
        answers: Texts.

    Raises:
        InputError: A reward is no finite number.

    Example:

    >>> judged(exact(), [Question(({"role": "user", "content": "3+4="},),
    ...     {"answer": "7"})], ["7"])
    [1.0]
    """
    score = getattr(reward, "score", None)
    if score is not None:
        values = score([one.prompt for one in questions], answers)
        return [
            _finite(value, answer)
            for value, answer in zip(values, answers, strict=True)
        ]
    return [
        checked(reward, one.text, answer, one.record)
        for one, answer in zip(questions, answers, strict=True)
    ]


def checked(reward: Reward, prompt: str, answer: str, record: Any) -> float:
    """Returns what a reward says, as a float.

    Raises:
        InputError: It is no finite number.

    Example:

    >>> checked(lambda prompt, answer, record: True, "", "", {})
    1.0
    """
    return _finite(reward(prompt, answer, record), answer)


def _finite(value: Any, answer: str) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise InputError(
            "Expected a reward that is a finite number. Received: "
            f"{value!r:.60} for the answer {answer!r:.60}. Return a float."
        )
    return found


def _value(record: Mapping[str, Any], field: str) -> Any:
    if field not in record:
        raise InputError(
            f"Expected a field {field!r} in every question. Received: "
            f"{', '.join(record) or 'no field'}. Say which field has the "
            "right answer."
        )
    return record[field]


def _last_number(text: str) -> float | None:
    found = _NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found else None
