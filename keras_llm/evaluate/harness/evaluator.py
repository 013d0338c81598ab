"""Evaluating a model on benchmarks."""

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from keras_llm.errors import InputError
from keras_llm.evaluate.harness.asking import ask
from keras_llm.evaluate.harness.contexts import Style
from keras_llm.evaluate.harness.groups import (
    check_groups,
    group_results,
    leaves,
)
from keras_llm.evaluate.harness.outcome import Outcome, score_plan
from keras_llm.evaluate.harness.plan import Plan, Settings, make_plan
from keras_llm.evaluate.harness.results import BenchmarkReport
from keras_llm.evaluate.harness.store import AnswerStore
from keras_llm.evaluate.harness.task import Task
from keras_llm.evaluate.harness.task_files import Selection, select_tasks
from keras_llm.evaluate.provenance import commit, environment
from keras_llm.evaluate.subject import Subject

HARNESS_SEED = 1234  # the harness's, so that it draws the same examples


def evaluate_tasks(
    subject: Subject,
    tasks: str | os.PathLike | Task | Iterable[str | os.PathLike | Task],
    data: str | os.PathLike | None = None,
    limit: float | None = None,
    num_fewshot: int | None = None,
    seed: int = HARNESS_SEED,
    cache: str | os.PathLike | None = None,
    progress: bool = True,
    bootstrap: int = 1000,
    apply_chat_template: bool = False,
    fewshot_as_multiturn: bool = True,
    system_instruction: str | None = None,
    allow_code: bool = False,
) -> BenchmarkReport:
    """Evaluates a model on benchmarks by the lm-evaluation-harness's rules.

    Prompts, requests, filters, metrics and their errors are the harness's.
    Files, templates, metrics and answers of all tasks are checked before the
    model is asked anything.

    Args:
        subject: The model.
        tasks: Names of `list_tasks`, tags, paths of task files, or `Task`s.
        data: Folder with the documents, or "hub" to download them.
        limit: Documents of each task, for trying out: a number, or below 1 a
            share. Default: all.
        num_fewshot: Solved examples in front of each, where a task doesn't
            say 0. Default: what the task says.
        seed: Of the solved examples, of drawn answers and of the bootstrap.
        cache: File or folder where answers are kept: a run that was killed
            goes on where it was, a second one asks nothing.
        progress: Whether a bar is shown.
        bootstrap: Resamples for standard errors that have no formula; below 2
            there are none.
        apply_chat_template: Whether prompts are chats, written by the
            subject's method `chat_prompt(messages) -> str`.
        fewshot_as_multiturn: Whether in a chat each solved example is a turn.
        system_instruction: Stands before everything.
        allow_code: Whether programs that the model writes may be run.

    Raises:
        InputError: A task, its file, its documents or its metrics are wrong
            (the sentence says where); or the model cannot answer.
        OSError: `cache` cannot be written.

    Source: https://github.com/EleutherAI/lm-evaluation-harness 0.4.13.

    Example:

    >>> import pathlib, tempfile
    >>> from keras_llm.evaluate import Likelihood
    >>> class Sure:
    ...     name, fingerprint = "sure", "1"
    ...     def likelihoods(self, requests):
    ...         return [Likelihood(-len(r.continuation), True)
    ...             for r in requests]
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "test.jsonl").write_text(
    ...     '{"q": "Is it?", "gold": 1}\\n{"q": "Was it?", "gold": 0}')
    >>> task = Task(task="sure", test_split="test", doc_to_text="q",
    ...     doc_to_target="gold", doc_to_choice=["yes", "no"],
    ...     output_type="multiple_choice")
    >>> report = evaluate_tasks(Sure(), task, data=folder)
    >>> report.measures()["sure/acc"].value
    0.5
    """
    settings = Settings(
        data=data,
        limit=limit,
        num_fewshot=num_fewshot,
        seed=seed,
        style=_style(
            subject,
            apply_chat_template,
            fewshot_as_multiturn,
            system_instruction,
        ),
        allow_code=allow_code,
    )
    alone = isinstance(tasks, (str, os.PathLike, Task))
    selection = select_tasks([tasks] if alone else tasks)
    started = time.time()
    plans = [make_plan(task, settings) for task in selection.tasks.values()]
    check_groups(selection, {plan.task.task: _keys(plan) for plan in plans})
    requests = (
        r for plan in plans for item in plan.items for r in item.requests
    )
    with AnswerStore(cache, subject.fingerprint) as store:
        answers = ask(subject, requests, store, progress)
    outcomes = [score_plan(plan, answers, bootstrap, seed) for plan in plans]
    config = {
        "model": subject.name,
        "fingerprint": subject.fingerprint,
        "limit": limit,
        "bootstrap_iters": bootstrap,
        "fewshot_seed": seed,
        "apply_chat_template": apply_chat_template,
        "fewshot_as_multiturn": fewshot_as_multiturn,
        "system_instruction": system_instruction,
    }
    info = _info(selection, plans, outcomes) | {
        "config": config,
        "git_hash": commit(),
        "date": started,
        "environment": environment(),
    }
    samples = {
        plan.task.task: outcome.samples
        for plan, outcome in zip(plans, outcomes, strict=True)
    }
    return BenchmarkReport(info, samples)


def chat_prompt_of(subject: Subject) -> Callable[[Any], str]:
    """Returns how a model's chat template writes messages as a prompt.

    Raises:
        InputError: The model has none.

    Example:

    >>> class Plain:
    ...     name = "plain"
    >>> chat_prompt_of(Plain())
    Traceback (most recent call last):
    keras_llm.errors.InputError: Expected a model with a chat template. ...
    """
    chat_prompt = getattr(subject, "chat_prompt", None)
    if chat_prompt is None:
        raise InputError(
            f"Expected a model with a chat template. Received: {subject.name}, "
            "which has none. Ask it without one, or use a model that was tuned "
            "for chats."
        )
    return chat_prompt


def _style(
    subject: Subject, chat: bool, multiturn: bool, system: str | None
) -> Style:
    if not chat:
        return Style(system=system)
    return Style(chat_prompt_of(subject), multiturn, system)


def _keys(plan: Plan) -> list[str]:
    return [f"{use.name},{name}" for use in plan.uses for name in plan.chains]


def _info(
    selection: Selection, plans: list[Plan], outcomes: list[Outcome]
) -> dict[str, Any]:
    """What was found and how, by the harness's keys."""
    by_task = {plan.task.task: plan for plan in plans}
    results = {
        name: outcome.results
        for name, outcome in zip(by_task, outcomes, strict=True)
    }
    groups = group_results(selection, results)
    better = {
        name: {use.name: use.higher_is_better for use in plan.uses}
        for name, plan in by_task.items()
    }
    shots = {name: plan.task.num_fewshot for name, plan in by_task.items()}
    versions = {name: plan.task.version for name, plan in by_task.items()}
    for name, group in selection.groups.items():
        members = leaves(selection, name)
        better[name] = _agreed([better[member] for member in members])
        counts = {shots[member] for member in members}
        if len(counts) == 1:
            shots[name] = counts.pop()
        versions[name] = (group.metadata or {}).get("version", "N/A")
    return {
        "results": results | groups,
        "groups": groups,
        "group_subtasks": selection.members,
        "configs": {name: _config(plan) for name, plan in by_task.items()},
        "versions": versions,
        "n-shot": shots,
        "higher_is_better": better,
        "n-samples": {
            name: {"original": plan.size, "effective": len(plan.items)}
            for name, plan in by_task.items()
        },
    }


def _config(plan: Plan) -> dict[str, Any]:
    """The task's fields that are set, as in the harness."""
    fields = plan.task.to_dict()
    return {key: fields[key] for key in fields if fields[key] is not None}


def _agreed(
    several: list[dict[str, bool | None]],
) -> dict[str, bool | None]:
    """What all tasks say of a metric; None where they differ."""
    found: dict[str, bool | None] = {}
    for better in several:
        for name, higher in better.items():
            found[name] = higher if found.get(name, higher) == higher else None
    return found
