"""What is cut out of generated answers before they are scored."""

import collections
import functools
import inspect
import re
import sys
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from keras_llm.errors import InputError
from keras_llm.evaluate.harness.entities import entities
from keras_llm.evaluate.harness.task import GENERATE, Task

# From a document's answers, and the document, to what is left of them.
Step: TypeAlias = Callable[[Any, dict[str, Any]], Any]
_NUMBER = r"#### (\-?[0-9\.\,]+)"


def apply(steps: Sequence[Step], answers: list[str], doc: dict) -> Any:
    """Returns what a chain of filters leaves of a document's answers.

    Example:

    >>> apply([FILTERS["lowercase"](), FILTERS["take_first"]()], ["A"], {})
    'a'
    """
    found: Any = answers
    for step in steps:
        found = step(found, doc)
    return found


def pipelines(task: Task) -> dict[str, list[Step]]:
    """Returns a task's chains of filters by name.

    Raises:
        InputError: A filter or an option is unknown, or a pattern is wrong.

    Source: `lm_eval.filters` of the lm-evaluation-harness 0.4.13.

    Example:

    >>> list(pipelines(Task(task="a")))
    ['none']
    """
    if task.filter_list is None:
        return {"none": [FILTERS["take_first"]()]}
    made = {}
    for chain in task.filter_list:
        if set(chain) != {"name", "filter"} or chain["name"] in made:
            raise InputError(
                f"Expected name and filter, each name once, in filter_list of "
                f"task {task.task}. Received: {chain!r:.80}."
            )
        made[str(chain["name"])] = [_step(one, task) for one in chain["filter"]]
    return made


def _step(given: Any, task: Task) -> Step:
    where = f"filter_list of task {task.task}"
    name = given.get("function") if isinstance(given, dict) else None
    if name not in FILTERS:
        raise InputError(
            f"Expected functions of {where} among {', '.join(FILTERS)}. "
            f"Received: {given!r:.80}."
        )
    if task.output_type != GENERATE and name != "take_first":
        raise InputError(
            f"Expected only take_first in {where}, whose answers are numbers. "
            f"Received: {name}. Other filters are for generate_until."
        )
    options = {key: given[key] for key in given if key != "function"}
    signature = inspect.signature(FILTERS[name])
    try:
        signature.bind(**options)
        return FILTERS[name](**options)
    except (TypeError, re.error) as error:
        raise InputError(
            f"Expected {name}{signature} in {where}. Received: "
            f"{options!r:.120}: {error}."
        ) from error


def _each(change: Callable[[Any], Any]) -> Step:
    return lambda answers, doc: [change(answer) for answer in answers]


def _regex(
    regex_pattern: str = _NUMBER,
    group_select: int = 0,
    fallback: str = "[invalid]",
) -> Step:
    pattern = re.compile(regex_pattern)

    def change(answer: Any) -> str:
        found = _match(pattern, answer, group_select)
        return fallback if found is None else found

    return _each(change)


def _match(pattern: re.Pattern, answer: Any, number: int) -> str | None:
    """The numbered match of a pattern; of its groups the first not empty."""
    found = pattern.findall(answer) if isinstance(answer, str) else []
    if not -len(found) <= number < len(found):
        return None
    match = found[number]
    if isinstance(match, tuple):
        match = next(filter(None, match), None)
    return None if match is None else match.strip()


def _regex_pos(
    regex_pattern: str = r"\['(.*?)'\]",
    group_select: int = 0,
    fallback: list[str] | None = None,
) -> Step:
    """Tags of `('word', 'TAG')` pairs; the first two options change nothing."""
    pair = re.compile(r"\('[^']*', '([^']*)'\)")
    return _each(lambda answer: pair.findall(answer) or fallback or ["invalid"])


def _multi_choice_regex(
    regex_pattern: str = _NUMBER,
    group_select: int = 0,
    fallback: str = "[invalid]",
    ignore_case: bool = False,
    ignore_punctuation: bool = False,
    regexes_to_ignore: list[str] | None = None,
) -> Step:
    """A letter by the pattern, else by a choice's text, else after a colon."""
    pattern = re.compile(regex_pattern)
    ignored = [re.compile(one) for one in regexes_to_ignore or []]

    def plain(text: str) -> str:
        for one in ignored:
            text = one.sub("", text)
        text = text.lower() if ignore_case else text
        return text.translate(_punctuation()) if ignore_punctuation else text

    def step(answers: list[str], doc: dict[str, Any]) -> list[str]:
        letters = _letters(doc, plain)
        # The longest first: one choice may be the beginning of another.
        longest = sorted(letters, key=lambda text: -len(re.escape(text)))
        by_text = re.compile("|".join(map(re.escape, longest)))
        names = "|".join(map(_letter, range(len(doc["choices"]))))
        by_letter = re.compile(rf":[\s]*({names})")

        def change(answer: str) -> str:
            found = _match(pattern, answer, group_select)
            if not found:
                found = _match(by_text, plain(answer), group_select)
                found = letters.get(found or "", found)
            if not found:
                found = _match(by_letter, answer, group_select)
                found = f"({found})" if found else fallback
            return found

        return [change(answer) for answer in answers]

    return step


def _letters(doc: dict, plain: Callable[[str], str]) -> dict[str, str]:
    """Each choice's text, made plain, with its letter: "(A)", "(B)", ..."""
    choices = doc.get("choices")
    if not isinstance(choices, list) or not choices:
        raise InputError(
            "Expected a column choices with a list of texts for "
            f"multi_choice_regex. Received: {choices!r:.60}."
        )
    return {
        plain(choice.strip()): f"({_letter(number)})"
        for number, choice in enumerate(choices)
    }


def _letter(number: int) -> str:
    return chr(ord("A") + number)


@functools.cache
def _punctuation() -> dict[int, None]:
    signs = range(sys.maxunicode)
    return dict.fromkeys(
        n for n in signs if unicodedata.category(chr(n)).startswith("P")
    )


def _map(mapping_dict: dict | None = None, default_value: Any = None) -> Step:
    known = mapping_dict or {}
    return _each(lambda answer: known.get(answer, default_value))


def _majority(answers: list[str], doc: dict[str, Any]) -> list[str]:
    return [collections.Counter(answers).most_common(1)[0][0]]


def _take_first_k(k: int) -> Step:
    def step(answers: list[str], doc: dict[str, Any]) -> list[str]:
        if len(answers) < k:
            raise InputError(
                f"Expected at least {k} answers for take_first_k. Received: "
                f"{len(answers)}. Set repeats to {k}."
            )
        return answers[:k]

    return step


FILTERS: dict[str, Callable[..., Step]] = {
    "regex": _regex,
    "regex_pos": _regex_pos,
    "multi_choice_regex": _multi_choice_regex,
    "remove_whitespace": lambda: _each(str.strip),
    "take_first": lambda: lambda answers, doc: answers[0],
    "take_first_k": _take_first_k,
    "majority_vote": lambda: _majority,
    "lowercase": lambda: _each(str.lower),
    "uppercase": lambda: _each(str.upper),
    "map": _map,
    "format_span": lambda: _each(entities),
}
