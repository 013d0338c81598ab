"""The verb around several models: compare."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from keras_llm.cli import evaluate_options as options
from keras_llm.cli.app import verb
from keras_llm.cli.console import report, start_tensorflow
from keras_llm.cli.evaluate import (
    beside,
    pass_or_exit,
    shown,
    split,
    wanted_gates,
)
from keras_llm.errors import InputError

TEXTS, ANSWERS = "Texts", "Answers"


@verb(
    "keras-llm compare runs/new runs/old --tasks hellaswag,copa --data hub",
    "keras-llm compare runs/new runs/old --corpus runs/corpus "
    "--fail-below 'texts/bits_per_byte@runs/new-runs/old=0'",
    "keras-llm compare runs/model hf:downloads/gpt2 "
    "--prompts prompts.jsonl --judge http://localhost:8000/v1#judge",
)
def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Two or more, each a run, a model folder, a preset, a "
            "checkpoint, hf:FOLDER, a SavedModel, a .litertlm file, or "
            "http://HOST:PORT/v1#MODEL.",
            show_default=False,
        ),
    ],
    tasks: options.Tasks = None,
    data: options.Data = None,
    few_shot: options.FewShot = None,
    chat: options.Chat = False,
    limit: Annotated[
        float | None,
        typer.Option(
            help="Documents of each benchmark, texts and prompts: a number, "
            "or below 1 a share.",
            show_default="all",
        ),
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="Corpus with held-out documents, for bits per byte.",
            rich_help_panel=TEXTS,
        ),
    ] = None,
    texts: Annotated[
        list[Path] | None,
        typer.Option(
            help="File or folder of texts, for bits per byte. Again for more.",
            rich_help_panel=TEXTS,
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="What the models answer: a line each, or JSON Lines with "
            "`prompt` and, to be scored, `reference`.",
            rich_help_panel=ANSWERS,
        ),
    ] = None,
    metrics: Annotated[
        str,
        typer.Option(
            help="Of answers beside references: exact_match, token_f1, chrf, "
            "bleu, rougeL, ...",
            rich_help_panel=ANSWERS,
        ),
    ] = "exact_match,token_f1",
    until: Annotated[
        list[str] | None,
        typer.Option(
            help="Text that ends an answer. Again for more.",
            rich_help_panel=ANSWERS,
        ),
    ] = None,
    max_new_tokens: Annotated[
        int,
        typer.Option(help="Most tokens of an answer.", rich_help_panel=ANSWERS),
    ] = 256,
    judge: Annotated[
        str | None,
        typer.Option(
            help="Model that judges the answers, pair by pair in both orders: "
            "http://HOST:PORT/v1#MODEL, or a model as above.",
            rich_help_panel=ANSWERS,
        ),
    ] = None,
    rubric: Annotated[
        str | None,
        typer.Option(
            help="What the judge should find good, in a sentence.",
            rich_help_panel=ANSWERS,
            show_default="helpful, correct, clear, complete",
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            help="Folder for report.html, report.md and results.json. Answers "
            "are kept beside it, so that a run that was killed goes on.",
            rich_help_panel=options.RESULT,
        ),
    ] = Path("runs/compare"),
    fail_below: options.FailBelow = None,
    fail_above: options.FailAbove = None,
    baseline: options.Baseline = None,
    seed: options.Seed = 1234,
) -> None:
    """Compare models on the same items: who is better, beyond chance.

    Benchmarks, bits per byte on texts, answers to prompts. Each pair of
    models is compared item by item, with intervals and p-values corrected for
    all pairs and metrics. Measures are called METRIC@MODEL, and METRIC@A-B for
    how much better A is than B.
    """
    from keras_llm.compare import compare as compare_models
    from keras_llm.evaluate.reports import check_report_folder, write_report

    check_report_folder(output)
    gates = wanted_gates(fail_below, fail_above, baseline)
    openers = {model: _opener(model) for model in _different(models)}
    asked = _prompts(prompts, judge)
    found = compare_models(
        openers,
        tasks=split(tasks),
        data=data,
        texts=_texts(corpus, texts),
        prompts=[one["prompt"] for one in asked],
        references=_references(asked),
        metrics=split(metrics),
        until=until or (),
        max_new_tokens=max_new_tokens,
        limit=limit,
        num_fewshot=few_shot,
        chat=chat,
        seed=seed,
        cache=beside(output),
    )
    findings: list[Any] = [found]
    if judge:
        log = output.with_name(f"{output.name}.judge.jsonl")
        findings.append(_judged(judge, found, asked, rubric, log, seed))
    written = write_report(
        output,
        findings,
        title=found.title,
        seed=seed,
        sources=dict(found.models),
    )
    _show(found, findings[1:])
    report(f"Compared {len(models)} models", {"report": written.html})
    pass_or_exit(written.measures, gates)


def _different(models: Sequence[str]) -> Sequence[str]:
    if len(set(models)) < 2 or len(set(models)) < len(models):
        raise InputError(
            "Expected at least two different models to compare. Received: "
            f"{', '.join(models)}."
        )
    return models


def _opener(model: str) -> Callable[[], Any]:
    """Looks what a model is, and returns how it is opened when needed."""
    from keras_llm.compare import open_subject

    start = _starter(model)

    def opened() -> Any:
        start()
        return open_subject(model)

    return opened


def _starter(model: str) -> Callable[[], None]:
    """How to get ready for a model: an address needs no TensorFlow."""
    from keras_llm.compare.opening import ENDPOINT, subject_kind

    remote = subject_kind(model) == ENDPOINT
    return (lambda: None) if remote else start_tensorflow


def _texts(corpus: Path | None, paths: Sequence[Path] | None) -> list[str]:
    from keras_llm.data import read_corpus, read_documents

    documents = [
        *(read_corpus(corpus, "heldout") if corpus else ()),
        *(read_documents(*paths) if paths else ()),
    ]
    return [document.text for document in documents]


def _prompts(path: Path | None, judge: str | None) -> list[dict[str, Any]]:
    from keras_llm.feedback.texts import read_texts

    if judge:
        _starter(judge)  # a wrong path shows at once
    if judge and path is None:
        raise InputError(
            "Expected --prompts for the judge. Received: --judge alone. Say "
            "what the models should answer."
        )
    return [] if path is None else read_texts(path, "prompt")


def _references(asked: Sequence[dict[str, Any]]) -> list[Any]:
    """The references of all prompts, or of none."""
    found = [one["reference"] for one in asked if "reference" in one]
    if found and len(found) < len(asked):
        raise InputError(
            "Expected `reference` with every prompt or with none. Received: "
            f"{len(found)} of {len(asked)}."
        )
    return found


def _judged(
    judge: str,
    found: Any,
    asked: Sequence[dict[str, Any]],
    rubric: str | None,
    log: Path,
    seed: int,
) -> Any:
    from keras_llm.compare import judge_all
    from keras_llm.compare.verdicts import RUBRIC

    _starter(judge)()
    references = [str(one) for one in _references(asked)[: len(found.prompts)]]
    return judge_all(
        judge,
        found.prompts,
        found.answers,
        rubric=rubric or RUBRIC,
        references=references or None,
        log=log,
        seed=seed,
    )


def _show(found: Any, judged: Sequence[Any]) -> None:
    """Prints all scores, then who is better."""
    console = Console(highlight=False, soft_wrap=True)
    table = Table()
    table.add_column("metric", style="cyan", overflow="fold")
    for model in found.models:
        table.add_column(model, justify="right", overflow="fold")
    metrics = dict.fromkeys(m for one in found.scores.values() for m in one)
    for metric in metrics:
        row = [one.get(metric) for one in found.scores.values()]
        table.add_row(metric, *("" if m is None else shown(m) for m in row))
    if metrics:
        console.print(table)
    for one in found.differences:
        if one.shown:
            console.print(str(one), markup=False)
    rest = sum(not one.shown for one in found.differences)
    if rest:
        all_ = len(found.differences)
        console.print(f"No difference shown in {rest} of {all_} comparisons.")
    for one in judged:
        for sentence in one.sentences():
            console.print(sentence, markup=False)
