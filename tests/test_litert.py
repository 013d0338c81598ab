"""LiteRT: what is exported does what Keras does, and nothing else is kept."""

import copy
import errno
import functools
import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
from contract import CONFIGS, decoder

from keras_llm import CausalLM, DecoderConfig, InputError, build_decoder
from keras_llm.generate import TokenGenerator
from keras_llm.sampling import GenerationSettings
from keras_llm.tokenizers import BytePairTokenizer

pytest.importorskip("ai_edge_litert", reason="needs the extra litert")

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from keras_llm.export import (
    _worker,
    litert_convert,
    litert_export,
    litert_graph,
    litert_plan,
    litert_verify,
)
from keras_llm.export.errors import ExportError
from keras_llm.export.litert_export import litert
from keras_llm.export.litert_runner import LitertRunner

CORPUS = [
    "The quick brown fox jumps over the lazy dog. Ein schöner Tag, 日本語."
]
CONTEXT = 64
KEPT = b"what stood there before"


@functools.cache
def tokenizer() -> BytePairTokenizer:
    return BytePairTokenizer.train(CORPUS * 3, 300, progress=False)


def language_model(family: str, **differences) -> CausalLM:
    """A tiny model of a family whose every weight matters."""
    config = CONFIGS[family].replace(
        vocabulary_size=tokenizer().vocabulary_size,
        context_length=CONTEXT,
        **differences,
    )
    return CausalLM(decoder(config), tokenizer())


@pytest.fixture(scope="module")
def llama():
    return language_model("llama")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("litert")


@pytest.fixture(scope="module")
def bundle(llama, folder):
    """A float32 bundle with a cache that grows, and its report."""
    return litert(llama, folder / "llama.litertlm")


@pytest.fixture(scope="module")
def growing(llama, folder):
    """A `.tflite` with a cache that grows, and its expected signatures."""
    path = folder / "growing.tflite"
    expected = litert_graph.expected_signatures(llama.config, (None,), None)
    litert_convert.convert(llama.model, expected, path)
    return path, expected, litert_graph.weight_bytes(llama.model)


def runtime(path, prompt: str, new_tokens: int, chat: bool = False) -> str:
    """The text of the stock LiteRT-LM runtime."""
    return _worker.run(
        "litert_bundle:answer",
        path=path,
        prompt=prompt,
        new_tokens=new_tokens,
        chat=chat,
    )


# === What comes out ===


@pytest.mark.parametrize("prompt", ["The lazy", "日本", "fox\n\n  jumps 🙂"])
def test_the_runtime_continues_a_text_as_keras_does(llama, bundle, prompt):
    expected = llama.generate(prompt, max_new_tokens=24)
    assert len(set(expected)) > 5
    assert runtime(bundle.path, prompt, 24) == expected


def test_the_runtime_answers_a_chat_as_keras_does(llama, bundle):
    special = llama.tokenizer.special_tokens
    turn = [special["<|user|>"], *llama.tokenizer.encode("The fox")]
    prompt = [llama.start_id, *turn, special["<|end|>"]]
    expected = TokenGenerator(llama.model, llama.end_ids).generate(
        [[*prompt, special["<|assistant|>"]]],
        GenerationSettings(max_new_tokens=16),
    )[0]
    found = runtime(bundle.path, "The fox", 16, chat=True)
    assert found == llama.tokenizer.decode(expected)


def test_the_report_says_what_was_found(llama, bundle):
    assert bundle.equal_text and bundle.runtime_equal
    left = CONTEXT - 1 - len(llama.encode_prompt("The"))
    assert bundle.text == llama.generate("The", max_new_tokens=left)
    assert abs(bundle.delta_nats) < 1e-5
    assert bundle.logit_difference < 1e-3
    assert bundle.ratio == 1.0
    assert bundle.bytes == bundle.path.stat().st_size
    assert bundle.decode_tokens_per_second > 0 < bundle.seconds
    assert "greedy text equal to Keras's" in str(bundle)


def test_nothing_is_left_beside_the_bundle(bundle, folder):
    """No cache of the runtime, no metadata, no half file."""
    found = {path.name for path in folder.iterdir()}
    assert not {n for n in found if "llama" in n} - {bundle.path.name}
    assert not {n for n in found if n.startswith(".tmp-")}


def test_a_growing_cache_gives_the_logits_of_keras(llama, growing):
    tokens = np.arange(40, dtype="int32") % 7
    expected = np.asarray(llama.model(tokens[None]))[0]
    runner = LitertRunner(growing[0], slots=CONTEXT)
    np.testing.assert_allclose(runner.logits(tokens), expected, atol=2e-5)
    runner.reset()
    runner.prefill(tokens[:25])
    after = [runner.decode(token) for token in tokens[25:]]
    np.testing.assert_allclose(after, expected[25:], atol=2e-5)


def test_a_fixed_cache_of_a_gpt2_gives_the_tokens_of_keras(folder):
    lm = language_model("gpt2")
    path = folder / "gpt2.tflite"
    report = litert(lm, path, cache_length=32, prefill_lengths=(64, 8, 4))
    assert report.equal_text and report.cache_length == 32
    runner = LitertRunner(path)
    assert runner.slots == 32
    found = set(runner.signatures)
    assert found == {"decode", "prefill_8", "prefill_4", "prefill_1"}
    prompt = lm.encode_prompt("The quick brown fox jumps")
    assert len(prompt) > 9  # so that all three prefill signatures run
    expected = TokenGenerator(lm.model, lm.end_ids).generate(
        [prompt], GenerationSettings(max_new_tokens=12)
    )[0]
    assert runner.generate(prompt, 12, lm.end_ids) == expected


def test_int8_is_a_third_and_costs_little(folder):
    vocabulary = BytePairTokenizer.train(
        [Path(__file__).read_text(encoding="utf-8")], 1024, progress=False
    )
    model = build_decoder(
        DecoderConfig(
            vocabulary_size=1024,
            context_length=128,
            num_layers=2,
            hidden_dim=128,
            num_heads=4,
            num_kv_heads=2,
        ),
        "mixed_bfloat16",
    )
    generator = np.random.default_rng(0)
    for weight in model.trainable_variables:
        if len(weight.shape) > 1:
            weight.assign(generator.normal(0, 0.09, weight.shape))
    report = litert(
        model,
        folder / "int8.litertlm",
        quantization="int8",
        tokenizer=vocabulary,
        held_out="def test_int8_is_a_third_and_costs_little(folder):" * 4,
    )
    assert report.ratio > 3
    assert 1e-6 < abs(report.delta_nats) < 0.02
    assert report.runtime_equal
    assert "nats per token" in str(report)


@pytest.mark.slow
@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("slots", [None, 24])
def test_every_family_converts(family, slots, tmp_path):
    model = decoder(CONFIGS[family])
    lengths = (None,) if slots is None else (4, 1)
    signatures = litert_graph.expected_signatures(model.config, lengths, slots)
    litert_convert.convert(model, signatures, tmp_path / "a.tflite")
    runner = LitertRunner(tmp_path / "a.tflite", slots=24)
    tokens = np.arange(20, dtype="int32") * 7 % 61
    runner.prefill(tokens[:13])
    found = [runner.decode(token) for token in tokens[13:]]
    expected = np.asarray(model(tokens[None]))[0, 13:]
    np.testing.assert_allclose(found, expected, atol=5e-5)


# === What is refused ===


def rename(tensors: list, old: str, new: str) -> None:
    entry = next(t for t in tensors if t.name.decode() == old)
    entry.name = new.encode()


def rename_cache_output(graph) -> None:
    rename(graph.signatureDefs[0].outputs, "kv_cache_k_0", "cache_k_0")


def rename_mask(graph) -> None:
    rename(graph.signatureDefs[0].inputs, "mask", "bias")


def drop_decode(graph) -> None:
    graph.signatureDefs = [
        d for d in graph.signatureDefs if d.signatureKey != b"decode"
    ]


def widen_tokens(graph) -> None:
    definition = graph.signatureDefs[0]
    tokens = next(t for t in definition.inputs if t.name == b"tokens")
    tensors = graph.subgraphs[definition.subgraphIndex].tensors
    tensors[tokens.tensorIndex].type = schema.TensorType.INT64


def need_a_custom_operation(graph) -> None:
    code = schema.OperatorCodeT()
    code.customCode = b"FlexStridedSlice"
    graph.operatorCodes.append(code)


def store_weights_twice(graph) -> None:
    for buffer in list(graph.buffers):
        graph.buffers.append(copy.copy(buffer))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (rename_cache_output, "'kv_cache_k_0' as float32.*Received: nothing"),
        (rename_mask, "'mask' as float32.*Received: nothing"),
        (drop_decode, "Expected the signatures .'decode', 'prefill'."),
        (widen_tokens, "'tokens' as int32.*Received: int64"),
        (need_a_custom_operation, "FlexStridedSlice"),
        (store_weights_twice, "stored more than once"),
    ],
)
def test_a_file_that_breaks_the_contract_is_refused(
    growing, tmp_path, damage, sentence
):
    path, expected, weights = growing
    litert_graph.check(path, expected, weights)
    graph = flatbuffer_utils.read_model(path)
    damage(graph)
    flatbuffer_utils.write_model(graph, tmp_path / "damaged.tflite")
    with pytest.raises(ExportError, match=sentence):
        litert_graph.check(tmp_path / "damaged.tflite", expected, weights)


def compare(tmp_path, greedy, logits, exact=True):
    ids = np.array([0, 1, 2, 3, 0])
    rows = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    keras = {"greedy": np.array([1, 2]), "held_out": ids, "logits": rows}
    np.savez(tmp_path / "reference.npz", **keras)
    np.save(tmp_path / "logits.npy", logits(rows))
    return litert_verify.compare(
        *(tmp_path / "reference.npz", tmp_path / "logits.npy"),
        *(greedy, exact, 0.02),
    )


def test_comparison_measures_nats(tmp_path):
    found = compare(tmp_path, [1, 2], lambda rows: rows + 3.0)
    assert found["equal_text"] and abs(found["delta_nats"]) < 1e-6
    assert found["logit_difference"] == pytest.approx(3.0, abs=1e-5)


@pytest.mark.parametrize("wrong", [lambda x: 1.2 * x, lambda x: x * np.nan])
def test_a_large_delta_is_refused(tmp_path, wrong):
    with pytest.raises(ExportError, match="nats per token"):
        compare(tmp_path, [1, 2], wrong, exact=False)


def test_other_greedy_tokens_are_refused_in_float32_only(tmp_path):
    assert not compare(tmp_path, [1, 3], np.array, exact=False)["equal_text"]
    with pytest.raises(ExportError, match="Expected the greedy tokens of"):
        compare(tmp_path, [1, 3], np.array)


@pytest.fixture
def converted(growing, monkeypatch):
    """Spares the conversion; Keras's answers in it are wrong."""

    def convert(plan, lengths, work, checks):
        shutil.copyfile(growing[0], work / "float32.tflite")
        wrong = np.zeros((4, plan.model.config.vocabulary_size), "float32")
        answers = {"greedy": [1, 2], "held_out": [1, 2, 3, 4], "logits": wrong}
        np.savez(work / "reference.npz", **answers)

    monkeypatch.setattr(litert_export, "_convert", convert)


@pytest.fixture
def previous(tmp_path):
    """A file that an export would replace."""
    path = tmp_path / "model.tflite"
    path.write_bytes(KEPT)
    yield path
    assert path.read_bytes() == KEPT
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("converted")
def test_a_failed_check_leaves_the_previous_file(llama, previous):
    with pytest.raises(ExportError, match="nats per token more or less"):
        litert(llama, previous)


@pytest.mark.usefixtures("converted")
def test_a_full_disk_leaves_the_previous_file(llama, previous, monkeypatch):
    def full(source, target):
        Path(target).write_bytes(Path(source).read_bytes()[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(litert_export.shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space"):
        litert(llama, previous, verify=False)


def test_a_process_that_dies_is_told_with_its_last_words():
    with pytest.raises(ExportError, match="no-such-file") as failure:
        _worker.run(
            "litert_bundle:answer", path="no-such-file", prompt="", new_tokens=1
        )
    assert "exit code" in str(failure.value)


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("model.onnx", {}, r"ends in .tflite"),
        ("a.tflite", {"quantization": "int3"}, 'None .float32. or "int8"'),
        ("a.tflite", {"cache_length": 65}, "from 2 to 64"),
        (
            "a.tflite",
            {"cache_length": 9, "prefill_lengths": (0,)},
            "1 token or more",
        ),
        ("a.tflite", {"prompt": "fox " * 64}, "a prompt of at most 62"),
        ("a.tflite", {"held_out": [1]}, "2 tokens or more"),
    ],
)
def test_mistakes_are_told(llama, tmp_path, name, arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        litert(llama, tmp_path / name, **arguments)
    assert not list(tmp_path.iterdir())


def test_a_bundle_needs_a_tokenizer(llama, tmp_path):
    with pytest.raises(InputError, match="Expected a tokenizer"):
        litert(llama.model, tmp_path / "a.litertlm")
    with pytest.raises(InputError, match="held_out as ids"):
        litert(llama.model, tmp_path / "a.tflite", held_out="text")


def test_missing_libraries_are_told(llama, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'pip install "keras_llm\[litert\]"'):
        litert(llama, tmp_path / "a.litertlm")


def test_prefill_lengths_end_with_one_and_fit():
    lengths = litert_plan.signature_lengths
    assert lengths(None, (8, 4)) == [None]
    assert lengths(100, (256, 64, 16, 4, 1)) == [64, 16, 4, 1]
    assert lengths(3, (8,)) == [1]
