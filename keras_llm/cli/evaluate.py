"""The verb evaluate: one report of what a model can, and cannot."""

from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from keras_llm.cli import evaluate_options as options
from keras_llm.cli.app import verb
from keras_llm.cli.console import command, report, start_tensorflow
from keras_llm.cli.evaluate_parts import Wanted

CORPUS = Path("runs/corpus")
LIST = "list"
SHOWN = 12  # numbers of each part, on the terminal


@verb(
    "keras-llm evaluate runs/model --corpus runs/corpus --output runs/report",
    "keras-llm evaluate runs/model --tasks hellaswag,arc_easy --data hub"
    " --output runs/report",
    "keras-llm evaluate runs/model --tasks copa --data hub "
    "--fail-below copa/acc=0.6",
    "keras-llm evaluate --tasks list",
)
def evaluate(
    model: options.Model = "runs/model",
    corpus: options.Corpus = None,
    calibration: options.Calibration = False,
    tokenizer: options.Tokenizer = None,
    tasks: options.Tasks = None,
    data: options.Data = None,
    limit: options.Limit = None,
    few_shot: options.FewShot = None,
    chat: options.Chat = False,
    allow_code: options.AllowCode = False,
    mistakes: options.Mistakes = False,
    training: options.Training = None,
    memorized: options.TrainingRows = None,
    cache: options.Cache = None,
    bias: options.Bias = False,
    crows_pairs: options.CrowsPairs = None,
    bbq: options.Bbq = None,
    swaps: options.Swaps = None,
    toxicity: options.Toxicity = None,
    block_list: options.BlockList = None,
    classifier: options.Classifier = None,
    refusals: options.Refusals = None,
    mentions: options.Mentions = False,
    output: options.Output = None,
    tensorboard: options.TensorBoard = None,
    fail_below: options.FailBelow = None,
    fail_above: options.FailAbove = None,
    baseline: options.Baseline = None,
    seed: options.Seed = 1234,
) -> None:
    """Measure a model: held-out text, benchmarks, calibration, bias.

    By itself it scores every token of the held-out documents once: perplexity
    and bits per byte, which compare across tokenizers, beside a unigram model
    and `xz -9` on the same bytes. Each option adds a part; all of them stand
    in one report with error bars, and in one list of numbers that a limit can
    be set on.
    """
    if tasks == LIST:
        return _list()
    alone = not any(
        (tasks, memorized, bias, crows_pairs, bbq, swaps, toxicity, refusals)
    )
    wanted = Wanted(
        corpus=corpus or (CORPUS if alone else None),
        calibration=calibration,
        tasks=split(tasks),
        data=data,
        limit=limit,
        few_shot=few_shot,
        chat=chat,
        allow_code=allow_code,
        mistakes=mistakes,
        training=training,
        training_rows=memorized,
        cache=cache or beside(output),
        bias=bias,
        crows_pairs=crows_pairs,
        bbq=bbq,
        swaps=swaps,
        toxicity=toxicity,
        block_list=block_list,
        classifier=classifier,
        refusals=refusals,
        mentions=mentions,
        seed=seed,
    )
    wanted.check()
    if output is not None:
        from keras_llm.evaluate.reports import check_report_folder

        check_report_folder(output)
    gates = wanted_gates(fail_below, fail_above, baseline)
    subject = _opened(model, tokenizer)
    findings = list(wanted.findings(subject))
    finish(
        f"Evaluation of {model}",
        findings,
        output,
        tensorboard,
        gates,
        {"model": subject.fingerprint},
        seed,
        command("export", model),
    )


def split(names: str | None) -> tuple[str, ...]:
    """Returns names that are separated by commas.

    Example:

    >>> split("copa, piqa")
    ('copa', 'piqa')
    """
    return tuple(name.strip() for name in (names or "").split(",") if name)


def beside(output: Path | None) -> Path | None:
    """Returns where answers are kept for a report's folder.

    Example:

    >>> print(beside(Path("runs/report")))
    runs/report.answers.sqlite
    """
    if output is None:
        return None
    return output.with_name(f"{output.name}.answers.sqlite")


def shown(measure: Any) -> str:
    """Returns a number with its error.

    Example:

    >>> from keras_llm.evaluate import Measure
    >>> shown(Measure(0.25, 0.0123))
    '0.2500 ± 0.0123'
    """
    text = f"{measure.value:,.4f}"
    return f"{text} ± {measure.error:,.4f}" if measure.error else text


def shown_measures(findings: list[Any]) -> dict[str, str]:
    """Returns the numbers for a table, the first ones of each finding.

    Example:

    >>> class Two:
    ...     title = "Two"
    ...     def measures(self):
    ...         from keras_llm.evaluate import Measure
    ...         return {f"two/{n}": Measure(n) for n in range(20)}
    >>> list(shown_measures([Two()]).items())[-1]
    ('two', '8 more in the report')
    """
    facts = {}
    for finding in findings:
        measures = finding.measures()
        for name in list(measures)[:SHOWN]:
            facts[name] = shown(measures[name])
        if len(measures) > SHOWN:
            part = next(iter(measures)).partition("/")[0]
            facts[part] = f"{len(measures) - SHOWN} more in the report"
    return facts


def finish(
    title: str,
    findings: list[Any],
    output: Path | None,
    tensorboard: Path | None,
    gates: list[Any],
    sources: dict[str, Any],
    seed: int,
    *next_commands: str,
) -> None:
    """Writes the report, prints the numbers, exits with 1 at a failed limit.

    Args:
        title: Of the report.
        findings: What it is made of.
        output: Its folder.
        tensorboard: TensorBoard's folder.
        gates: The limits.
        sources: What was evaluated, by name; see `write_report`.
        seed: What it was drawn with.
        *next_commands: Worth running next.

    Raises:
        InputError: The folder holds other files, or a limit is on a number
            that was not measured.
    """
    from keras_llm.evaluate import write_report
    from keras_llm.evaluate.sections import measures_of

    measures = measures_of(findings)
    facts = shown_measures(findings)
    if output is not None:
        written = write_report(
            output, findings, title, seed=seed, sources=sources
        )
        facts["report"] = str(written.html)
    if tensorboard is not None:
        from keras_llm.evaluate import write_summaries

        write_summaries(tensorboard, findings, step=0)
    report(title, facts, *next_commands)
    pass_or_exit(measures, gates)


def wanted_gates(
    below: list[str] | None, above: list[str] | None, baseline: Path | None
) -> list[Any]:
    """Returns the limits of a command line.

    Raises:
        InputError: One is not `METRIC=VALUE`, or the baseline is no report.
    """
    from keras_llm.evaluate import baseline_gates, parse_gate

    gates = [parse_gate(text) for text in below or ()]
    gates += [parse_gate(text, above=True) for text in above or ()]
    return gates + (baseline_gates(baseline) if baseline else [])


def pass_or_exit(measures: Any, gates: list[Any]) -> None:
    """Exits with 1, and says why, where a limit is not kept.

    Raises:
        InputError: A limit is on a number that was not measured.
    """
    from keras_llm.evaluate import check_gates

    failures = check_gates(measures, gates)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for failure in failures:
        console.print(f"Failed: {failure}", style="red", markup=False)
    if failures:
        raise typer.Exit(1)
    if gates:
        typer.echo(f"{len(gates)} of {len(gates)} limits kept.")


def _opened(model: str, tokenizer: Path | None) -> Any:
    start_tensorflow()
    from keras_llm.compare import open_subject

    more = {"tokenizer": tokenizer} if tokenizer else {}
    return open_subject(model, **more)


def _list() -> None:
    from keras_llm.evaluate import list_tasks

    for name in list_tasks():
        typer.echo(name)
