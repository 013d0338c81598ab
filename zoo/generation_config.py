"""generation_config.json <-> GenerationSettings and the ids that end a text."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_llm.files import read_json
from keras_llm.sampling import GenerationSettings

GENERATION_FILE = "generation_config.json"
SHARED = (
    *("max_new_tokens", "temperature", "top_k", "top_p", "min_p"),
    "repetition_penalty",
)
"""Fields of `GenerationSettings` that have the same name and meaning there."""
SAMPLED = {"temperature": 1.0, "top_k": 50}
"""What `transformers` 5.23 takes for a missing value when it samples."""
UNUSED = (
    *("do_sample", "stop_strings", "eos_token_id", "bos_token_id"),
    *("pad_token_id", "transformers_version", "_from_model_config"),
    *("max_length", "use_cache", "cache_implementation"),
    *("output_attentions", "output_hidden_states", "return_dict_in_generate"),
)
NEUTRAL = (None, False, 0, 1, "", [], {}, "never")


def read_generation(
    folder: Path, values: Mapping[str, Any]
) -> tuple[GenerationSettings, tuple[int, ...] | None]:
    """Returns how a published model generates, and the ids it stops at.

    A setting that would change the text and that we lack is named in a
    warning: the model still loads, but `transformers` would continue texts
    in another way.

    Args:
        folder: A folder in Hugging Face's form.
        values: Its config.json, which says what ends a text where
            generation_config.json does not.

    Returns:
        The settings, and the end ids or None if nothing names any.

    Raises:
        InputError: The file is damaged or a value is out of range.
    """
    path = folder / GENERATION_FILE
    given = read_json(path) if path.is_file() else {}
    if lost := [k for k in given if _is_lost(k, given[k])]:
        said = ", ".join(f"{key}={given[key]!r}" for key in lost)
        warnings.warn(
            f"{path} asks for {said}, which keras_llm does not do: "
            "transformers continues texts in another way.",
            stacklevel=4,
        )
    ends = given.get("eos_token_id", values.get("eos_token_id"))
    if ends is not None:
        ends = tuple(ends) if isinstance(ends, list) else (ends,)
    return settings_of(given), ends


def settings_of(given: Mapping[str, Any]) -> GenerationSettings:
    """Returns the settings that a generation_config.json means.

    Example:

    >>> settings_of({"do_sample": True, "top_p": 0.9}).top_k
    50
    >>> settings_of({"temperature": 0.6}).samples  # do_sample is not set
    False
    """
    fields = {k: given[k] for k in SHARED if given.get(k) is not None}
    if given.get("do_sample"):
        fields = {**SAMPLED, **fields}
    else:
        fields["temperature"] = 0.0
    if stop := given.get("stop_strings"):
        fields["stop"] = stop
    return GenerationSettings.from_dict(fields)


def write_generation(
    settings: GenerationSettings, end_ids: Sequence[int], start_id: int | None
) -> dict[str, Any]:
    """Returns a generation_config.json's content.

    Stop strings are left out: `transformers` refuses to generate with them
    unless each call passes the tokenizer.

    Example:

    >>> write_generation(GenerationSettings(), [7], None)["eos_token_id"]
    7
    """
    ends = list(end_ids)
    values: dict[str, Any] = {
        "bos_token_id": start_id,
        "eos_token_id": ends[0] if len(ends) == 1 else ends or None,
        "pad_token_id": ends[0] if ends else None,
        "do_sample": settings.samples,
        "max_new_tokens": settings.max_new_tokens,
    }
    if settings.samples:
        names = ("temperature", "top_k", "top_p", "min_p")
        values |= {name: getattr(settings, name) for name in names}
    if settings.penalizes:
        values["repetition_penalty"] = settings.repetition_penalty
    return {key: value for key, value in values.items() if value is not None}


def _is_lost(key: str, value: Any) -> bool:
    return key not in (*SHARED, *UNUSED) and value not in NEUTRAL
