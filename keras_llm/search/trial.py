"""One trial of a sweep, in a process of its own: a run of `train.fit`.

`python -m keras_llm.search.trial FOLDER` reads FOLDER/trial.json, trains in
FOLDER/run, where a killed run goes on, and writes FOLDER/result.json.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from keras_llm.files import read_json, write_text

TRIAL, RESULT, RUN, LOG = "trial.json", "result.json", "run", "log.txt"
BOARD = "tensorboard"


def write_trial(folder: Path, name: str, task: dict[str, Any]) -> None:
    """Says in a trial's folder what is to be trained.

    Args:
        folder: Of the trial.
        name: Of the trial.
        task: What `run_trial` needs: rows, tokenizer, config, settings,
            precision, and the point, for TensorBoard.
    """
    write_text(folder / TRIAL, json.dumps({"name": name, **task}, indent=2))


def run_trial(folder: Path) -> dict[str, Any]:
    """Trains what trial.json says and returns what is in result.json.

    Raises:
        InputError: The rows, the settings and the model do not fit.
    """
    import keras

    from keras_llm.config import DecoderConfig
    from keras_llm.data import open_rows
    from keras_llm.model import build_decoder
    from keras_llm.train import TrainConfig, choose_precision, fit

    task = read_json(folder / TRIAL)
    rows = open_rows(task["rows"])
    held_out = None
    if "heldout" in rows.manifest.splits:
        held_out = open_rows(task["rows"], "heldout")
    settings = TrainConfig.from_dict(task["settings"])
    keras.utils.set_random_seed(settings.seed)
    model = build_decoder(
        DecoderConfig.from_dict(task["config"]),
        dtype=choose_precision(task["precision"]),
    )
    trained = fit(
        model,
        rows,
        out=folder / RUN,
        validation_rows=held_out,
        config=settings,
    )
    result = {
        "steps": trained.steps,
        "tokens": trained.tokens,
        "parameters": trained.parameters,
        "flops": trained.flops_per_token * trained.tokens,
        "loss": trained.loss,
        "validation_loss": trained.validation_loss,
        "seconds": trained.seconds,
    }
    _to_tensorboard(folder, task, result)
    write_text(folder / RESULT, json.dumps(result, indent=2))
    return result


def _to_tensorboard(
    folder: Path, task: dict[str, Any], result: dict[str, Any]
) -> None:
    """A row of TensorBoard's HParams table."""
    import tensorflow as tf
    from tensorboard.plugins.hparams import api

    place = folder.parents[1] / BOARD / task["name"]
    writer = tf.summary.create_file_writer(str(place))
    with writer.as_default(step=result["steps"]):
        api.hparams(task["point"], trial_id=task["name"])
        for name in ("loss", "validation_loss"):
            if result[name] is not None:
                tf.summary.scalar(name, result[name])
    writer.close()


def _end_with(parent: int) -> None:
    """Ends this process when the sweep that started it has died."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(
        target=_end_with, args=(os.getppid(),), daemon=True
    ).start()
    run_trial(Path(sys.argv[1]))
