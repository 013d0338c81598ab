"""Several models on the same items, one of them in memory at a time."""

import functools
import gc
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from keras_llm.compare.answered import Answered, answer
from keras_llm.compare.comparison_report import ComparisonReport
from keras_llm.compare.opening import open_subject, subject_kind
from keras_llm.compare.pairs import ItemScores, compare_pairs
from keras_llm.compare.questions import Questions
from keras_llm.errors import InputError
from keras_llm.evaluate.harness.evaluator import HARNESS_SEED
from keras_llm.evaluate.harness.task import Task
from keras_llm.evaluate.subject import Subject

Source: TypeAlias = Any  # a Subject, a function that opens one, or a path
Task_: TypeAlias = str | os.PathLike | Task


def compare(
    subjects: Sequence[Source] | Mapping[str, Source],
    tasks: Task_ | Sequence[Task_] = (),
    data: str | os.PathLike | None = None,
    texts: Sequence[str] = (),
    prompts: Sequence[str] = (),
    references: Sequence[str | Sequence[str]] = (),
    metrics: Sequence[str] = ("exact_match", "token_f1"),
    until: Sequence[str] = (),
    max_new_tokens: int = 256,
    limit: float | None = None,
    num_fewshot: int | None = None,
    chat: bool = False,
    seed: int = HARNESS_SEED,
    cache: str | os.PathLike | None = None,
    progress: bool = True,
) -> ComparisonReport:
    """Compares models on the same items, every pair on every metric.

    A metric is compared item by item: the difference with its interval, and
    its p-value corrected for all pairs and metrics (see `compare_pairs`).
    Only what does not depend on how a model cuts text into tokens is
    compared: benchmarks, bits per byte, answers. The perplexity of a token is
    not, since a token of one model is not a token of another.

    Models are opened one after the other, each when the one before is gone;
    tasks, documents and paths are checked before the first.

    Args:
        subjects: At least two: each a `Subject`, what `open_subject` opens (a
            run, a folder, an address, ...), or a function that returns a
            `Subject`. A mapping gives them names.
        tasks: Benchmarks, as for `evaluate_tasks`.
        data: The folder with their documents.
        texts: Held-out texts, for bits per byte.
        prompts: Texts to be continued, at temperature 0.
        references: What should follow each prompt; one text or several.
        metrics: Of the answers beside the references, as for
            `generation_scores`.
        until: Strings that end an answer.
        max_new_tokens: Most tokens of an answer.
        limit: Documents of each task, texts and prompts: a number, or below 1
            a share. Default: all.
        num_fewshot: Solved examples, as for `evaluate_tasks`.
        chat: Whether benchmarks and prompts are asked through each model's
            own chat template; texts never are.
        seed: Of examples and bootstraps.
        cache: File or folder where all answers are kept: a run that was
            killed goes on where it was.
        progress: Whether bars are shown.

    Raises:
        InputError: There are fewer than two models or two of one name, one
            cannot be opened or asked, or there is nothing to compare them by.

    Example:

    >>> class Even:
    ...     def __init__(self, name, nats):
    ...         self.name, self.fingerprint, self.nats = name, name, nats
    ...     def likelihoods(self, requests): ...
    ...     def generate(self, prompts): ...
    ...     def token_scores(self, texts): ...
    ...     def rolling(self, texts):
    ...         return [-self.nats * len(text) for text in texts]
    >>> found = compare([Even("a", 2.0), Even("b", 3.0)], texts=["x"] * 9)
    >>> found.differences[0].shown
    True
    """
    alone = isinstance(tasks, str | os.PathLike | Task)
    questions = Questions(
        tasks=[tasks] if alone else list(tasks),
        data=data,
        texts=texts,
        prompts=prompts,
        references=references,
        metrics=metrics,
        until=tuple(until),
        max_new_tokens=max_new_tokens,
        limit=limit,
        num_fewshot=num_fewshot,
        chat=chat,
        seed=seed,
        cache=cache,
        progress=progress,
    )
    openers = _openers(subjects)
    questions.check()
    answered = [_answered(opener, questions) for opener in openers]
    _check_names([one.name for one in answered])
    return ComparisonReport(
        models={one.name: one.fingerprint for one in answered},
        scores={one.name: one.measures() for one in answered},
        differences=compare_pairs(_paired(answered), seed),
        prompts=questions.kept_prompts,
        answers={one.name: list(one.answers) for one in answered},
        benchmarks={
            one.name: one.benchmarks
            for one in answered
            if one.benchmarks is not None
        },
    )


class _Opener(NamedTuple):
    name: str | None  # None: the model's own
    open: Callable[[], Any]


def _openers(
    subjects: Sequence[Source] | Mapping[str, Source],
) -> list[_Opener]:
    """How each model is opened, after a look at what it is."""
    named = isinstance(subjects, Mapping)
    found = [
        _opener(source, name)
        for name, source in (
            subjects.items() if named else ((None, s) for s in subjects)
        )
    ]
    if len(found) < 2:
        raise InputError(
            f"Expected at least two models to compare. Received: {len(found)}."
        )
    _check_names([one.name for one in found if one.name is not None])
    return found


def _opener(source: Source, name: str | None) -> _Opener:
    if isinstance(source, Subject):
        return _Opener(name or source.name, lambda: source)
    if callable(source):
        return _Opener(name, source)
    subject_kind(source)  # a wrong path shows before the first is asked
    if name is None and isinstance(source, str | os.PathLike):
        name = str(source)
    return _Opener(name, functools.partial(open_subject, source, name))


def _answered(opener: _Opener, questions: Questions) -> Answered:
    """Opens a model, asks it, and leaves nothing of it in memory."""
    subject = opener.open()
    if not isinstance(subject, Subject):
        raise InputError(
            "Expected a function that returns a Subject. Received: one that "
            f"returned {subject!r:.60}."
        )
    try:
        found = answer(subject, questions, opener.name)
    except InputError as error:  # which of them would not be said
        name = opener.name or subject.name
        raise InputError(f"{error} This was {name}.") from error
    del subject
    gc.collect()
    return found


def _check_names(names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(
            "Expected models of different names. Received: "
            f"{twice[0]!r} twice. Pass a mapping from names to models."
        )


def _paired(answered: Sequence[Answered]) -> dict[str, ItemScores]:
    """The metrics that all models have of every item."""
    items = {one.name: one.items() for one in answered}
    first = items[answered[0].name]
    return {
        metric: ItemScores(
            {name: several[metric].values for name, several in items.items()},
            of_one.higher_is_better,
            of_one.weights,
        )
        for metric, of_one in first.items()
        if all(metric in several for several in items.values())
    }
