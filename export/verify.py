"""Proof that a SavedModel gives the text that Keras gives."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tensorflow as tf

from keras_llm.causal_lm import CausalLM
from keras_llm.errors import ExportError
from keras_llm.export import probe
from keras_llm.export.text_graph import SIGNATURES
from keras_llm.export.verify_cases import Case, cases
from keras_llm.sampling import GenerationSettings

PROMPTS = (
    "",
    "The",
    "Once upon a time there was a king who",
    "def add(a, b):\n    return",
    "Ein schöner Tag, 日本語 и 🙂",
)
"""Texts of unequal length; an empty one and several scripts among them."""


def verify_saved_model(
    lm: CausalLM,
    folder: str | os.PathLike,
    settings: GenerationSettings,
    prompts: Sequence[str] = PROMPTS,
    signatures: Sequence[str] = SIGNATURES,
    also: Mapping[str, Case] = MappingProxyType({}),
) -> dict[str, Any]:
    """Runs a SavedModel in a process with TensorFlow only, and compares.

    Every signature runs: text of a batch and of each prompt alone, greedy
    and sampled, replies, scores, vectors, ids and the text of ids, and the
    token loop in steps.

    Args:
        lm: What was exported, computing as it does.
        folder: The SavedModel.
        settings: Of its `serving_default`.
        prompts: Texts to compare; those that do not fit are left out.
        signatures: Which ones it has.
        also: More cases, which may expect no more than to run.

    Returns:
        `load_seconds`, `first_call_seconds` and `tokens_per_second` (one
        prompt, prefill included; None without "generate").

    Raises:
        ExportError: The model does not load or run, or gives something
            else than Keras.
    """
    prompts = [prompt for prompt in prompts if _fits(lm, prompt)]
    # On the same device: a GPU rounds differently, which near-ties show.
    with tf.device("CPU:0"):
        compared = cases(lm, settings, prompts, signatures)
    row = _longest(lm, compared)
    timed = None if row is None else {
        "signature": "serving_default",
        "inputs": {"prompt": prompts[row : row + 1]},
    }  # fmt: skip
    compared |= also
    found = run_probe(folder, compared, timed, lm.tokenizer.plugins)
    for name, case in compared.items():
        case.check(name, prompts, found["found"][name])
    speed = None
    if row is not None:
        size = found["found"]["generate"]["num_tokens"][row]
        speed = size / found["timed_seconds"]
    return {
        "load_seconds": found["load_seconds"],
        "first_call_seconds": found["first_call_seconds"],
        "tokens_per_second": speed,
    }


def _fits(lm: CausalLM, prompt: str) -> bool:
    return len(lm.encode_prompt(prompt)) < lm.config.context_length


def _longest(lm: CausalLM, compared: dict[str, Case]) -> int | None:
    """The prompt with the longest continuation, to measure."""
    if not {"generate", "serving_default"} <= compared.keys():
        return None
    texts = compared["generate"].expected["text"]
    sizes = [len(lm.tokenizer.encode(t, disallowed_special=())) for t in texts]
    return sizes.index(max(sizes))


def run_probe(
    folder: str | os.PathLike,
    compared: dict[str, Case],
    timed: dict | None,
    plugins: Sequence[str],
) -> dict[str, Any]:
    """Starts `probe.py` in a new process and returns its answer."""
    request = {
        "folder": str(folder),
        "calls": {name: case.call() for name, case in compared.items()},
        "timed": timed,
        "plugins": list(plugins),
    }
    # The parent may hold all of a GPU's memory, and a server has none.
    quiet = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run(
        [sys.executable, "-P", str(Path(probe.__file__).resolve())],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | quiet,
    )
    if result.returncode:
        raise ExportError(
            "Expected the SavedModel to load and run in a process that has "
            f"only TensorFlow. Received:\n{result.stderr[-3000:]}"
        )
    return json.loads(result.stdout)
