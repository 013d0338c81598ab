"""What one model gave to all that several models are compared by."""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_llm.compare.pairs import ItemScores
from keras_llm.compare.questions import Questions
from keras_llm.evaluate.finding import Measure
from keras_llm.evaluate.generation import GenerationReport, generation_scores
from keras_llm.evaluate.harness.asking import ask
from keras_llm.evaluate.harness.evaluator import (
    chat_prompt_of,
    evaluate_tasks,
)
from keras_llm.evaluate.harness.results import BenchmarkReport
from keras_llm.evaluate.harness.store import AnswerStore
from keras_llm.evaluate.subject import Prompt, Subject

BITS = "texts/bits_per_byte"


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
            apply_chat_template=questions.chat,
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
    texts = questions.kept_prompts
    if questions.chat and texts:
        write = chat_prompt_of(subject)
        texts = [write([{"role": "user", "content": text}]) for text in texts]
    prompts = [
        Prompt(
            text,
            until=questions.until,
            max_new_tokens=questions.max_new_tokens,
        )
        for text in texts
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
