"""Runs a SavedModel with nothing but TensorFlow, and reports what came out.

`verify` starts this file in a process of its own, where Keras, TensorFlow Text
and this library cannot be imported: what works here works in a server. Where
a tokenizer needs operations of TensorFlow Text, those are registered before.
The request comes as JSON on standard input, the answer goes to standard
output.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

BLOCKED = ("keras", "tensorflow_text", "keras_llm")
REPEATS = 3


def main() -> None:
    """Reads the request, runs every signature, writes the answer."""
    request = json.load(sys.stdin)
    for name in request.pop("plugins"):
        importlib.import_module(name)  # registers its operations
    for name in BLOCKED:
        sys.modules[name] = None  # type: ignore[assignment]
    json.dump(answer(**request), sys.stdout)


def answer(
    folder: str, prompts: list[str], max_new_tokens: int
) -> dict[str, Any]:
    """Returns texts, ids and scores of the prompts, and how long it took.

    Args:
        folder: The SavedModel.
        prompts: Texts to continue, together and one by one.
        max_new_tokens: What `serving_default` was exported with.
    """
    import tensorflow as tf

    load_seconds, model = _timed(lambda: tf.saved_model.load(folder))
    run = model.signatures

    def greedy(texts: list[str]) -> list[str]:
        found = run["serving_default"](prompt=tf.constant(texts))
        return _texts(found["text"])

    first_call_seconds, _ = _timed(lambda: greedy(prompts[:1]))
    batch = tf.constant(prompts)
    full = run["generate"](
        **_greedy_controls(run["generate"], batch, max_new_tokens)
    )
    ids = run["tokenize"](text=batch)
    sizes = full["num_tokens"].numpy()
    longest = int(sizes.argmax())
    seconds = min(
        _timed(lambda: greedy([prompts[longest]]))[0] for _ in range(REPEATS)
    )
    return {
        "load_seconds": load_seconds,
        "first_call_seconds": first_call_seconds,
        "tokens_per_second": float(sizes[longest] / seconds),
        "one by one": [greedy([prompt])[0] for prompt in prompts],
        "batch": greedy(prompts),
        "generate": _texts(full["text"]),
        "tokenize": [
            [token for token in row if token >= 0]
            for row in ids["tokens"].numpy().tolist()
        ],
        "detokenize": _texts(run["detokenize"](tokens=ids["tokens"])["text"]),
        "score": run["score"](text=batch)["sum_logprob"].numpy().tolist(),
    }


def _greedy_controls(function: Any, prompts: Any, max_new_tokens: int) -> dict:
    """Inputs of the signature with all controls that ask for greedy text."""
    import tensorflow as tf

    values = {"max_new_tokens": max_new_tokens, "top_p": 1}
    specs = function.structured_input_signature[1]
    return {"prompt": prompts} | {
        name: tf.fill(tf.shape(prompts), tf.cast(values.get(name, 0), s.dtype))
        for name, s in specs.items()
        if name != "prompt"
    }


def _texts(strings: Any) -> list[str]:
    return [text.decode("utf-8") for text in strings.numpy()]


def _timed(function: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = function()
    return time.perf_counter() - began, result


if __name__ == "__main__":
    main()
