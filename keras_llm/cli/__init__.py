"""The command line, `keras-llm VERB`: thin calls, one module per group."""

# Each module registers its verbs on the app when it is imported.
from keras_llm.cli import (  # noqa: F401
    artifact,
    ask,
    chat,
    compare,
    corpus,
    corpus_report,
    data_inspect,
    data_mix,
    data_rows,
    data_service,
    estimate,
    evaluate,
    feedback,
    finetune,
    finetune_answers,
    finetune_grpo,
    finetune_labels,
    hub,
    info,
    label,
    launch,
    model,
    quickstart,
    serve,
    smaller,
    sweep,
    synthesize,
    train,
)
from keras_llm.cli.app import app


def main(words: list[str] | None = None) -> None:
    """Runs `keras-llm`; always ends by raising `SystemExit`.

    Args:
        words: What follows `keras-llm`. Default: the process's own words.

    Raises:
        SystemExit: Code 0 when all is done, 2 for a user's mistake (said in
            a sentence on standard error), 130 when stopped by Ctrl-C.

    Example:

    >>> try:
    ...     main(["--version"])
    ... except SystemExit as end:
    ...     print("exit code", end.code)
    keras_llm 0.1.0
    exit code 0
    """
    app(words)
