"""Steps by name: what another process makes a step from.

A step holds functions within functions, which cannot be sent. Its name and
its settings can.
"""

import importlib
import inspect
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from keras_llm.data.steps import Step
from keras_llm.errors import InputError

_FILES = {
    "blocked_terms": "quality.blocked",
    "boilerplate_lines": "cleaning",
    "c4_paragraphs": "quality.c4",
    "c4_quality": "quality.c4",
    "control_characters": "cleaning",
    "decontaminate": "duplicates.decontamination",
    "duplicate_lines": "duplicates.exact",
    "duplicate_paragraphs": "duplicates.exact",
    "exact_duplicates": "duplicates.exact",
    "fineweb_quality": "quality.fineweb",
    "gopher_quality": "quality.gopher",
    "gopher_repetition": "quality.repetition",
    "gutenberg": "cleaning",
    "html_leftovers": "markup",
    "html_pages": "reading.pages",
    "keep_percentiles": "quality.percentiles",
    "language": "quality.language_id",
    "licenses": "rights",
    "minimum_length": "steps",
    "near_duplicates": "duplicates.near",
    "opt_out": "rights",
    "privacy": "personal.replacing",
    "quality_score": "quality.scored",
    "repair": "steps",
    "repeated_lines": "duplicates.exact",
    "semantic_duplicates": "duplicates.semantic",
    "sources": "rights",
    "split_long": "steps",
    "white_space": "cleaning",
}


def make_step(name: str, settings: dict[str, Any]) -> Step:
    """Makes a step of a name and settings, as in `curate.json`.

    Args:
        name: One of the library's, such as "near_duplicates", or
            "package.module:function": that function is called with the
            settings. It returns a `Step` whose name is this whole name, and
            whose `settings` are these.
        settings: JSON values. Settings that the function has no parameter
            for must come out as they are here: a hash of a file, for
            example.

    Returns:
        The step, the same one when it is asked for again.

    Raises:
        InputError: There is no such function, or what it made has another
            name or other settings.

    Example:

    >>> make_step("minimum_length", {"characters": 5}).settings
    {'characters': 5}
    """
    return _made(name, json.dumps(settings))


def sent(step: Step) -> tuple[Any, ...]:
    """Returns what `pickle` makes a step of.

    Raises:
        InputError: It cannot be made from its name and settings.

    Example:

    >>> from keras_llm.data import minimum_length
    >>> sent(minimum_length(5))[1]
    ('minimum_length', '{"characters": 5}')
    """
    try:
        text = json.dumps(step.settings)
        made = _made(step.name, text)
    except (InputError, TypeError) as error:
        raise InputError(_closure(step, str(error))) from error
    if _code(made) is not _code(step):
        raise InputError(_closure(step, "another step has this name."))
    return _made, (step.name, text)


def is_sendable(step: Step) -> bool:
    """Says whether another process can make the step.

    Example:

    >>> is_sendable(Step("mine", lambda documents, counts: documents))
    False
    """
    try:
        sent(step)
    except InputError:
        return False
    return True


def function_at(place: str) -> Callable[..., Any]:
    """Returns the function at "package.module:function".

    Raises:
        InputError: There is none.

    Example:

    >>> function_at("math:sqrt")(9)
    3.0
    """
    module, _, name = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except (ImportError, ValueError) as error:
        raise InputError(
            f'Expected "package.module:function". Received: {place!r} '
            f"({error})."
        ) from error
    if not callable(found):
        raise InputError(
            f'Expected "package.module:function". Received: {place!r}, '
            "where there is no function."
        )
    return found


def name_of(function: Any) -> str:
    """Returns what a report calls a function, or the place it is given by.

    Example:

    >>> name_of(len), name_of("math:sqrt")
    ('len', 'math:sqrt')
    """
    if isinstance(function, str):
        return function
    return getattr(function, "__qualname__", type(function).__name__)


@lru_cache(maxsize=128)
def _made(name: str, text: str) -> Step:
    """Makes a step; `text` has its settings as JSON."""
    place = name
    if name in _FILES:
        place = f"keras_llm.data.{_FILES[name]}:{name}"
    factory, settings = function_at(place), json.loads(text)
    known = inspect.signature(factory).parameters
    try:
        step = factory(**{k: v for k, v in settings.items() if k in known})
    except TypeError as error:
        raise InputError(
            f"Expected settings that {place} takes. Received: {text:.200} "
            f"({error})."
        ) from error
    if not isinstance(step, Step) or step.name != name:
        raise InputError(
            f"Expected {place} to return a Step named {name!r}. Received: "
            f"{getattr(step, 'name', step)!r}."
        )
    if json.dumps(step.settings) != text:
        raise InputError(
            f"Expected the step {name} to have the settings {text:.200}. "
            f"Received: {json.dumps(step.settings):.200}. Has a file that it "
            "reads changed?"
        )
    return step


def _code(step: Step) -> Any:
    """Returns what two functions made by one `def` have in common."""
    return getattr(step.run, "__code__", step.run)


def _closure(step: Step, problem: str) -> str:
    return (
        f"Expected the step {step.name!r} to be one that other processes can "
        f"make again. Received: {problem} Use the engine inline, or write a "
        'function that returns it and name the step "package.module:function"'
        ": see data.make_step."
    )
