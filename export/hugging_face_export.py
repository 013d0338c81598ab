"""A folder in Hugging Face's form: what `transformers` loads, all of it."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from keras_llm import zoo
from keras_llm.adapters import merged_copy
from keras_llm.card import CARD, write_card
from keras_llm.causal_lm import CausalLM
from keras_llm.config import DecoderConfig
from keras_llm.errors import ExportError, InputError
from keras_llm.export.hugging_face_tokenizer import write_tokenizer
from keras_llm.export.jinja_text import jinja_text
from keras_llm.files import new_folder
from keras_llm.records import Record
from keras_llm.weights import (
    SHARD_BYTES,
    differing,
    is_weight_file,
    write_shards,
)
from keras_llm.zoo import Family
from keras_llm.zoo.dialect import meaning
from keras_llm.zoo.folder import CONFIG_FILE, config_values
from keras_llm.zoo.generation_config import GENERATION_FILE, write_generation

JINJA_FILE = "chat_template.jinja"
_BESIDE = {
    *(CONFIG_FILE, GENERATION_FILE, JINJA_FILE, CARD),
    *("tokenizer.json", "tokenizer_config.json", "tokenizer.model"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class HuggingFaceReport(Record):
    """What was exported, after it was read back and compared.

    Attributes:
        path: The folder.
        family: The family whose names it has.
        model_type: The same as `transformers` calls it.
        bytes: Size of all files.
        tensors: How many tensors were compared, byte for byte.
        chat: Whether the chat template went along.

    Example:

    >>> HuggingFaceReport(path="rose", family="llama", model_type="llama",
    ...     bytes=7, tensors=1, chat=False).family
    'llama'
    """

    path: str
    family: str
    model_type: str
    bytes: int
    tensors: int
    chat: bool


def hugging_face(
    lm: CausalLM,
    folder: str | os.PathLike,
    *,
    family: Family | str | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> HuggingFaceReport:
    """Writes a language model as `transformers` loads it.

    config.json, safetensors (several with an index beyond `shard_bytes`),
    tokenizer.json and tokenizer_config.json (and tokenizer.model of a
    SentencePiece vocabulary), generation_config.json with the ids that end a
    text and how it is sampled, chat_template.jinja, and README.md as the
    model card. `AutoModelForCausalLM.from_pretrained` and
    `AutoTokenizer.from_pretrained` give the same logits, ids and greedy text.

    Before the folder appears it is read back: the config, every tensor byte
    for byte, and the ids of a few texts in the library that `transformers`
    uses. What a generation_config.json cannot say is left out: stop strings
    and the seed. An active adapter is merged.

    Args:
        lm: The language model; tensors have the dtype of its weights.
        folder: A new or empty folder, or an earlier result, which is
            replaced as a whole.
        family: Whose names to use. Default: the one it was loaded from, or
            else the first in which its config can be said.
        shard_bytes: Most bytes of weights in a file. Default: 5 GB.

    Returns:
        What was written.

    Raises:
        InputError: No family can say the config, the tokenizer does what
            tokenizer.json cannot say, or the folder holds other files.
        ExportError: What was written reads back as something else. Nothing
            is left of it.
        OSError: The disk is full or not writable.

    Example:

    >>> import tempfile
    >>> from keras_llm import build_decoder, zoo
    >>> from keras_llm.tokenizers import BytePairTokenizer
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    >>> config = zoo.config("tiny", vocabulary_size=264)
    >>> lm = CausalLM(build_decoder(config), tokenizer)
    >>> hugging_face(lm, tempfile.mkdtemp()).model_type
    'llama'
    """
    named = find_family(lm, family)
    lm = lm.replace(model=merged_copy(lm.model))
    with new_folder(folder, _is_ours) as temporary:
        write_shards(lm.model, temporary, named.weights, shard_bytes)
        _write_json(temporary / CONFIG_FILE, _config(lm, named))
        generation = write_generation(lm.settings, lm.end_ids, lm.start_id)
        _write_json(temporary / GENERATION_FILE, generation)
        write_tokenizer(lm, temporary)
        if lm.chat_template is not None:
            text = jinja_text(lm.chat_template)
            (temporary / JINJA_FILE).write_text(text, encoding="utf-8")
        write_card(
            temporary,
            lm.config,
            folder,
            library="transformers",
            tokenizer=lm.tokenizer.fingerprint,
            license=lm.origin.license,
            base_model=lm.origin.repo,
        )
        tensors = _check(lm, temporary, named)
    return HuggingFaceReport(
        path=str(folder),
        family=named.name,
        model_type=named.model_type,
        bytes=sum(file.stat().st_size for file in Path(folder).iterdir()),
        tensors=tensors,
        chat=lm.chat_template is not None,
    )


def find_family(lm: CausalLM, family: Family | str | None = None) -> Family:
    """Returns the family in whose words a model can be said.

    Args:
        lm: The language model.
        family: The one to use. Default: the one it was loaded from, or the
            first that can say its config.

    Raises:
        InputError: The family cannot say it, or none can; what each lacks
            is named.
    """
    if family is not None:
        named = zoo.find_family(family) if isinstance(family, str) else family
        named.to_hugging_face(lm.config)
        return named
    first = [f for f in zoo.families() if f.name == lm.origin.family]
    refused = {}
    for one in (*first, *zoo.families()):
        reason = _refusal(one, lm.config)
        if reason is None:
            return one
        refused[one.name] = reason
    reasons = "\n".join(f"- {name}: {why}" for name, why in refused.items())
    raise InputError(
        "Expected a model that one of the families can describe in a "
        f"config.json. Received: one that none can:\n{reasons}"
    )


def _refusal(family: Family, config: DecoderConfig) -> str | None:
    """Why a family cannot say a config; None if it can."""
    try:
        family.to_hugging_face(config)
    except InputError as error:
        return str(error)
    return None


def _config(lm: CausalLM, family: Family) -> dict[str, Any]:
    """The content of config.json."""
    from keras import backend

    ends = list(lm.end_ids)
    return {
        **family.to_hugging_face(lm.config),
        "bos_token_id": lm.tokenizer.bos_id,
        "eos_token_id": ends[0] if len(ends) == 1 else ends or None,
        "pad_token_id": ends[0] if ends else None,
        "dtype": backend.standardize_dtype(lm.model.weights[0].dtype),
    }


def _write_json(path: Path, values: dict[str, Any]) -> None:
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")


def _check(lm: CausalLM, folder: Path, family: Family) -> int:
    """Reads config and tensors back; returns how many tensors there are."""
    from keras_llm.weights.files import open_tensors

    config = family.from_hugging_face(config_values(folder))
    # Two patterns may be of the same layers; their meaning is compared.
    if meaning(config) != meaning(lm.config):
        raise ExportError(
            f"Expected config.json to say what the model is, {lm.config}. "
            f"Received: {config}. Nothing was exported. Please report this."
        )
    if wrong := differing(lm.model, folder, family.weights):
        raise ExportError(
            "Expected the model's tensors in the files. Received: others "
            f"under {', '.join(wrong[:8])}. Nothing was exported. Please "
            "report this."
        )
    with open_tensors(folder, family.weights) as tensors:
        return len(tensors)


def _is_ours(folder: Path) -> bool:
    names = {file.name for file in folder.iterdir()}
    return all(name in _BESIDE or is_weight_file(name) for name in names)
