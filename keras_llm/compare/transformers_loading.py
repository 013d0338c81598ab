"""Opening a folder with `transformers`: nothing is downloaded or made up."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_llm.errors import InputError

CONTEXT_KEYS = ("n_positions", "max_position_embeddings", "n_ctx")
USUAL_CONTEXT = 2048  # where neither config nor tokenizer says, as HFLM
UNLIMITED = 10**9  # tokenizers without a limit say a number beyond this


def context_length(config: Any, tokenizer: Any) -> int:
    """Returns the most tokens a model reads, as the harness finds it.

    Example:

    >>> from types import SimpleNamespace
    >>> context_length(SimpleNamespace(n_ctx=64), None)
    64
    """
    config = getattr(config, "text_config", None) or config
    for key in CONTEXT_KEYS:
        if getattr(config, key, None) is not None:
            return int(getattr(config, key))
    limit = tokenizer.model_max_length
    return USUAL_CONTEXT if limit > UNLIMITED else int(limit)


def is_encoder_decoder(folder: Path) -> bool:
    """Says of a folder whether its model has an encoder of its own.

    Raises:
        InputError: `transformers` or `torch` is missing, or it does not know
            such a model.

    Example:

    >>> is_encoder_decoder(Path("nowhere"))
    Traceback (most recent call last):
    keras_llm.errors.InputError: Expected a folder ... at nowhere. ...
    """
    with _opening(folder) as transformers:
        config = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True
        )
    return bool(config.is_encoder_decoder)


def load_transformers(folder: Path, kind: str, dtype: str) -> tuple[Any, Any]:
    """Returns the model and the tokenizer of a folder.

    Args:
        folder: A local folder with config.json, weights and tokenizer.
        kind: The class that opens it, for example "AutoModelForCausalLM".
        dtype: Precision of weights and computation.

    Raises:
        InputError: `transformers` or `torch` is missing, or the folder holds
            no whole model of this kind.

    Example:

    >>> load_transformers(Path("nowhere"), "AutoModelForCausalLM", "float32")
    Traceback (most recent call last):
    keras_llm.errors.InputError: Expected a folder ... at nowhere. ...
    """
    with _opening(folder) as transformers:
        model, info = getattr(transformers, kind).from_pretrained(
            folder, dtype=dtype, local_files_only=True, output_loading_info=True
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True
        )
    if info["missing_keys"]:  # it would draw them from chance
        raise InputError(
            f"Expected all weights of the model in {folder}. Received: none "
            f"for {', '.join(sorted(info['missing_keys'])[:3])}. Copy or "
            "download the folder again."
        )
    return model, tokenizer


def _transformers() -> Any:
    try:
        import torch  # noqa: F401
        import transformers
    except ImportError as error:
        raise InputError(
            "Expected transformers and torch, for a family that keras_llm "
            f"has not itself. Received: {error}. Install them: pip install "
            '"transformers>=5.23" torch'
        ) from error
    return transformers


@contextlib.contextmanager
def _opening(folder: Path) -> Iterator[Any]:
    """Yields `transformers`; what it cannot load becomes a sentence."""
    if not (folder / "config.json").is_file():
        raise InputError(
            "Expected a folder in Hugging Face's form (config.json, weights, "
            f"tokenizer) at {folder}. Received: "
            + ("one without." if folder.is_dir() else "no such folder.")
        )
    transformers = _transformers()
    try:
        yield transformers
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise InputError(
            f"Expected a model that transformers {transformers.__version__} "
            f"can load from {folder}. Received: "
            f"{str(error).strip().splitlines()[0]}"
        ) from error
