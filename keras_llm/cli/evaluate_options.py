"""Options of `keras-llm evaluate`, grouped in its help."""

from pathlib import Path
from typing import Annotated

import typer

BENCHMARKS, FAIRNESS, RESULT = (
    "Benchmarks",
    "Fairness and safety",
    "What becomes of the numbers",
)

Model = Annotated[
    str,
    typer.Argument(
        help="What `keras-llm train` or `keras-llm import` wrote, another "
        "model folder, a preset, a checkpoint, a SavedModel, a .litertlm "
        "file, or http://HOST:PORT/v1#MODEL."
    ),
]
Corpus = Annotated[
    Path | None,
    typer.Option(
        help="Corpus with held-out documents.",
        show_default="runs/corpus, where nothing else is asked for",
    ),
]
Calibration = Annotated[
    bool,
    typer.Option(
        help="Whether its probabilities mean what they say, on the held-out "
        "documents."
    ),
]
Tokenizer = Annotated[
    Path | None,
    typer.Option(
        help="Folder with the tokenizer, for a checkpoint or a .tflite file."
    ),
]
Tasks = Annotated[
    str | None,
    typer.Option(
        help="Benchmarks, separated by commas: names, or paths of task files. "
        "`list` prints the names.",
        rich_help_panel=BENCHMARKS,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        help="Folder with the benchmarks' files; `hub` downloads them.",
        rich_help_panel=BENCHMARKS,
    ),
]
Limit = Annotated[
    float | None,
    typer.Option(
        help="Documents of each benchmark: a number, or below 1 a share.",
        rich_help_panel=BENCHMARKS,
        show_default="all",
    ),
]
FewShot = Annotated[
    int | None,
    typer.Option(
        help="Solved examples before each question.",
        rich_help_panel=BENCHMARKS,
        show_default="the task's",
    ),
]
Chat = Annotated[
    bool,
    typer.Option(
        "--chat",
        help="Ask through the chat template of the model.",
        rich_help_panel=BENCHMARKS,
    ),
]
AllowCode = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        help="Run programs that the model writes (humaneval), behind limits.",
        rich_help_panel=BENCHMARKS,
    ),
]
Training = Annotated[
    Path | None,
    typer.Option(
        help="Corpus the model was trained on: which benchmark documents it "
        "has seen (13-grams).",
        rich_help_panel=BENCHMARKS,
    ),
]
Mistakes = Annotated[
    bool,
    typer.Option(
        "--mistakes",
        help="What the failed documents share, and what data that asks for.",
        rich_help_panel=BENCHMARKS,
    ),
]
TrainingRows = Annotated[
    Path | None,
    typer.Option(
        "--memorized",
        help="Rows the model was trained on: the longest parts of what it "
        "writes that stand there verbatim.",
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        help="Where answers to benchmarks are kept, so that a run that was "
        "killed goes on.",
        rich_help_panel=BENCHMARKS,
        show_default="OUTPUT.answers.sqlite",
    ),
]
Bias = Annotated[
    bool,
    typer.Option(
        "--bias",
        help="How surprising the same sentence is about different groups.",
        rich_help_panel=FAIRNESS,
    ),
]
CrowsPairs = Annotated[
    Path | None,
    typer.Option(help="CrowS-Pairs' CSV file.", rich_help_panel=FAIRNESS),
]
Bbq = Annotated[
    Path | None,
    typer.Option(help="A file of BBQ, JSON Lines.", rich_help_panel=FAIRNESS),
]
Swaps = Annotated[
    Path | None,
    typer.Option(
        help="Text file, a sentence in each line: how much the likelihood "
        "changes when names, gender or religion are swapped.",
        rich_help_panel=FAIRNESS,
    ),
]
Toxicity = Annotated[
    Path | None,
    typer.Option(
        help="Prompts (a line each, or JSON Lines): how toxic the "
        "continuations are.",
        rich_help_panel=FAIRNESS,
    ),
]
BlockList = Annotated[
    Path | None,
    typer.Option(
        help="Your terms for --toxicity, a line each.",
        rich_help_panel=FAIRNESS,
        show_default="some 50 insults in English",
    ),
]
Classifier = Annotated[
    str | None,
    typer.Option(
        help="FOLDER#LABEL: a classifier's probability of the label says how "
        "toxic a text is.",
        rich_help_panel=FAIRNESS,
    ),
]
Mentions = Annotated[
    bool,
    typer.Option(
        "--mentions",
        help="Who is mentioned in the corpus, how often, and next to what.",
        rich_help_panel=FAIRNESS,
    ),
]
Refusals = Annotated[
    Path | None,
    typer.Option(
        help="JSON Lines with prompt, expected (refuse or answer) and maybe "
        "category.",
        rich_help_panel=FAIRNESS,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        help="Folder for report.html, report.md and results.json.",
        rich_help_panel=RESULT,
    ),
]
TensorBoard = Annotated[
    Path | None,
    typer.Option(
        "--tensorboard",
        help="TensorBoard folder that gets the numbers and pictures too.",
        rich_help_panel=RESULT,
    ),
]
FailBelow = Annotated[
    list[str] | None,
    typer.Option(
        help="METRIC=VALUE, for example copa/acc=0.6: exit with 1 below it.",
        rich_help_panel=RESULT,
    ),
]
FailAbove = Annotated[
    list[str] | None,
    typer.Option(
        help="METRIC=VALUE: exit with 1 above it.", rich_help_panel=RESULT
    ),
]
Baseline = Annotated[
    Path | None,
    typer.Option(
        help="results.json of an earlier report: exit with 1 where a number "
        "is worse by more than its standard error.",
        rich_help_panel=RESULT,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        help="Of solved examples, drawn answers and bootstraps.",
        rich_help_panel=RESULT,
    ),
]
