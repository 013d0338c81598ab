"""open_subject: what a path or an address is, and how to ask it."""

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_llm.compare.model_source import LM, load_checkpoint, load_model
from keras_llm.errors import InputError
from keras_llm.evaluate.subject import Subject
from keras_llm.files import read_json

FORCED = "hf:"  # before a folder that transformers is to open
KERAS, CHECKPOINT, TRANSFORMERS, ARTIFACT, ENDPOINT = (
    *("keras", "checkpoint", "transformers"),
    *("artifact", "endpoint"),
)
# A run, finished or not; a folder of CausalLM.save; a preset of KerasHub.
_KERAS_FILES = (LM, "train.json", "keras_llm.json", "metadata.json")
_STATE, _CONFIG = "state.json", "config.json"
_FILES = (".litertlm", ".tflite")


def open_subject(
    source: Any, name: str | None = None, **options: Any
) -> Subject:
    """Opens a model of any kind for evaluation.

    Args:
        source: One of

            - a `CausalLM`; a run of `keras-llm train` or `finetune`; a
              folder of `CausalLM.save`; a preset of `zoo.list()`,
            - a checkpoint, `checkpoints/step-...`, with `tokenizer=FOLDER`,
            - a folder in Hugging Face's form: with our own decoder where the
              zoo knows its family, else (T5, say) with `transformers`;
              `hf:FOLDER` takes `transformers` in any case,
            - a SavedModel of `keras_llm.export`, its newest version or the
              one that is named; a `.litertlm` file; a `.tflite` file with
              `tokenizer=FOLDER`; a folder with one of them,
            - an OpenAI-compatible server, `http://HOST:PORT/v1#MODEL`.
        name: What reports call it. Default: the source as it was given.
        **options: Of this kind of subject, for example `dtype="bfloat16"`.

    Raises:
        InputError: The source is none of these, an option is none of its
            kind, or a library that it needs is missing.

    Example:

    >>> open_subject("nowhere")
    Traceback (most recent call last):
    keras_llm.errors.InputError: Expected a run, a model folder, ...
    """
    kind = subject_kind(source)
    opener = _OPENERS[kind]
    known = list(inspect.signature(opener).parameters)[2:]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(
            f"Expected options of {source} out of {', '.join(known)}. "
            f"Received: {', '.join(unknown)}."
        )
    if name is None and isinstance(source, str | os.PathLike):
        name = str(source)
    return opener(source, name, **options)


def subject_kind(source: Any) -> str:
    """Returns what a source is; nothing is loaded for it.

    Args:
        source: As for `open_subject`.

    Returns:
        "keras", "checkpoint", "transformers", "artifact" (a SavedModel or a
        LiteRT file) or "endpoint".

    Raises:
        InputError: It is none of them.

    Example:

    >>> subject_kind("http://localhost:8000/v1#rose")
    'endpoint'
    """
    if hasattr(source, "model") and hasattr(source, "tokenizer"):
        return KERAS
    if not isinstance(source, str | os.PathLike):
        raise InputError(
            "Expected a path, an address or a CausalLM. Received: "
            f"{type(source).__name__}."
        )
    text, path = str(source), Path(source)
    if text.startswith(("http://", "https://")):
        return ENDPOINT
    if text.startswith(FORCED):
        return TRANSFORMERS
    if path.is_file() and path.suffix in _FILES:
        return ARTIFACT
    return _folder_kind(path) if path.is_dir() else _preset_kind(text)


def _folder_kind(folder: Path) -> str:
    if any((folder / name).exists() for name in _KERAS_FILES):
        return KERAS
    if _is_published(folder):
        return KERAS if _known_family(folder) else TRANSFORMERS
    if (folder / _STATE).is_file():
        return CHECKPOINT
    return ARTIFACT  # or nothing; its opener looks inside


def _is_published(folder: Path) -> bool:
    """Whether a folder is in Hugging Face's form."""
    ours = any((folder / name).exists() for name in _KERAS_FILES)
    return not ours and (folder / _CONFIG).is_file()


def _preset_kind(name: str) -> str:
    from keras_llm import zoo

    if name in zoo.list():
        return KERAS
    raise InputError(
        "Expected a run, a model folder, a preset, a SavedModel, a .litertlm "
        f"or .tflite file, or http://HOST:PORT/v1#MODEL. Received: {name}, "
        "which "
        + ("is another file." if os.path.exists(name) else "does not exist.")
    )


def _known_family(folder: Path) -> bool:
    from keras_llm import zoo

    try:
        zoo.find_family(str(read_json(folder / _CONFIG).get("model_type")))
    except InputError:
        return False
    return True


def _keras(source: Any, name: str | None, dtype: str = "float32") -> Subject:
    from keras_llm.evaluate.keras_subject import KerasSubject

    if not isinstance(source, str | os.PathLike):
        return KerasSubject(source, name)
    try:
        return KerasSubject(load_model(source, dtype), name)
    except InputError as error:
        if not _is_published(Path(source)):
            raise
        raise InputError(
            f"{error} Or let transformers open it: {FORCED}{source}"
        ) from error


def _checkpoint(
    source: Any,
    name: str | None,
    tokenizer: str | os.PathLike | None = None,
    dtype: str = "float32",
) -> Subject:
    return _keras(load_checkpoint(source, tokenizer, dtype), name)


def _transformers(
    source: Any,
    name: str | None,
    dtype: str = "float32",
    device: str = "cpu",
) -> Subject:
    from keras_llm.compare.transformers_loading import is_encoder_decoder
    from keras_llm.compare.transformers_subject import (
        Seq2SeqSubject,
        TransformersSubject,
    )

    folder = Path(str(source).removeprefix(FORCED))
    both = is_encoder_decoder(folder)
    kind = Seq2SeqSubject if both else TransformersSubject
    return kind(folder, name, dtype, device)


def _artifact(
    source: Any,
    name: str | None,
    tokenizer: str | os.PathLike | None = None,
    threads: int = 1,
) -> Subject:
    from keras_llm.compare.litert_subject import LitertSubject
    from keras_llm.compare.saved_model_subject import SavedModelSubject
    from keras_llm.export.server import artifacts

    kind, path = artifacts.find_artifact(source)
    if kind == artifacts.LITERT:
        return LitertSubject(path, name, tokenizer, threads)
    if kind == artifacts.SAVED_MODEL:
        return SavedModelSubject(path, name)
    return _keras(path, name)


def _endpoint(
    source: Any,
    name: str | None,
    key: str | None = None,
    chat: bool = False,
    timeout: float = 120.0,
    retries: int = 5,
    concurrency: int = 8,
) -> Subject:
    from keras_llm.compare.endpoint_subject import EndpointSubject

    return EndpointSubject(
        source, name, key, chat, timeout, retries, concurrency
    )


_OPENERS: dict[str, Callable[..., Subject]] = {
    KERAS: _keras,
    CHECKPOINT: _checkpoint,
    TRANSFORMERS: _transformers,
    ARTIFACT: _artifact,
    ENDPOINT: _endpoint,
}
