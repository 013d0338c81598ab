"""The folder of a classifier or tagger: written whole, checked when read.

decoder.json              the decoder's config
classifier.json           labels, pooling, temperature, threshold, ...
classifier.safetensors    the weights by path
tokenizer.json, ...       the tokenizer
report.json               what training came to
keras_llm_classifier.json what kind it is, adapters, hashes of the others
"""

import json
import os
from pathlib import Path
from typing import Any

from keras_llm.adapters import AdapterState, state_of
from keras_llm.adapters.layers import check_unmerged
from keras_llm.classify.model import UNUSED, blank_model
from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.files import holds_only, new_folder, read_json, sha256_of
from keras_llm.tokenizers import load as load_tokenizer
from keras_llm.train.arrays import arrays_of, matching_arrays, write_arrays

VERSION = 1
CONFIG, SETTINGS, WEIGHTS, REPORT, MANIFEST = (
    "decoder.json",
    "classifier.json",
    "classifier.safetensors",
    "report.json",
    "keras_llm_classifier.json",
)
_TOKENIZER = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")
_FILES = (CONFIG, SETTINGS, WEIGHTS, REPORT, MANIFEST, *_TOKENIZER)


def write(one: Any, folder: str | os.PathLike) -> None:
    """Writes a `Classifier` or `Tagger`; see `Classifier.save`."""
    check_unmerged(one.model)
    with new_folder(folder, holds_only(_FILES)) as place:
        one.model.config.save(place / CONFIG)
        one.settings.save(place / SETTINGS)
        one.tokenizer.save(place)
        write_arrays(place / WEIGHTS, arrays_of(_used(one.model)))
        _write_json(place / REPORT, one.report)
        manifest = {
            "format_version": VERSION,
            "kind": type(one.settings).__name__,
            "tokenizer": one.tokenizer.fingerprint,
            "adapters": state_of(one.model).to_dict(),
            "sha256": {
                path.name: sha256_of(path) for path in sorted(place.iterdir())
            },
        }
        _write_json(place / MANIFEST, manifest)


def read(
    folder: str | os.PathLike, dtype: str | None, kind: type
) -> dict[str, Any]:
    """Returns the arguments of the object that `write` wrote.

    Args:
        folder: The saved folder.
        dtype: Compute precision.
        kind: `ClassifierSettings` or `TaggerSettings`.

    Raises:
        InputError: The folder is something else, or damaged.
    """
    folder = Path(folder)
    manifest = _manifest(folder, kind)
    for name, expected in manifest["sha256"].items():
        _check_file(folder / name, expected)
    settings = kind.load(folder / SETTINGS)
    model = blank_model(
        DecoderConfig.load(folder / CONFIG),
        dtype,
        AdapterState.from_dict(manifest["adapters"]),
        len(settings.labels),
        getattr(settings, "pooling", None),
        settings.dropout,
    )
    for variable, value in matching_arrays(folder / WEIGHTS, _used(model)):
        variable.assign(value)
    return {
        "model": model,
        "tokenizer": load_tokenizer(folder),
        "settings": settings,
        "report": read_json(folder / REPORT),
    }


def _used(model: Any) -> list[Any]:
    """The weights without the head to the vocabulary."""
    return [weight for weight in model.weights if weight.path != UNUSED]


def _check_file(path: Path, expected: str) -> None:
    if not path.is_file() or sha256_of(path) != expected:
        state = "another content" if path.is_file() else "no such file"
        raise InputError(
            f"Expected {path} as it was saved. Received: {state}. Restore "
            "it, or save the classifier again."
        )


def _manifest(folder: Path, kind: type) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(
            f"Expected a folder that a classifier was saved to at {folder}. "
            f"Received: one without {MANIFEST}."
        )
    manifest = read_json(path)
    if manifest.get("format_version") != VERSION:
        raise InputError(
            f"Expected format version {VERSION} in {path}. Received: "
            f"{manifest.get('format_version')}. Update keras_llm to read it."
        )
    if manifest.get("kind") != kind.__name__:
        raise InputError(
            f"Expected a folder with {kind.__name__}. Received: "
            f"{manifest.get('kind')}. Texts are labelled by a Classifier, "
            "words by a Tagger: load it as the other."
        )
    return manifest


def _write_json(path: Path, values: dict[str, Any]) -> None:
    text = json.dumps(values, indent=2) + "\n"
    path.write_text(text, encoding="utf-8")
