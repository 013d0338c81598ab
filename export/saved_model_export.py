"""SavedModel: text in, text out, in any TensorFlow server.

What is written holds the tokenizer, the decoder, the cache and the samplers
as one graph of built-in operations: it runs in TensorFlow Serving, and from
C, Java, Go or Python, without Keras and without this library.
"""

import contextlib
import dataclasses
import errno
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_llm.adapters import merged_copy
from keras_llm.causal_lm import CausalLM, float32_copy
from keras_llm.errors import InputError
from keras_llm.export import host_files
from keras_llm.export.graph_ops import check_operations, operations
from keras_llm.export.serving_files import served_name, write_serving_files
from keras_llm.export.storage import Storage, stored
from keras_llm.export.storage_table import (
    StorageRow,
    check_delta,
    held_out_rows,
    measured,
)
from keras_llm.export.text_graph import TextGraph
from keras_llm.export.usual import chosen_signatures, usual_settings
from keras_llm.export.verify import PROMPTS, verify_saved_model
from keras_llm.export.version_folder import version_folder, versions
from keras_llm.export.warmup import write_warmup
from keras_llm.files import atomic_path
from keras_llm.quantize import Quantization
from keras_llm.records import Record
from keras_llm.sampling import GenerationSettings

__all__ = ["HOST_FILES", "SavedModelReport", "saved_model", "versions"]

# What a server in Python wants besides; TensorFlow Serving ignores it.
HOST_FILES = Path("assets.extra") / "keras_llm"
LEAST_PROMPT_BYTES = 16_384
LONGEST_TOKENS = 16  # bytes a token; few texts have more


@dataclasses.dataclass(frozen=True, kw_only=True)
class SavedModelReport(Record):
    """What was exported, and how it did in the check.

    Attributes:
        path: The version's folder.
        version: Its number.
        size: Bytes on disk of everything.
        weight_size: Bytes of the weights.
        graph_size: Bytes of `saved_model.pb`, tokenizer included.
        signatures: Names of the signatures.
        operations: Kinds of TensorFlow operations in the graphs.
        equal: Whether its greedy text was compared and equals Keras's (of a
            quantized one: with the same stored weights); None if it was not
            checked.
        storage: How weights are stored, and how their integers were found.
        table: With a held-out text: float32 and this storage, measured.
        load_seconds: From disk to ready, in a new process.
        first_call_seconds: The first request after that.
        tokens_per_second: New tokens of one prompt, prefill included.

    Example:

    >>> SavedModelReport(path="model/1", version=1, size=7).size
    7
    """

    path: str
    version: int
    size: int
    weight_size: int = 0
    graph_size: int = 0
    signatures: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    equal: bool | None = None
    storage: str = "float32"
    table: tuple[StorageRow, ...] = ()
    load_seconds: float | None = None
    first_call_seconds: float | None = None
    tokens_per_second: float | None = None


def saved_model(
    lm: CausalLM,
    path: str | os.PathLike,
    *,
    version: int | None = None,
    signatures: Sequence[str] | None = None,
    default_generation: GenerationSettings | Mapping | None = None,
    max_new_tokens: int | None = None,
    max_prompt_bytes: int | None = None,
    max_candidates: int | None = 256,
    jit_compile: bool = False,
    quantization: Quantization | str | None = None,
    calibration: str | None = None,
    held_out: str | None = None,
    max_delta: float | None = 0.05,
    warmup: bool = True,
    verify: bool = True,
    prompts: Sequence[str] = PROMPTS,
) -> SavedModelReport:
    """Writes a language model as a SavedModel that takes and gives text.

    The signatures; all inputs and outputs have one row for each text:

    - `serving_default`: `prompt` -> `text`, by `default_generation`.
    - `generate`: `prompt`, `max_new_tokens`, `temperature`, `top_k`, `top_p`,
      `min_p`, `repetition_penalty`, `seed`, `stop` -> `text`, `tokens` (-1
      after the end), `num_tokens`, `prompt_tokens`, `finish_reason` ("stop"
      or "length"). Nothing but these decides. Several stop strings stand in
      one string with U+001F between them; "" is none.
    - `chat`, if the model has a chat template: `roles` and `contents`, two
      strings for each message, filled up with "" after a row's last message,
      and the controls of `generate` -> as `generate`. A conversation that
      the template does not take has no text and is "refused".
    - `score`: `text` -> `token_logprobs` (0 after the end), `tokens`,
      `num_tokens`, `sum_logprob`, `perplexity`, `bits_per_byte`, `truncated`.
    - `score_tokens`: `tokens` (-1 after a row's end), at most one more than
      the context -> `token_logprobs` of all but the first, `likeliest` ids
      and `likeliest_logprobs`, one column less.
    - `embed`: `text` -> `embedding` (the mean of the last hidden states),
      `num_tokens`, `truncated`.
    - `tokenize`: `text` -> `tokens`, `num_tokens`.
    - `detokenize`: `tokens` -> `text`.
    - `start`, `advance`: the token loop in steps, for servers that stream;
      see `keras_llm.export.token_graph`.

    The text equals `CausalLM.generate`'s. Every row draws from its own seed,
    used as it is, and gets what it would get alone. A graph cannot refuse
    with a sentence, so where `CausalLM` does, the SavedModel cuts: a prompt
    that fills the context keeps its last tokens, as many as leave room for
    `max_new_tokens`, and no less than half of the context; a value out of
    range counts as the nearest one; a text to score or embed keeps its first
    tokens, and `truncated` says so.

    The folder appears at once and whole; earlier versions stay untouched.
    Beside the versions come the files of TensorFlow Serving (`models.config`,
    `batching.txt`, `docker-compose.yml`, `README.md`); those that were
    changed by hand are left as they are.
    Weights are float32, and computed with in float32, whatever the precision
    of training, unless `quantization` says otherwise. Computed in float32,
    its texts equal those that Keras gives with the same stored weights; in
    bfloat16 they are not compared, because each graph rounds in its own way.

    A byte-level tokenizer needs built-in operations only. SentencePiece and
    WordPiece need those of tensorflow-text: stock TensorFlow Serving has
    them; in Python, `import tensorflow_text` before loading; C, Java and Go
    have to load its library.

    Args:
        lm: The language model.
        path: The model's folder; this version goes to `path/<version>`.
        version: A number of 0 or more. Default: one more than the highest.
        signatures: Names of those to write. Default: all.
        default_generation: How `serving_default` continues: settings, or
            those that differ from `lm.settings`. Default: `lm.settings`.
        max_new_tokens: Its `max_new_tokens`, for short.
        max_prompt_bytes: Longer prompts are cut before they are tokenized.
            Default: 16 bytes for each token of the context, at least 16384.
        max_candidates: A row with top-k, top-p or min-p draws from so many of
            the likeliest tokens at most: sorting all is slow. Exact where
            its filters leave no more, as `top_k` up to this does; a top-p
            alone may be cut. None: no limit. Default: 256.
        jit_compile: Whether XLA compiles the token loop: faster for a small
            model, and compiled again, in seconds, for every number of rows
            and every doubling of their lengths. TensorFlow Serving refuses
            such a model unless `--xla_cpu_compilation_enabled` is given, and
            a stop string cuts the text but does not end the loop. Default:
            False.
        quantization: How weights are stored and computed with: "float32",
            "bfloat16", "int8", "int4", or a `Quantization` with more to say.
            Default: float32.
        calibration: A text for GPTQ and AWQ.
        held_out: A text to compare the stored weights with the original on;
            the report then has a table with float32 beside it.
        max_delta: Most nats per token that may be lost on it. None: any, and
            no held-out text is needed. Default: 0.05.
        warmup: Whether to add the requests that TensorFlow Serving runs
            before it says that a version is ready. Default: True.
        verify: Whether to run it in a new process that has only TensorFlow,
            and to compare all signatures with Keras. Default: True.
        prompts: Texts for that check.

    Returns:
        Sizes, operations, and with `verify` times.

    Raises:
        InputError: The version exists, a number is out of range, or Keras
            runs on another backend than TensorFlow; weights are to be rounded
            and there is no text to see what that does.
        OSError: The disk is full or not writable.
        ExportError: The graph has an operation that stock TensorFlow lacks,
            gives another text than Keras, or loses more than `max_delta`.
            Nothing is written then.

    Example:

    >>> import tempfile
    >>> from keras_llm import DecoderConfig, build_decoder
    >>> from keras_llm.tokenizers import BytePairTokenizer
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    >>> lm = CausalLM(build_decoder(DecoderConfig(
    ...     vocabulary_size=264, context_length=16, num_layers=1,
    ...     hidden_dim=8, num_heads=2)), tokenizer)
    >>> report = saved_model(lm, tempfile.mkdtemp(), verify=False)
    >>> report.version, report.signatures[0]
    (1, 'serving_default')
    """
    if max_prompt_bytes is None:
        longest = LONGEST_TOKENS * lm.config.context_length
        max_prompt_bytes = max(LEAST_PROMPT_BYTES, longest)
    _check(max_prompt_bytes, max_candidates)
    names = chosen_signatures(lm, signatures)
    settings = usual_settings(lm, default_generation, max_new_tokens)
    folder = version_folder(Path(path), version)
    lm = _float32(lm)
    rows = held_out_rows(lm, quantization, held_out, max_delta)
    storage = stored(lm, quantization, calibration)
    with atomic_path(folder) as temporary:
        with storage.reading():
            graph = TextGraph(
                *(storage.lm, settings, max_prompt_bytes),
                *(max_candidates, jit_compile),
            )
            traced = graph.signatures(names)
        with _full_disk_as_os_error(folder):
            tf.saved_model.save(storage.module, str(temporary), traced)
        (temporary / HOST_FILES).mkdir(parents=True)
        host_files.write(lm, temporary / HOST_FILES)
        kinds = operations(temporary)
        check_operations(kinds, lm.tokenizer.plugins, jit_compile)
        table = []
        if rows is not None:
            table = _beside_float32(lm, storage, temporary, rows, names)
            check_delta(table, max_delta)
        calls = {}
        if warmup:
            name = served_name(folder.parent)
            calls = write_warmup(temporary, name, traced)
        checked = {}
        if verify and storage.exact:
            with storage.reference() as same:
                checked = verify_saved_model(
                    same, temporary, settings, prompts, names, calls
                )
            checked["equal"] = True
    write_serving_files(folder.parent, traced, jit_compile)
    weights = sum(f.stat().st_size for f in folder.glob("variables/*.data-*"))
    return SavedModelReport(
        path=str(folder),
        version=int(folder.name),
        size=sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()),
        weight_size=weights,
        graph_size=(folder / "saved_model.pb").stat().st_size,
        signatures=tuple(traced),
        operations=kinds,
        storage=storage.settings.name,
        table=tuple(table),
        **checked,
    )


def _beside_float32(
    lm: CausalLM,
    storage: Storage,
    folder: Path,
    rows: np.ndarray,
    names: Sequence[str],
) -> list[StorageRow]:
    """The table of an export: itself, and float32 as a second one."""
    own = measured(storage.settings.name, folder, storage, lm, rows)
    if storage.settings == Quantization():
        return [own]
    with tempfile.TemporaryDirectory(prefix="keras-llm-") as plain:
        report = saved_model(
            lm, plain, signatures=names, warmup=False, verify=False
        )
        first = measured("float32", report.path, stored(lm), lm, rows)
    return [first, own]


@contextlib.contextmanager
def _full_disk_as_os_error(path: Path) -> Iterator[None]:
    """TensorFlow has an error of its own for a full disk; Python has another.

    It is the same for memory, but nothing is computed while writing.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        full = errno.ENOSPC
        raise OSError(full, os.strerror(full), str(path)) from error


def _float32(lm: CausalLM) -> CausalLM:
    model = merged_copy(lm.model)
    if {model.compute_dtype, model.variable_dtype} != {"float32"}:
        model = float32_copy(model)
    return lm.replace(model=model)


def _check(max_prompt_bytes: int, max_candidates: int | None) -> None:
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            "Expected the TensorFlow backend for a SavedModel. Received: "
            f"{keras.backend.backend()}. Save the model, then load it with "
            "KERAS_BACKEND=tensorflow."
        )
    most = 1 if max_candidates is None else max_candidates
    if min(max_prompt_bytes, most) < 1:
        raise InputError(
            "Expected max_prompt_bytes and max_candidates of at least 1. "
            f"Received: {max_prompt_bytes} and {max_candidates}."
        )
