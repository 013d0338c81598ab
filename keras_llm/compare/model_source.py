"""Loading a decoder of ours: from a run, a model folder or a checkpoint."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_llm.errors import InputError

if TYPE_CHECKING:
    from keras_llm.causal_lm import CausalLM

LM = "lm"  # the folder inside a run that holds the finished CausalLM


def load_model(path: str | os.PathLike, dtype: str = "float32") -> Any:
    """Loads a `CausalLM` from a run, a model folder or a preset's name.

    Names on the hub are for `keras-llm import`: here a name that is no
    folder is a folder that is missing, and no reason to use the network.

    Args:
        path: A run's folder, a folder as for `zoo.load`, or a preset.
        dtype: Of weights and computation.

    Raises:
        InputError: The run was stopped, or nothing is there.

    Example:

    >>> load_model("nowhere")
    Traceback (most recent call last):
    keras_llm.errors.InputError: Expected a model folder, or a preset, ...
    """
    from keras_llm import zoo

    path = Path(path)
    inner = path / LM
    if not inner.is_dir() and (path / "train.json").exists():
        raise InputError(
            f"Expected a finished run at {path}. Received: one that was "
            "stopped. Run the same command, `keras-llm train` or "
            "`keras-llm finetune`, again to finish it."
        )
    if not path.exists() and str(path) not in zoo.list():
        raise InputError(
            f"Expected a model folder, or a preset, at {path}. Received: no "
            "such folder. A model on the Hugging Face hub is fetched with "
            "`keras-llm import OWNER/NAME`."
        )
    return zoo.load(inner if inner.is_dir() else path, dtype)


def load_checkpoint(
    path: str | os.PathLike,
    tokenizer: str | os.PathLike | None = None,
    dtype: str = "float32",
) -> "CausalLM":
    """Loads the decoder of a training's checkpoint.

    Args:
        path: A folder `checkpoints/step-...` of a run.
        tokenizer: The folder of the tokenizer it was trained with: the
            corpus, or a model folder. A checkpoint has none.
        dtype: Of computation.

    Raises:
        InputError: No tokenizer was named or it is another one, or the
            checkpoint is damaged or of something else than a decoder.

    Example:

    >>> load_checkpoint("runs/model/checkpoints/step-00000100")
    Traceback (most recent call last):
    keras_llm.errors.InputError: Expected tokenizer=... Received: none. ...
    """
    if tokenizer is None:
        raise InputError(
            f"Expected tokenizer= with the checkpoint {path}, which holds "
            "weights only. Received: none. Name the folder of the corpus it "
            "is trained on, or of a model with the same tokenizer."
        )
    from keras_llm.causal_lm import CausalLM
    from keras_llm.config import DecoderConfig
    from keras_llm.sketch import blank_decoder
    from keras_llm.tokenizers import load
    from keras_llm.train.checkpoint import restore
    from keras_llm.train.state import STATE, State

    state = State.load(Path(path) / STATE)
    if state.config is None:
        raise InputError(
            f"Expected the checkpoint of a decoder in {path}. Received: one "
            "of another model. Evaluate what the run wrote in the end."
        )
    words = load(Path(tokenizer))
    model = blank_decoder(DecoderConfig.from_dict(state.config), dtype)
    restore(path, model, tokenizer=words.fingerprint)
    return CausalLM(model, words)
