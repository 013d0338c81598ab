"""What one model gave to all that several models are compared by."""

import dataclasses
import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_llm.compare.pairs import ItemScores
from keras_llm.errors import InputError
from keras_llm.evaluate.finding import Measure
from keras_llm.evaluate.generation import GenerationReport, generation_scores
from keras_llm.evaluate.harness.asking import ask
from keras_llm.evaluate.harness.evaluator import evaluate_tasks
from keras_llm.evaluate.harness.plan import Settings
from keras_llm.evaluate.harness.results import BenchmarkReport
from keras_llm.evaluate.harness.store import AnswerStore
from keras_llm.evaluate.subject import Prompt, Subject

BITS = "texts/bits_per_byte"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Questions:
    """What every model is asked.

    Args:
        tasks: Benchmarks, as for `evaluate_tasks`.
        data: Their documents.
        texts: Held-out texts, for bits per byte.
        prompts: Texts to be continued.
        references: What the answers should be; may be empty.
        metrics: Of the answers beside the references.
        until: Strings that end an answer.
        max_new_tokens: Most tokens of an answer.
        limit: As for `evaluate_tasks`, of texts and prompts too.
        num_fewshot: As for `evaluate_tasks`.
        seed: Of all drawing.
        cache: Where answers are kept.
        progress: Whether bars are shown.

    Raises:
        InputError: There is nothing to ask, there are not as many references
            as prompts, or the limit is none.

    Example:

    >>> Questions(texts=["a rose", ""], seed=1).kept_texts
    ['a rose']
    """

    tasks: Sequence[Any] = ()
    data: str | os.PathLike | None = None
    texts: Sequence[str] = ()
    prompts: Sequence[str] = ()
    references: Sequence[str | Sequence[str]] = ()
    metrics: Sequence[str] = ("exact_match", "token_f1")
    until: tuple[str, ...] = ()
    max_new_tokens: int = 256
    limit: float | None = None
    num_fewshot: int | None = None
    seed: int
    cache: str | os.PathLike | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        if not (self.tasks or self.kept_texts or self.prompts):
            raise InputError(
                "Expected something to compare models by: tasks, texts that "
                "are not empty, or prompts. Received: none of them."
            )
        if self.references and len(self.references) != len(self.prompts):
            raise InputError(
                "Expected a reference for each prompt. Received: "
                f"{len(self.references)} references and {len(self.prompts)} "
                "prompts."
            )

    @property
    def kept_texts(self) -> list[str]:
        """The texts that are read: not empty, within the limit."""
        return self._limited([text for text in self.texts if text])

    @property
    def kept_prompts(self) -> list[str]:
        """The prompts within the limit."""
        return self._limited(self.prompts)

    def _limited(self, several: Sequence[str]) -> list[str]:
        return list(
            several[: Settings(limit=self.limit).documents(len(several))]
        )


class Items(NamedTuple):
    """A metric of each item, for one model.

    Attributes:
        values: float64 `(items,)`.
        weights: As for `ItemScores`.
        higher_is_better: Of the values.

    Example:

    >>> Items(np.ones(2), None, True).values.tolist()
    [1.0, 1.0]
    """

    values: np.ndarray
    weights: np.ndarray | None
    higher_is_better: bool


@dataclasses.dataclass(frozen=True)
class Answered:
    """A model's answers.

    Attributes:
        name: The model's.
        fingerprint: The model's.
        benchmarks: Of the tasks, None without any.
        bits: Of each text, with its bytes as the weight; None without texts.
        answers: To the prompts.
        generations: The answers beside the references, None without any.

    Example:

    >>> bits = Items(np.array([8.0]), np.array([4.0]), False)
    >>> one = Answered("a", "1", None, bits, [], None)
    >>> one.measures()["texts/bits_per_byte"].value
    2.0
    """

    name: str
    fingerprint: str
    benchmarks: BenchmarkReport | None
    bits: Items | None
    answers: Sequence[str]
    generations: GenerationReport | None

    def measures(self) -> dict[str, Measure]:
        """Returns every metric by name."""
        found: dict[str, Measure] = {}
        for report in (self.benchmarks, self.generations):
            found |= report.measures() if report else {}
        if self.bits is not None:
            values, weights, better = self.bits
            scores = ItemScores({self.name: values}, better, weights)
            found[BITS] = scores.measure(self.name)
        return found

    def items(self) -> dict[str, Items]:
        """Returns the metrics that are means, or ratios, over items.

        A perplexity of targets is there by its logarithm, which is a mean.
        Those of words and bytes are left out: they say what bits per byte
        say. So are metrics of all items together, such as F1 or BLEU.
        """
        found = {} if self.bits is None else {BITS: self.bits}
        if self.benchmarks is not None:
            found |= _benchmark_items(self.benchmarks)
        if self.generations is not None:
            found |= _generation_items(self.generations)
        return found


def answer(
    subject: Subject, questions: Questions, name: str | None = None
) -> Answered:
    """Asks a model everything.

    Args:
        subject: The model.
        questions: What it is asked.
        name: What it is called. Default: its own name.

    Raises:
        InputError: As `evaluate_tasks` and `generation_scores`.

    Example:

    >>> class Even:
    ...     name, fingerprint = "even", "1"
    ...     def rolling(self, texts):
    ...         return [-len(t.encode()) * math.log(256) for t in texts]
    >>> asked = Questions(texts=["a rose"], seed=0, progress=False)
    >>> answer(Even(), asked).bits.values.tolist()
    [48.0]
    """
    benchmarks = None
    if questions.tasks:
        benchmarks = evaluate_tasks(
            subject,
            questions.tasks,
            data=questions.data,
            limit=questions.limit,
            num_fewshot=questions.num_fewshot,
            seed=questions.seed,
            cache=questions.cache,
            progress=questions.progress,
        )
    with AnswerStore(questions.cache, subject.fingerprint) as store:
        bits = _bits(subject, questions, store)
        answers = _answers(subject, questions, store)
    return Answered(
        name=name or subject.name,
        fingerprint=subject.fingerprint,
        benchmarks=benchmarks,
        bits=bits,
        answers=answers,
        generations=_scored(answers, questions),
    )


def _bits(
    subject: Subject, questions: Questions, store: AnswerStore
) -> Items | None:
    texts = questions.kept_texts
    if not texts:
        return None
    nats = ask(subject, texts, store, questions.progress)
    bits = np.array([-nats[text] / math.log(2) for text in texts])
    size = np.array([len(text.encode()) for text in texts], "float64")
    return Items(bits, size, False)


def _answers(
    subject: Subject, questions: Questions, store: AnswerStore
) -> list[str]:
    prompts = [
        Prompt(
            text,
            until=questions.until,
            max_new_tokens=questions.max_new_tokens,
        )
        for text in questions.kept_prompts
    ]
    found = ask(subject, prompts, store, questions.progress)
    return [found[prompt] for prompt in prompts]


def _scored(
    answers: Sequence[str], questions: Questions
) -> GenerationReport | None:
    if not questions.references:
        return None
    return generation_scores(
        answers,
        questions.references[: len(answers)],
        questions.metrics,
        prompts=questions.kept_prompts,
    )


def _generation_items(report: GenerationReport) -> dict[str, Items]:
    return {
        f"{report.name}/{metric}": Items(
            scored.values, None, bool(scored.measure.higher_is_better)
        )
        for metric, scored in report.scores.items()
        if scored.values is not None
        and scored.measure.higher_is_better is not None
        and _is_mean(scored.values, scored.measure)
    }


def _benchmark_items(report: BenchmarkReport) -> dict[str, Items]:
    found = {}
    for name, measure in report.measures().items():
        task, _, key = name.partition("/")
        metric, _, chain = key.partition(",")
        given = [
            sample[metric]
            for sample in report.samples.get(task, [])
            if sample["filter"] == (chain or "none")
        ]
        if metric == "bits_per_byte" and given:
            pairs = np.array(given, "float64")
            bits = -pairs[:, 0] / math.log(2)
            found[name] = Items(bits, pairs[:, 1], False)
        elif metric == "perplexity" and given:
            nats = -np.array(given, "float64")
            found[f"{task}/log_{key}"] = Items(nats, None, False)
        elif given and isinstance(given[0], int | float):
            values = np.array(given, "float64")
            if _is_mean(values, measure):
                better = measure.higher_is_better is not False
                found[name] = Items(values, None, better)
    return found


def _is_mean(values: np.ndarray, measure: Measure) -> bool:
    """Whether a metric is the mean of its items, which pairs compare."""
    return math.isclose(values.mean(), measure.value, abs_tol=1e-9)
