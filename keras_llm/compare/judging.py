"""A language model judges answers: two beside each other, or one by grades."""

import itertools
import os
from collections.abc import Mapping, Sequence

from keras_llm.compare.asking import Judge, JudgeModel
from keras_llm.compare.grade_report import GradeReport
from keras_llm.compare.judge_report import JudgeReport, Match
from keras_llm.compare.verdicts import (
    FIRST,
    RUBRIC,
    SECOND,
    TIE,
    grade_question,
    pair_question,
    read_grade,
    read_verdict,
)
from keras_llm.errors import InputError

_SWAPPED = {FIRST: SECOND, SECOND: FIRST, TIE: TIE, None: None}


def judge(
    judge_model: JudgeModel,
    prompts: Sequence[str],
    answers_a: Sequence[str],
    answers_b: Sequence[str],
    names: tuple[str, str] = ("A", "B"),
    rubric: str = RUBRIC,
    references: Sequence[str] | None = None,
    log: str | os.PathLike | None = None,
    concurrency: int = 4,
    retries: int = 1,
    progress: bool = True,
    seed: int = 0,
) -> JudgeReport:
    """Has a model judge which of two answers is better, prompt by prompt.

    Every pair is judged twice, in both orders, since judges prefer a place.
    Where the two verdicts contradict each other the pair is a tie. How often
    they agree, how often the first place won, and how often the longer answer
    won are reported beside the result: they say how far it can be trusted.

    Args:
        judge_model: A function from a question to a reply, called from several
            threads; a `Subject`; or what `open_subject` opens, such as
            "http://localhost:8000/v1#gemma" (asked in chats).
        prompts: What was asked.
        answers_a: The answers of one model, in the order of the prompts.
        answers_b: Those of the other.
        names: What the two models are called. The judge does not see them.
        rubric: What makes an answer good, as a sentence for the judge.
        references: Answers known to be right, shown to the judge.
        log: JSON Lines file with every question and reply. A judgement that
            is in it is not made again, so a killed run goes on.
        concurrency: Questions that are asked at the same time.
        retries: How often the judge is asked again where its reply has no
            verdict. What is still without one then is counted as unreadable.
        progress: Whether a bar is shown.
        seed: Of the bootstrap.

    Raises:
        InputError: There is no prompt, there are not as many answers, or the
            judge or its log cannot be used.

    Source: Zheng et al. 2023, "Judging LLM-as-a-judge with MT-Bench and
    Chatbot Arena", https://arxiv.org/abs/2306.05685.

    Example:

    >>> def longer(question):
    ...     a, b = (question.split(f"<answer_{x}>")[1].split("</answer")[0]
    ...         for x in "AB")
    ...     return "[[A]]" if len(a) > len(b) else "[[B]]"
    >>> report = judge(longer, ["Why?"] * 3, ["because"] * 3, ["no"] * 3)
    >>> report.measures()["judge/win_rate"].value
    1.0
    """
    return judge_all(
        judge_model,
        prompts,
        dict(zip(names, (answers_a, answers_b), strict=True)),
        rubric=rubric,
        references=references,
        log=log,
        concurrency=concurrency,
        retries=retries,
        progress=progress,
        seed=seed,
    )


def judge_all(
    judge_model: JudgeModel,
    prompts: Sequence[str],
    answers: Mapping[str, Sequence[str]],
    rubric: str = RUBRIC,
    references: Sequence[str] | None = None,
    log: str | os.PathLike | None = None,
    concurrency: int = 4,
    retries: int = 1,
    progress: bool = True,
    seed: int = 0,
) -> JudgeReport:
    """Judges every pair of several models' answers; rates the models.

    For `m` models and `n` prompts the judge is asked `m (m - 1) n` questions.

    Args:
        answers: By model, in the order of the prompts; at least two models.

    Other arguments, errors and source as for `judge`.

    Example:

    >>> answers = {"a": ["yes"], "b": ["no"], "c": ["perhaps"]}
    >>> report = judge_all(lambda question: "[[tie]]", ["Well?"], answers)
    >>> report.measures()["judge/rating/a"].value
    1000.0
    """
    _check(prompts, answers, references, least=2)
    asked = Judge(judge_model, log, concurrency, retries)
    places = [
        (item, a, b)
        for a, b in itertools.combinations(answers, 2)
        for item in range(len(prompts))
    ]
    orders = [
        (item, *models) for item, a, b in places for models in ((a, b), (b, a))
    ]
    replies = asked.ask(
        [
            pair_question(
                prompts[item],
                answers[first][item],
                answers[second][item],
                rubric,
                None if references is None else references[item],
            )
            for item, first, second in orders
        ],
        read_verdict,
        [{"item": i, "first": a, "second": b} for i, a, b in orders],
        progress,
    )
    matches = [
        Match(
            item=item,
            a=a,
            b=b,
            verdicts=(
                read_verdict(straight),
                _SWAPPED[read_verdict(swapped)],
            ),
            replies=(straight, swapped),
        )
        for (item, a, b), straight, swapped in zip(
            places, replies[::2], replies[1::2], strict=True
        )
    ]
    return JudgeReport("judge", asked.name, dict(answers), matches, seed)


def grade(
    judge_model: JudgeModel,
    prompts: Sequence[str],
    answers: Mapping[str, Sequence[str]],
    rubric: str = RUBRIC,
    references: Sequence[str] | None = None,
    log: str | os.PathLike | None = None,
    concurrency: int = 4,
    retries: int = 1,
    progress: bool = True,
    seed: int = 0,
) -> GradeReport:
    """Has a model grade answers from 1 to 10, each alone.

    Cheaper than `judge_all` for many models and of use for one, but a judge's
    grades are coarser than its comparisons.

    Args:
        answers: By model, in the order of the prompts.

    Other arguments, errors and source as for `judge`.

    Example:

    >>> report = grade(lambda question: "[[7]]", ["Well?"], {"a": ["yes"]})
    >>> report.measures()["grade/a"].value
    7.0
    """
    _check(prompts, answers, references, least=1)
    asked = Judge(judge_model, log, concurrency, retries)
    places = [
        (item, model) for model in answers for item in range(len(prompts))
    ]
    replies = asked.ask(
        [
            grade_question(
                prompts[item],
                answers[model][item],
                rubric,
                None if references is None else references[item],
            )
            for item, model in places
        ],
        read_grade,
        [{"item": item, "model": model} for item, model in places],
        progress,
    )
    count = len(prompts)
    by_model = {
        model: replies[place * count : (place + 1) * count]
        for place, model in enumerate(answers)
    }
    return GradeReport("grade", asked.name, by_model, seed)


def _check(
    prompts: Sequence[str],
    answers: Mapping[str, Sequence[str]],
    references: Sequence[str] | None,
    least: int,
) -> None:
    if not prompts:
        raise InputError(
            "Expected at least one prompt whose answers are judged. Received: "
            "none."
        )
    if len(answers) < least:
        raise InputError(
            f"Expected answers of at least {least} models, by name. Received: "
            f"{', '.join(answers) or 'none'}. Give two models two names."
        )
    several = dict(answers)
    if references is not None:
        several["the references"] = references
    for name, texts in several.items():
        if len(texts) != len(prompts):
            raise InputError(
                f"Expected an answer to each of {len(prompts)} prompts from "
                f"{name}. Received: {len(texts)}."
            )
