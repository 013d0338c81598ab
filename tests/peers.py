"""Tiny models of `transformers`, and the files that stand in for them.

A weight's values follow from its name and shape alone. So a golden file holds
a config.json, the names and shapes of the tensors, and the logits, but no
weights: it stays small, and a checkpoint can be written anew without torch.
"""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from families import FAMILIES
from safetensors import safe_open
from safetensors.numpy import save_file

GOLDEN = Path(__file__).parent / "golden" / "parity"
ROWS, TIME, VOCABULARY = 2, 24, 48
SHORT = 15  # tokens in the second row of a padded batch
TOKENS = np.random.RandomState(3).randint(0, VOCABULARY, (ROWS, TIME), "int32")
CONFIG, WEIGHTS = "config.json", "model.safetensors"


def values_of(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values of a tensor: other ones for each name, no zeros, no ones."""
    random = np.random.RandomState(zlib.crc32(name.encode()))
    values = random.uniform(-1.0, 1.0, shape)
    values = values * 0.5 if len(shape) > 1 else values * 0.6 + 0.9
    return values.astype("float32")


def shapes_in(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the tensors in a checkpoint."""
    with safe_open(folder / WEIGHTS, "numpy") as file:
        return {
            name: tuple(file.get_slice(name).get_shape())
            for name in file.keys()
        }


def write_weights(folder: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """Writes a checkpoint with these tensors."""
    tensors = {name: values_of(name, tuple(s)) for name, s in shapes.items()}
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})


def peer_model(family: str, variant: str, folder: Path) -> Any:
    """Saves a model of `transformers` to a folder and returns it."""
    import transformers

    ends = dict(bos_token_id=None, eos_token_id=None, pad_token_id=None)
    config = transformers.AutoConfig.for_model(
        family, **ends, **FAMILIES[family][variant]
    )
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    write_weights(folder, shapes_in(folder))
    model = load_there(folder)
    model.save_pretrained(folder)
    return model


def load_there(folder: Path) -> Any:
    """Returns what `transformers` loads from a folder, ready to run."""
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager"
    ).eval()


def peer_logits(model: Any, lengths: list[int] | None = None) -> np.ndarray:
    """Logits of a `transformers` model; rows end at `lengths` if given."""
    import torch

    mask = np.arange(TIME) < np.array(lengths or [TIME] * ROWS)[:, None]
    with torch.no_grad():
        logits = model(
            torch.from_numpy(TOKENS).long(),
            attention_mask=torch.from_numpy(mask).long(),
        ).logits
    return logits.float().numpy()


def golden_cases() -> list[tuple[str, str]]:
    """The (family, variant) that golden files have."""
    return [
        (path.stem, variant)
        for path in sorted(GOLDEN.glob("*.npz"))
        for variant in np.load(path)
        if not variant.endswith(CONFIG) and not variant.endswith(WEIGHTS)
    ]


def write_golden(family: str, models: dict[str, tuple[Path, Any]]) -> None:
    """Writes the golden file of a family from its saved models."""
    content = {}
    for variant, (folder, model) in models.items():
        config = json.loads((folder / CONFIG).read_text())
        config.pop("transformers_version")
        content[variant] = peer_logits(model)
        content[f"{variant}/{CONFIG}"] = json.dumps(config)
        content[f"{variant}/{WEIGHTS}"] = json.dumps(shapes_in(folder))
    GOLDEN.mkdir(exist_ok=True)
    np.savez_compressed(GOLDEN / f"{family}.npz", **content)


def unpack_golden(family: str, variant: str, folder: Path) -> np.ndarray:
    """Writes config.json and weights to a folder; returns the logits."""
    with np.load(GOLDEN / f"{family}.npz") as golden:
        (folder / CONFIG).write_text(str(golden[f"{variant}/{CONFIG}"]))
        write_weights(folder, json.loads(str(golden[f"{variant}/{WEIGHTS}"])))
        return golden[variant]
