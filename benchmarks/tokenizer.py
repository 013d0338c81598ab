"""Tokenizer speed: the host beside tiktoken, the graph beside `tokenizers`.

    python benchmarks/tokenizer.py [--json PATH] [--rounds 5]

Same process, same documents (Python's help topics and the top-level modules
of the standard library), GPT-2's vocabulary (`--tokenizer PATH`, default
../shared/data/gpt2_bpe; without it one of 16,000 tokens is trained here), run
alternately. Everything runs twice, in processes of their own: pinned to one
core with one thread for each side (TensorFlow's intra and inter op threads,
RAYON_NUM_THREADS, tiktoken's num_threads), and with each side's default
threads. `encode_batch_fast` is `tokenizers` without offsets.
"""

import base64
import json
import os
import pydoc_data.topics
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import _pairs

ROOT = Path(__file__).resolve().parents[1]
DEFAULT = ROOT.parent / "shared" / "data" / "gpt2_bpe"


def documents() -> list[str]:
    """Returns text that every machine with Python has, about 5 MB."""
    texts = list(pydoc_data.topics.topics.values())
    for path in sorted(Path(os.__file__).parent.glob("*.py")):
        texts.append(path.read_text(encoding="utf-8"))
    return texts


def long_runs() -> dict[str, str]:
    """Returns 100 kB without a space, of several kinds."""
    random.seed(0)
    return {
        "one letter": "a" * 100_000,
        "two letters, random": "".join(random.choices("ab", k=100_000)),
        "26 letters, random": "".join(
            random.choices("abcdefghijklmnopqrstuvwxyz", k=100_000)
        ),
        "CJK, random": "".join(
            chr(random.randrange(0x4E00, 0x9FFF)) for _ in range(33_334)
        ),
        "base64": base64.b64encode(random.randbytes(75_000)).decode(),
        "spaces": " " * 100_000,
    }


def measure(path: str, rounds: int, threads: int) -> dict:
    """Runs everything in this process."""
    import tensorflow as tf

    if threads:
        _pin(threads)
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    import tiktoken
    import tokenizers

    from keras_llm.tokenizers import BytePairTokenizer

    texts = documents()
    size = sum(len(text.encode()) for text in texts) / 1e6
    if Path(path).exists():
        ours = BytePairTokenizer.load(path)
    else:
        ours = BytePairTokenizer.train(texts, 16_000)
    with tempfile.TemporaryDirectory() as folder:
        ours.save(folder)
        theirs = tokenizers.Tokenizer.from_file(folder + "/tokenizer.json")
    reference = tiktoken.Encoding(
        "reference",
        pat_str=ours.vocabulary.rule.regex,
        mergeable_ranks=dict(ours.vocabulary.ranks),
        special_tokens={},
    )
    graph = tf.function(
        ours.graph_encode, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    batch = tf.constant(texts)
    expected = reference.encode_ordinary_batch(texts)
    equal = {
        "host": ours.encode(texts) == expected,
        "graph": graph(batch).to_list() == expected,
        "tokenizers": [e.ids for e in theirs.encode_batch(texts)] == expected,
    }
    lines = [line for text in texts for line in text.split("\n")][::4]
    line_batch = tf.constant(lines)
    prompt = tf.constant([texts[0][:180]])
    results = {
        "host, documents": _pairs.compare(
            {
                "ours": lambda: ours.encode(texts),
                "tiktoken": lambda: reference.encode_ordinary_batch(texts),
            },
            rounds,
            size,
        ),
        "graph, documents": _pairs.compare(
            {
                "ours": lambda: graph(batch),
                "tokenizers": lambda: theirs.encode_batch(texts),
                "tokenizers fast": lambda: theirs.encode_batch_fast(texts),
                "tiktoken": lambda: reference.encode_ordinary_batch(texts),
            },
            rounds,
            size,
        ),
        "graph, single lines": _pairs.compare(
            {
                "ours": lambda: graph(line_batch),
                "tokenizers": lambda: theirs.encode_batch(lines),
            },
            rounds,
            sum(len(line.encode()) for line in lines) / 1e6,
        ),
        "graph, one prompt of 180 characters": _pairs.compare(
            {
                "ours": lambda: graph(prompt),
                "tokenizers": lambda: theirs.encode(texts[0][:180]),
            },
            10 * rounds,
        ),
    }
    for name, text in long_runs().items():
        run = tf.constant([text])
        rows = _pairs.compare(
            {
                "ours": lambda run=run: graph(run),
                "tiktoken": lambda text=text: reference.encode_ordinary(text),
            },
            rounds,
        )
        same = graph(run).to_list()[0] == reference.encode_ordinary(text)
        equal[name] = same
        results[f"graph, 100 kB of: {name}"] = rows
    return {"threads": threads or "default", "equal": equal, **results}


def _pin(cores: int) -> None:
    """Keeps this process on a few cores, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[:cores])


def main() -> None:
    parser = _pairs.arguments(__doc__)
    parser.add_argument("--tokenizer", default=str(DEFAULT))
    parser.add_argument("--threads", type=int, help="only this, in here")
    options = parser.parse_args()
    if options.threads is not None:
        found = measure(options.tokenizer, options.rounds, options.threads)
        sys.stdout.write(json.dumps(found))
        return
    all_results = []
    for threads in (1, 0):
        found = _in_process(options, threads)
        all_results.append(found)
        sys.stdout.write(f"threads: {found['threads']}; {found['equal']}\n")
        for title, rows in found.items():
            if isinstance(rows, list):
                _pairs.show(f"{title} (threads: {found['threads']})", rows)
    _pairs.write(options.json, {"tokenizer": all_results})


def _in_process(options, threads: int) -> dict:
    """Runs this file with `threads` threads on every side."""
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3")
    if threads:
        environment |= {"RAYON_NUM_THREADS": str(threads)}
    command = [sys.executable, __file__, "--threads", str(threads)]
    command += ["--rounds", str(options.rounds)]
    command += ["--tokenizer", options.tokenizer]
    done = subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
