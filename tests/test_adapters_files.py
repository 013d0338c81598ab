"""Adapters on disk: alone, with a language model, and in a run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tiny_run
from adapted import (
    EVERY,
    TOKENS,
    adapted_lm,
    change_config,
    change_tensors,
    cut,
    logits,
    stir,
)
from contract import CONFIGS, decoder
from safetensors.numpy import load_file
from served_models import language_model

from keras_llm import CausalLM, adapters
from keras_llm.adapters import Lora, attach
from keras_llm.errors import InputError

# === An adapter alone ===


@pytest.mark.parametrize("dora", [False, True])
def test_an_adapter_goes_to_the_same_base_elsewhere(tmp_path, dora):
    first, second = (decoder(CONFIGS["llama"]) for _ in range(2))
    second.set_weights(first.get_weights())
    attach(first, Lora(rank=3, targets=EVERY, dora=dora))
    stir(first)
    adapters.save_adapter(first, tmp_path / "adapter")
    adapters.load_adapter(second, tmp_path / "adapter", "mine")
    np.testing.assert_array_equal(logits(second), logits(first))
    assert adapters.active(second) == "mine"
    assert adapters.lora_of(second, "mine") == adapters.lora_of(first)
    held = sorted(file.name for file in (tmp_path / "adapter").iterdir())
    assert held == ["adapter_config.json", "adapter_model.safetensors"]
    tensors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert tensors["block_0/attention/query/lora_a"].shape == (16, 3)
    # Over the base in 4 bits it is still that base.
    rounded = decoder(CONFIGS["llama"])
    rounded.set_weights([np.array(w) for w in decoder_weights(second)])
    adapters.quantize_base(rounded, 4)
    adapters.load_adapter(rounded, tmp_path / "adapter")


def decoder_weights(model):
    return list(adapters.frozen.base_variables(model))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = decoder(CONFIGS["llama"])
    attach(model, Lora(rank=3))
    folder = tmp_path_factory.mktemp("saved") / "adapter"
    adapters.save_adapter(model, folder)
    adapters.detach(model)
    return model, folder


FIRST = "block_0/attention/query/lora_a"
BROKEN = {
    "whole safetensors": cut,
    "no such file": lambda f: (f / "adapter_model.safetensors").unlink(),
    "without": lambda f: (f / "adapter_config.json").unlink(),
    "is missing": lambda f: change_tensors(f, lambda t: t.pop(FIRST)),
    "is unknown": lambda f: change_tensors(
        f, lambda t: t.update({FIRST + "x": t[FIRST]})
    ),
    "does not have": lambda f: change_tensors(
        f, lambda t: t.update({"head/lora_a": t[FIRST]})
    ),
    "rank 5": lambda f: change_config(f, lora=Lora(rank=5).to_dict()),
    "another SHA-256": lambda f: change_config(f, sha256="0" * 64),
    "format version 1": lambda f: change_config(f, format_version=9),
    "another format": lambda f: change_config(f, format="other"),
    "load_peft": lambda f: change_config(f, peft_type="LORA"),
}


@pytest.mark.parametrize("words", BROKEN)
def test_what_is_wrong_is_said(saved, tmp_path, words):
    model, folder = saved
    shutil.copytree(folder, tmp_path / "adapter")
    BROKEN[words](tmp_path / "adapter")
    with pytest.raises(InputError, match=words):
        adapters.load_adapter(model, tmp_path / "adapter")
    assert type(model).__name__ == "Decoder"


def test_another_base_is_refused(saved, tmp_path):
    _, folder = saved
    other = decoder(CONFIGS["llama"])
    stir(other, 1.0)
    with pytest.raises(InputError, match="an adapter means nothing"):
        adapters.load_adapter(other, folder)
    with pytest.raises(InputError, match="does not have"):
        adapters.load_adapter(tiny_run.build(), folder)
    other = tmp_path / "notes"
    other.mkdir()
    (other / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="other files"):
        model, _ = saved
        attach(model, name="x")
        try:
            adapters.save_adapter(model, other, "x")
        finally:
            adapters.detach(model, "x")


def test_a_keras_file_keeps_adapters(tmp_path):
    model = decoder(CONFIGS["llama"])
    adapters.quantize_base(model, 8, targets=("mlp/.*",))
    attach(model, Lora(rank=2, targets=EVERY))
    stir(model)
    attach(model, name="other")
    adapters.activate(model, "default")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(logits(again), logits(model))
    assert adapters.state_of(again) == adapters.state_of(model)


# === A CausalLM ===


@pytest.mark.parametrize("bits", [None, 8, 4])
@pytest.mark.parametrize("merged", [False, True])
def test_a_language_model_keeps_its_adapters(tmp_path, bits, merged):
    if bits and merged:
        return  # refused, see above
    lm = adapted_lm()
    if bits:
        adapters.quantize_base(lm.model, bits)
    if merged:
        adapters.merge(lm.model)
    lm.save(tmp_path / "lm")
    again = CausalLM.load(tmp_path / "lm")
    tokens = TOKENS % 290
    np.testing.assert_array_equal(again.model(tokens), lm.model(tokens))
    assert adapters.state_of(again.model) == adapters.state_of(lm.model)
    if merged:
        adapters.unmerge(again.model)
        adapters.unmerge(lm.model)
    for name in ("two", None):
        adapters.activate(again.model, name)
        adapters.activate(lm.model, name)
        np.testing.assert_array_equal(again.model(tokens), lm.model(tokens))
    manifest = json.loads((tmp_path / "lm" / "keras_llm.json").read_text())
    assert manifest["format_version"] == 2


def test_a_plain_one_is_saved_as_ever(tmp_path):
    lm = language_model("llama")
    lm.save(tmp_path / "lm")
    manifest = json.loads((tmp_path / "lm" / "keras_llm.json").read_text())
    assert manifest["format_version"] == 1
    assert not (tmp_path / "lm" / "adapters.json").exists()


def test_a_lost_file_of_adapters_is_named(tmp_path):
    lm = adapted_lm()
    lm.save(tmp_path / "lm")
    (tmp_path / "lm" / "adapters.json").unlink()
    with pytest.raises(InputError, match=r"Expected adapters\.json"):
        CausalLM.load(tmp_path / "lm")


CONTINUE = """
import sys
from pathlib import Path
import keras, tiny_run
import keras_llm.adapters
from keras_llm.data import open_rows

folder = Path(sys.argv[1])
model = keras.saving.load_model(folder / "half.keras")
print("LOSS", tiny_run.train(open_rows(folder / "rows"), folder / "run",
    model).loss)
"""


def test_a_saved_model_goes_on_in_a_new_process(tmp_path):
    """The run is stopped, the model saved, and both taken up elsewhere."""
    rows = tiny_run.write_rows(tmp_path / "rows")

    def build():
        model = tiny_run.build()
        attach(model, Lora(rank=2, dropout=0.2))
        return model

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 3:
                raise KeyboardInterrupt

    whole, model = tiny_run.train(rows, None, build()).loss, build()
    with pytest.raises(KeyboardInterrupt):
        tiny_run.train(rows, tmp_path / "run", model, callbacks=[Stop()])
    model.save(tmp_path / "half.keras")
    done = subprocess.run(
        [sys.executable, "-c", CONTINUE, tmp_path],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.split()[-1]) == whole
    with pytest.raises(InputError, match="lora_a"):
        tiny_run.train(rows, tmp_path / "run", tiny_run.build())
