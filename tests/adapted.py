"""Models with adapters that matter, and adapters' files to be damaged."""

import json
from pathlib import Path

import numpy as np
from keras import ops
from safetensors.numpy import load_file, save_file

EVERY = ("all-linear",)
TOKENS = np.random.default_rng(0).integers(0, 61, (3, 12)).astype("int32")
CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"


def logits(model, **options) -> np.ndarray:
    return ops.convert_to_numpy(model(TOKENS, **options))


def stir(model, size: float = 0.04) -> None:
    """Gives what trains values that matter."""
    random = np.random.default_rng(2)
    for variable in model.trainable_variables:
        change = random.normal(size=variable.shape) * size
        variable.assign(variable + change.astype("float32"))


def adapted_lm():
    """A language model with two adapters, the first of them active."""
    from served_models import language_model

    from keras_llm import adapters

    lm = language_model("llama")
    for name in ("one", "two"):
        lora = adapters.Lora(rank=2, targets=EVERY)
        adapters.attach(lm.model, lora, name=name)
        stir(lm.model, 0.3)
    adapters.activate(lm.model, "one")
    return lm


def change_config(folder: Path, **changes) -> None:
    path = folder / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_tensors(folder: Path, function) -> None:
    tensors = load_file(folder / TENSORS)
    function(tensors)
    save_file(tensors, folder / TENSORS, {"format": "pt"})
    if "sha256" in json.loads((folder / CONFIG).read_text()):
        change_config(folder, sha256="")


def cut(folder: Path) -> None:
    whole = (folder / TENSORS).read_bytes()
    (folder / TENSORS).write_bytes(whole[:-9])
