"""Weights & Biases and MLflow, through the Keras callbacks they ship."""

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras

from keras_llm.errors import InputError
from keras_llm.files import write_text

PROJECT = "keras_llm"


def check_logger(name: str | None) -> None:
    """Refuses a logger that is not installed.

    Raises:
        InputError: It is not installed.

    Example:

    >>> check_logger(None)
    """
    if name is not None and importlib.util.find_spec(name) is None:
        raise InputError(
            f"Expected {name} to be installed, for logger={name!r}. Received: "
            f"no such package. Run: pip install 'keras_llm[{name}]'."
        )


@contextlib.contextmanager
def logging_to(
    name: str | None, folder: Path, settings: dict[str, Any]
) -> Iterator[list[keras.callbacks.Callback]]:
    """Yields the callback of a logger; none for None.

    A run that is continued goes on under the same name there, which is noted
    in the folder. A run of theirs that is already open is used and left open.

    Args:
        name: "wandb", "mlflow" or None.
        folder: The run's folder.
        settings: What to note about the run.

    Raises:
        InputError: MLflow has no place to log to.

    Example:

    >>> with logging_to(None, Path("run"), {}) as callbacks:
    ...     callbacks
    []
    """
    if name is None:
        yield []
        return
    note = folder / f"{name}_run"
    known = note.read_text(encoding="utf-8") if note.exists() else None
    with _OPEN[name](folder, settings, known) as (run, callback):
        write_text(note, run)
        yield [callback]


@contextlib.contextmanager
def _wandb(
    folder: Path, settings: dict[str, Any], known: str | None
) -> Iterator[tuple[str, Any]]:
    import wandb
    from wandb.integration.keras import WandbMetricsLogger

    run, theirs = wandb.run, wandb.run is not None
    if run is None:
        run = wandb.init(
            project=PROJECT,
            dir=str(folder),
            config=settings,
            id=known,
            resume="allow",
        )
    try:
        yield run.id, WandbMetricsLogger()
    finally:
        if not theirs:
            run.finish()


@contextlib.contextmanager
def _mlflow(
    folder: Path, settings: dict[str, Any], known: str | None
) -> Iterator[tuple[str, Any]]:
    import mlflow
    from mlflow.keras.callback import MlflowCallback

    with contextlib.ExitStack() as stack:
        try:
            run = mlflow.active_run() or stack.enter_context(
                mlflow.start_run(known)
            )
        except mlflow.MlflowException as error:
            raise InputError(
                "Expected MLflow to have a place to log to. Received: "
                f"{error}. Set MLFLOW_TRACKING_URI to a server."
            ) from error
        if known is None:
            mlflow.log_dict(settings, "keras_llm.json")
        yield run.info.run_id, MlflowCallback()


_OPEN: dict[str, Callable] = {"wandb": _wandb, "mlflow": _mlflow}
