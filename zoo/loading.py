"""zoo.load: a CausalLM from a folder, a preset or a name on the hub."""

import dataclasses
import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_llm.errors import InputError
from keras_llm.files import read_json
from keras_llm.weights import load_safetensors
from keras_llm.zoo import hub, registry
from keras_llm.zoo.chat_jinja import read_chat
from keras_llm.zoo.family import Family
from keras_llm.zoo.folder import (
    CONFIG_FILE,
    config_values,
    read_config,
)
from keras_llm.zoo.generation_config import read_generation
from keras_llm.zoo.hub_models import from_keras_hub

if TYPE_CHECKING:
    from keras_llm.causal_lm import CausalLM
    from keras_llm.model_folder import Origin

KERAS_HUB_FILE = "metadata.json"  # only its presets have it
TOKENIZER_CONFIG = "tokenizer_config.json"


def load(
    source: str | os.PathLike,
    dtype: str | None = "float32",
    revision: str | None = None,
    **config_changes: Any,
) -> "CausalLM":
    """Loads a language model: weights, tokenizer, chat template, settings.

    Args:
        source: One of, and looked for in this order:

            - a folder that `CausalLM.save` wrote,
            - a folder in Hugging Face's form: config.json, safetensors,
              tokenizer files, and generation_config.json if there is one,
            - a preset folder of KerasHub (`save_to_preset`),
            - a preset of `zoo.list()` with published weights, or a name
              on the Hugging Face hub ("owner/name"): downloaded once, then
              taken from the hub's cache. Needs the extra `hub`.
        dtype: Of weights and computation: "float32", "bfloat16", "float16",
            or "mixed_bfloat16". Files of any of them are read.
        revision: Branch, tag or commit on the hub. Default: its main branch.
        **config_changes: Fields of `DecoderConfig` that the weights do not
            depend on: a smaller `context_length` makes caches smaller.

    Raises:
        InputError: Nothing is there, or something in it would be lost or is
            damaged; the message names it. Nothing is half-loaded.

    Example:

    >>> import tempfile
    >>> from keras_llm import CausalLM, build_decoder, zoo
    >>> from keras_llm.tokenizers import BytePairTokenizer
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    >>> config = zoo.config("tiny", vocabulary_size=264, context_length=32)
    >>> folder = tempfile.mkdtemp()
    >>> CausalLM(build_decoder(config), tokenizer).save(folder)
    >>> zoo.load(folder, context_length=16).config.context_length
    16
    """
    from keras_llm.model_folder import Origin

    place = Path(source)
    if place.exists():
        if revision is not None:
            raise InputError(
                "Expected revision with a preset or a name on the hub. "
                f"Received: revision={revision!r} with the local {source}."
            )
        return _load_folder(place, dtype, Origin(), config_changes)
    repo, license = _repository(str(source))
    found = hub.download(repo, revision)
    origin = Origin(repo=repo, revision=found.revision, license=license)
    return _load_folder(found.folder, dtype, origin, config_changes)


def _load_folder(
    folder: Path, dtype: str | None, origin: "Origin", changes: dict[str, Any]
) -> "CausalLM":
    from keras_llm.causal_lm import CausalLM
    from keras_llm.model_folder import MANIFEST

    if (folder / MANIFEST).is_file():
        return CausalLM.load(folder, dtype, **changes)
    if (folder / KERAS_HUB_FILE).is_file():
        return _load_keras_hub(folder, dtype, **changes)
    if not (folder / CONFIG_FILE).is_file():
        raise InputError(
            f"Expected a model folder at {folder}: one that CausalLM.save "
            f"wrote ({MANIFEST}), or one in Hugging Face's form "
            f"({CONFIG_FILE}). Received: neither."
        )
    return _load_published(folder, dtype, origin, changes)


def _load_keras_hub(
    folder: Path,
    dtype: str | None,
    context_length: int | None = None,
    **changes: Any,
) -> "CausalLM":
    """Loads a preset that KerasHub saved."""
    if changes:
        raise InputError(
            "Expected no change but context_length for a preset of KerasHub. "
            f"Received: {', '.join(changes)}."
        )
    return from_keras_hub(folder, context_length=context_length, dtype=dtype)


def _load_published(
    folder: Path, dtype: str | None, origin: "Origin", changes: dict[str, Any]
) -> "CausalLM":
    """Loads a folder in Hugging Face's form."""
    from keras_llm.causal_lm import CausalLM
    from keras_llm.model_folder import changed
    from keras_llm.sketch import blank_decoder

    family, config = read_config(folder)
    config = changed(config, changes)
    path = folder / TOKENIZER_CONFIG
    texts = read_json(path) if path.is_file() else {}
    tokenizer = _tokenizer(folder)
    settings, ends = read_generation(folder, config_values(folder))
    chat = read_chat(folder, tokenizer, _usual_chat(family, origin.repo))
    model = blank_decoder(config, dtype)
    load_safetensors(model, folder, family.weights)
    return CausalLM(
        model,
        tokenizer,
        settings,
        chat,
        end_ids=ends,
        starts=_starts(folder, tokenizer, texts),
        origin=dataclasses.replace(origin, family=family.name),
    )


def _repository(name: str) -> tuple[str, str | None]:
    """The hub's name for what a user typed, and the licence if known."""
    if name in registry.list():
        size = registry.find_size(name)
        if size.repo is None:
            raise InputError(
                "Expected a preset with published weights. Received: "
                f"{name!r}, which is ours to train: keras-llm train --size "
                f"{name}, or build_decoder(zoo.config({name!r}))."
            )
        return size.repo, size.license
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name):
        near = difflib.get_close_matches(name, registry.list())
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise InputError(
            "Expected a model folder, a preset of keras_llm.zoo.list() or a "
            f"name on the Hugging Face hub (owner/name). Received: {name!r}, "
            f"which is none of them.{hint}"
        )
    return name, None


def _usual_chat(family: Family, repo: str | None) -> str | None:
    """The chat template that a model has if its own files name none."""
    for size in family.presets.values():
        if repo is not None and size.repo == repo:
            return size.chat
    return family.chat


def _tokenizer(folder: Path) -> Any:
    from keras_llm import tokenizers

    try:
        return tokenizers.load(folder)
    except FileNotFoundError as error:
        raise InputError(
            f"Expected tokenizer files in {folder}. Received: {error} Copy "
            "the tokenizer of the model there, or load the bare decoder with "
            f"zoo.load_hugging_face({str(folder)!r})."
        ) from error


def _starts(folder: Path, tokenizer: Any, config: Mapping[str, Any]) -> bool:
    """Whether `transformers` puts the bos before a text of this folder.

    The post-processor of tokenizer.json decides, where there is that file,
    whatever tokenizer_config.json says (`transformers` 5.23).
    """
    from keras_llm.tokenizers.piece_json import first_of_template

    if (folder / "tokenizer.json").is_file():
        content = read_json(folder / "tokenizer.json")
        return first_of_template(content.get("post_processor")) is not None
    usual = tokenizer.main_file == "tokenizer.model"
    return bool(config.get("add_bos_token", usual))
