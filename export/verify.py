"""Proof that a SavedModel gives the text that Keras gives."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_llm.causal_lm import CausalLM
from keras_llm.errors import ExportError
from keras_llm.export import probe

PROMPTS = (
    "",
    "The",
    "Once upon a time there was a king who",
    "def add(a, b):\n    return",
    "Ein schöner Tag, 日本語 и 🙂",
)
"""Texts of unequal length; an empty one and several scripts among them."""

_TOLERANCE = 1e-3  # relative, of a summed log-probability


def verify_saved_model(
    lm: CausalLM,
    folder: str | os.PathLike,
    max_new_tokens: int,
    prompts: Sequence[str] = PROMPTS,
) -> dict[str, float]:
    """Runs a SavedModel in a process with TensorFlow only, and compares.

    Every signature runs: greedy text of a batch and of each prompt alone, and
    through `generate`; ids, text of ids, and scores.

    Args:
        lm: What was exported, computing in float32.
        folder: The SavedModel.
        max_new_tokens: What it was exported with.
        prompts: Texts to compare; each fits the context.

    Returns:
        `load_seconds`, `first_call_seconds` and `tokens_per_second` (one
        prompt, prefill included).

    Raises:
        ExportError: The model does not load or run, or gives something
            else than Keras.
    """
    prompts = [prompt for prompt in prompts if _fits(lm, prompt)]
    found = _probe(folder, prompts, max_new_tokens, lm.tokenizer.plugins)
    # On the same device: a GPU rounds differently, which near-ties show.
    with tf.device("CPU:0"):
        wanted = _expected(lm, prompts, max_new_tokens)
    for name, expected in wanted.items():
        for prompt, ours, theirs in zip(
            prompts, expected, found[name], strict=True
        ):
            if not _same(ours, theirs):
                raise ExportError(
                    f"Expected the SavedModel to give ({name}) for the prompt "
                    f"{prompt!r} what Keras gives, {ours!r}. Received: "
                    f"{theirs!r}. Nothing was exported. Please report this."
                )
    speeds = ("load_seconds", "first_call_seconds", "tokens_per_second")
    return {name: found[name] for name in speeds}


def _expected(
    lm: CausalLM, prompts: list[str], max_new_tokens: int
) -> dict[str, list]:
    """What Keras gives, in the probe's words."""
    greedy = {"temperature": 0.0, "max_new_tokens": max_new_tokens}
    batch = lm.generate(prompts, **greedy)
    ids = lm.tokenizer.encode(prompts, disallowed_special=())
    return {
        "batch": batch,
        "generate": batch,
        "one by one": [lm.generate(prompt, **greedy) for prompt in prompts],
        "tokenize": ids,
        "detokenize": [lm.tokenizer.decode(row) for row in ids],
        "score": [_log_probability(lm, prompt) for prompt in prompts],
    }


def _log_probability(lm: CausalLM, text: str) -> float:
    if len(lm.encode_prompt(text)) < 2:
        return 0.0
    return float(lm.score(text).sum())


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, float):
        close = _TOLERANCE
        return math.isclose(ours, theirs, rel_tol=close, abs_tol=close)
    return ours == theirs


def _fits(lm: CausalLM, prompt: str) -> bool:
    return len(lm.encode_prompt(prompt)) < lm.config.context_length


def _probe(
    folder: str | os.PathLike,
    prompts: list[str],
    max_new_tokens: int,
    plugins: Sequence[str],
) -> dict[str, Any]:
    """Starts `probe.py` in a new process and returns its answer."""
    request = {
        "folder": str(folder),
        "prompts": prompts,
        "max_new_tokens": max_new_tokens,
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
