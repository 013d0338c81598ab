"""The folder of a CausalLM: which files it has, written whole and read back."""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_llm import adapters
from keras_llm.card import CARD, write_card
from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.files import holds_only, new_folder, sha256_of
from keras_llm.model import Decoder
from keras_llm.records import Record
from keras_llm.sampling import GenerationSettings
from keras_llm.sketch import blank_decoder
from keras_llm.tokenizers import load as load_tokenizer
from keras_llm.tokenizers.chat import ChatTemplate

FORMAT_VERSION = 1
ADAPTED_VERSION = 2  # of a model with adapters, which 1 would not see
CONFIG, WEIGHTS, GENERATION, MANIFEST, CHAT, ADAPTERS = (
    "decoder.json",
    "model.weights.h5",
    "generation.json",
    "keras_llm.json",
    "chat.json",
    "adapters.json",
)
_TOKENIZER = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")
_FILES = (
    *(CARD, CONFIG, WEIGHTS, GENERATION, MANIFEST, CHAT, ADAPTERS),
    *_TOKENIZER,
)
CHANGEABLE = ("context_length", "dropout", "rope")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Origin(Record):
    """Where a model's weights came from; None for what is not known.

    Args:
        family: Name of its family in `keras_llm.zoo`.
        repo: Its repository on the Hugging Face hub.
        revision: The commit of the repository.
        license: The licence of the weights.

    Example:

    >>> Origin(repo="openai-community/gpt2").revision is None
    True
    """

    family: str | None = None
    repo: str | None = None
    revision: str | None = None
    license: str | None = None


def write(lm: Any, folder: str | os.PathLike) -> None:
    """Writes a `CausalLM`; see `CausalLM.save`."""
    with new_folder(folder, holds_only(_FILES)) as temporary:
        lm.config.save(temporary / CONFIG)
        lm.settings.save(temporary / GENERATION)
        names = [CONFIG, WEIGHTS]
        if lm.chat_template is not None:
            lm.chat_template.save(temporary / CHAT)
            names.append(CHAT)
        state = adapters.state_of(lm.model)
        adapted = state != adapters.AdapterState()
        if adapted:
            state.save(temporary / ADAPTERS)
            names.append(ADAPTERS)
        lm.tokenizer.save(temporary)
        write_card(
            temporary,
            lm.config,
            folder,
            tokenizer=lm.tokenizer.fingerprint,
            license=lm.origin.license,
            base_model=lm.origin.repo,
        )
        lm.model.save_weights(temporary / WEIGHTS)
        manifest = {
            "format_version": ADAPTED_VERSION if adapted else FORMAT_VERSION,
            "tokenizer": lm.tokenizer.fingerprint,
            "sha256": {name: sha256_of(temporary / name) for name in names},
            "end_ids": list(lm.end_ids),
            "starts": lm.starts,
            "origin": lm.origin.to_dict(),
        }
        if lm.temperature is not None:  # the others' files stay as they were
            manifest["temperature"] = lm.temperature
        text = json.dumps(manifest, indent=2) + "\n"
        (temporary / MANIFEST).write_text(text, encoding="utf-8")


def read(
    folder: str | os.PathLike,
    dtype: str | None,
    changes: Mapping[str, Any],
) -> dict[str, Any]:
    """Returns the arguments of the `CausalLM` that `write` wrote."""
    folder = Path(folder)
    manifest = _read_manifest(folder)
    config = changed(DecoderConfig.load(folder / CONFIG), changes)
    tokenizer = load_tokenizer(folder)
    if tokenizer.fingerprint != manifest["tokenizer"]:
        raise InputError(
            f"Expected in {folder} the tokenizer that the model was saved "
            f"with ({manifest['tokenizer'][:12]}). Received: another "
            f"vocabulary ({tokenizer.fingerprint[:12]}). Restore "
            f"{tokenizer.main_file}."
        )
    for name, expected in manifest["sha256"].items():
        if not (folder / name).is_file():
            raise InputError(
                f"Expected {name} in {folder}, as it was saved. Received: no "
                "such file. Restore it, or save the model again."
            )
        if sha256_of(folder / name) != expected:
            raise InputError(
                f"Expected {folder / name} as it was saved. Received: a "
                "file with another SHA-256: it is truncated or was "
                "changed. Restore it, or save the model again."
            )
    saved = CHAT in manifest["sha256"]
    state = adapters.AdapterState()
    if ADAPTERS in manifest["sha256"]:
        state = adapters.AdapterState.load(folder / ADAPTERS)
    return {
        "model": _read_model(config, folder, dtype, state),
        "tokenizer": tokenizer,
        "settings": GenerationSettings.load(folder / GENERATION),
        "chat": ChatTemplate.load(folder / CHAT) if saved else None,
        "end_ids": manifest.get("end_ids"),
        "starts": manifest.get("starts", True),
        "origin": Origin.from_dict(manifest.get("origin", {})),
        "temperature": manifest.get("temperature"),
    }


def changed(config: DecoderConfig, changes: Mapping[str, Any]) -> DecoderConfig:
    """Returns a trained model's config with changes that keep its weights.

    Args:
        config: The config that the weights belong to.
        changes: `context_length` (smaller: the cache takes less memory),
            `dropout`, or `rope` (for a context longer than the trained one).

    Raises:
        InputError: A change would not fit the weights, or nothing says what
            positions beyond the trained context mean.

    Example:

    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2)
    >>> changed(config, {"context_length": 4}).context_length
    4
    """
    fixed = sorted(set(changes) - set(CHANGEABLE))
    new_kind = "rope" in changes and (
        (changes["rope"] is None) != (config.rope is None)
    )
    if fixed or new_kind:
        raise InputError(
            "Expected changes that a trained model's weights fit: "
            f"{', '.join(CHANGEABLE)}. Received: "
            f"{', '.join(fixed) or 'another kind of positions'}. To train a "
            "model of another shape, build it from zoo.config."
        )
    new = config.replace(**changes)
    before, after = config.context_length, new.context_length
    if config.rope is None and after != before:
        raise InputError(
            f"Expected a context of {before} tokens, because the model has "
            f"learned that many positions. Received: context_length={after}. "
            "Leave it out."
        )
    if after > before and new.rope == config.rope:
        raise InputError(
            f"Expected context_length up to {before}, which the model was "
            f"made for. Received: {after}. Pass rope= as well, for example "
            f'Rope(scaling="yarn", factor={after / before:g}, '
            f"original_context={before}), to say how positions beyond are "
            "reached."
        )
    return new


def _read_model(
    config: DecoderConfig,
    folder: Path,
    dtype: str | None,
    state: adapters.AdapterState,
) -> Decoder:
    model = blank_decoder(config, dtype)
    adapters.restore(model, state)
    model.load_weights(folder / WEIGHTS)
    if state.merged:
        adapters.merge(model)
    return model


def _read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a saved model, or a sentence that says what is wrong."""
    missing = [
        name
        for name in (MANIFEST, CONFIG, WEIGHTS, GENERATION)
        if not (folder / name).is_file()
    ]
    if missing:
        raise InputError(
            f"Expected a model folder written by CausalLM.save at {folder}. "
            f"Received: a path without {', '.join(missing)}."
        )
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        version = manifest["format_version"]
        _ = manifest["tokenizer"], manifest["sha256"].items()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"Expected {folder / MANIFEST} as CausalLM.save wrote it. "
            f"Received: a damaged file ({error!r}). Save the model again."
        ) from error
    if version not in (FORMAT_VERSION, ADAPTED_VERSION):
        raise InputError(
            f"Expected format version {FORMAT_VERSION} or {ADAPTED_VERSION} "
            f"in {folder}. "
            f"Received: {version}. Update keras_llm to read it."
        )
    return manifest
