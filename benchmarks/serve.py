"""Generation speed of what we export, beside KerasHub and llama.cpp.

    python benchmarks/serve.py [--json PATH] [--rounds 5] [--threads 1]

One model (GPT-2's architecture, 6 layers of 384, 8,192 ids, random weights)
in every engine, the same weights: `CausalLM.generate`, the SavedModel as
exported by default and with each storage, KerasHub's `GPT2CausalLM.generate`
with XLA, LiteRT float32 and int8, llama.cpp F32, Q8_0 and Q4_0. A prompt of 64
tokens is continued greedily by 96; TensorFlow's go from text to text, for one
row and for eight, LiteRT's and llama.cpp's from ids to ids for one. All on
`--threads` threads, alternately, in one process. Below: how many bytes of
weights one thread can read in a second, and the tokens a second which that
allows; and where the SavedModel's time goes.

Needs keras-hub, llama-cpp-python and gguf (`pip install keras-hub
llama-cpp-python gguf`); what is missing is left out with a note.
"""

import functools
import importlib.util
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import _gguf
import _pairs
import _profile
import numpy as np
from _model import language_model

CONTEXT, PROMPT, NEW = 512, 64, 96
STORAGES = (None, "bfloat16", "int8")
SIZE = dict(
    num_layers=6,
    num_heads=6,
    hidden_dim=384,
    context_length=CONTEXT,
    norm="layer",
    mlp="gelu",
    bias="all",
    rope=None,
)
WORD = " the"  # one token


def prompt_of(lm: Any) -> tuple[str, list[int]]:
    """A text of exactly PROMPT tokens, and its ids."""
    ids = lm.encode_prompt(WORD * PROMPT)
    if len(ids) != PROMPT:
        raise RuntimeError(f"{WORD!r} is not one token of this tokenizer.")
    return WORD * PROMPT, ids


def python(lm: Any, text: str) -> Callable:
    """`CausalLM.generate`."""
    return lambda rows: lm.generate([text] * rows, max_new_tokens=NEW)


def saved_model(
    lm: Any, text: str, folder: Path, storage: str | None
) -> Callable:
    """The signature `generate` of a loaded SavedModel."""
    import tensorflow as tf

    from keras_llm import export

    report = export.saved_model(
        lm,
        folder / f"{storage}",
        quantization=storage,
        max_delta=None,  # random weights
        verify=False,
    )
    loaded = tf.saved_model.load(report.path)
    signature = loaded.signatures["generate"]
    specs = signature.structured_input_signature[1]
    values = {"max_new_tokens": NEW, "top_p": 1, "repetition_penalty": 1}
    values |= {"prompt": text, "stop": ""}

    def run(rows: int) -> list[str]:
        inputs = {
            name: tf.constant([values.get(name, 0)] * rows, spec.dtype)
            for name, spec in specs.items()
        }
        return [t.decode() for t in signature(**inputs)["text"].numpy()]

    run.keep = loaded  # or its variables would be deleted
    return run


def keras_hub(lm: Any, text: str, folder: Path) -> Callable:
    """`GPT2CausalLM.generate`, compiled by XLA, with the same weights."""
    from keras_hub.models import CausalLM

    from keras_llm import zoo

    zoo.save_keras_hub(lm, folder / "hub", "gpt2")
    model = CausalLM.from_preset(str(folder / "hub"))
    model.compile(sampler="greedy", jit_compile=True)

    def run(rows: int) -> list[str]:
        found = model.generate(
            [text] * rows,
            max_length=1 + PROMPT + NEW,  # it puts a start token first
            stop_token_ids=None,
            strip_prompt=True,
        )
        return list(found)

    return run


def litert(lm: Any, ids: list[int], folder: Path, kind: str | None) -> Callable:
    """A `.tflite` file, from ids to ids, on one thread."""
    from keras_llm import export

    path = folder / f"{kind}.tflite"
    export.litert(lm.model, path, quantization=kind, verify=False)
    runner = export.LitertRunner(path, slots=PROMPT + NEW)
    return lambda rows: lm.decode(runner.generate(ids, NEW))


def llama_cpp(lm: Any, ids: list[int], path: Path, threads: int) -> Callable:
    """The same weights in llama.cpp, from ids to ids."""
    import llama_cpp as peer

    _gguf.write(lm, path, path.stem)
    model = peer.Llama(
        str(path),
        n_ctx=CONTEXT,
        n_threads=threads,
        n_threads_batch=threads,
        verbose=False,
    )
    size = lm.config.vocabulary_size

    def likeliest() -> int:
        logits = peer.llama_get_logits_ith(model.ctx, -1)
        return int(np.ctypeslib.as_array(logits, (size,)).argmax())

    def run(rows: int) -> str:
        model.reset()
        model.eval(ids)
        found = [likeliest()]
        while len(found) < NEW:
            model.eval(found[-1:])
            found.append(likeliest())
        return lm.decode(found)

    return run


def bandwidth(megabytes: int = 512, rounds: int = 5) -> float:
    """Bytes a second that one thread reads: a long sum, the best round."""
    values = np.ones(megabytes * 2**20 // 8)
    best = min(_seconds(values.sum) for _ in range(rounds))
    return values.nbytes / best


def _seconds(function: Callable) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def texts_to_texts(lm: Any, folder: Path) -> dict[str, Callable]:
    """What takes a batch of texts."""
    text, _ = prompt_of(lm)
    runs = {"SavedModel": saved_model(lm, text, folder, None)}
    runs["CausalLM"] = python(lm, text)
    for storage in filter(None, STORAGES):
        run = saved_model(lm, text, folder, storage)
        runs[f"SavedModel {storage}"] = run
    if _there("keras_hub"):
        runs["KerasHub, XLA"] = keras_hub(lm, text, folder)
    return runs


def ids_to_ids(lm: Any, folder: Path, threads: int) -> dict[str, Callable]:
    """What takes one row of ids."""
    _, ids = prompt_of(lm)
    runs = {"LiteRT int8": litert(lm, ids, folder, "int8")}
    runs["LiteRT float32"] = litert(lm, ids, folder, None)
    if _there("llama_cpp") and _there("gguf"):
        for kind in ("F32", "Q8_0", "Q4_0"):
            run = llama_cpp(lm, ids, folder / f"{kind}.gguf", threads)
            runs[f"llama.cpp {kind}"] = run
    return runs


def _there(package: str) -> bool:
    found = importlib.util.find_spec(package) is not None
    if not found:
        print(f"{package} is not installed and left out.")
    return found


def compared(
    runs: dict[str, Callable], rows: int, rounds: int
) -> list[_pairs.Row]:
    """Rows of the table, with whether the text is the first one's."""
    texts = {name: run(rows) for name, run in runs.items()}
    wanted = next(iter(texts.values()))
    found = _pairs.compare(
        {name: functools.partial(run, rows) for name, run in runs.items()},
        *(rounds, rows * NEW, "tokens"),
    )
    for row in found:
        row["same text"] = str(texts[row["name"]] == wanted)
    return found


def main() -> None:
    """Exports, runs and prints tokens a second, alternately."""
    parser = _pairs.arguments(__doc__)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    # It never ends a text by itself, so that all write equally much.
    lm = language_model(SIZE, end_ids=(), starts=False)
    results = {}
    with tempfile.TemporaryDirectory() as name:
        runs = texts_to_texts(lm, Path(name))
        for rows in (1, 8):
            title = f"{rows} x ({PROMPT} + {NEW}) tokens, text to text"
            results[title] = compared(runs, rows, options.rounds)
            _pairs.show(title, results[title])
        title = f"1 x ({PROMPT} + {NEW}) tokens, ids to ids"
        results[title] = compared(
            ids_to_ids(lm, Path(name), options.threads), 1, options.rounds
        )
        _pairs.show(title, results[title])
        speed = bandwidth()
        results["bytes a second"] = speed
        for kind, size in {"float32": 4, "bfloat16": 2, "int8": 1}.items():
            limit = speed / (size * lm.model.count_params())
            print(f"{kind:9} weights: at most {limit:,.0f} tokens/s a row")
        print(f"at {speed / 1e9:.1f} GB/s, one thread")
        for rows in (1, 8):
            print(f"SavedModel, {rows} x {NEW} tokens, by operation:")
            run = functools.partial(runs["SavedModel"], rows)
            spent = _profile.operations_of(_profile.recorded(run))
            results[f"milliseconds, {rows} rows"] = dict(spent.most_common(9))
            _profile.show(spent, 9)
    _pairs.write(options.json, results)


if __name__ == "__main__":
    main()
