"""A SavedModel gives the text, ids and scores that Keras gives."""

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from contract import decoder
from exported import Exported
from served_models import NEW_TOKENS, PROMPTS, language_model

from keras_llm.causal_lm import CausalLM, float32_copy
from keras_llm.errors import ExportError, InputError
from keras_llm.export import saved_model_export as module
from keras_llm.export.graph_ops import check_operations, operations
from keras_llm.export.probe import answer
from keras_llm.export.saved_model_export import saved_model, versions
from keras_llm.export.verify import verify_saved_model
from keras_llm.export.verify_cases import controls
from keras_llm.export.version_folder import version_folder
from keras_llm.generate import TokenGenerator
from keras_llm.sampling import GenerationSettings

WHOLE = {"verify": True, "warmup": True}
FEW = {"signatures": ("serving_default", "generate")}
GREEDY = {"temperature": 0.0, "max_new_tokens": NEW_TOKENS}


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    names = ("serving_default", "generate", "score", "tokenize", "detokenize")
    folder = tmp_path_factory.mktemp("llama")
    return Exported(
        folder, "llama", num_layers=2, options={"signatures": names}
    )


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt2")
    return Exported(folder, "gpt2", num_layers=1, options=WHOLE)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def exported(request):
    return request.getfixturevalue(request.param)


def test_greedy_text_equals_keras(exported):
    expected = exported.lm.generate(PROMPTS, **GREEDY)
    assert exported.texts(PROMPTS) == expected
    assert [exported.texts([prompt])[0] for prompt in PROMPTS] == expected


def test_sampled_text_equals_keras_and_ignores_batch_mates(exported):
    limits = {"top_k": 40, "top_p": 0.9, "min_p": 0.01}
    found = exported.sample(PROMPTS, [5, 6, 7, 8], **limits)
    texts = [text.decode() for text in found["text"]]
    assert texts == exported.lm.generate(
        PROMPTS, seed=5, max_new_tokens=NEW_TOKENS, temperature=0.9, **limits
    )
    assert texts != exported.lm.generate(PROMPTS, **GREEDY)
    alone = exported.sample(PROMPTS[2:3], [7], **limits)
    assert alone["text"][0] == found["text"][2]


def test_generate_says_what_it_did(exported):
    many = [f"rose {number}" for number in range(64)]
    found = exported.sample(many, range(64), temperature=5.0)
    ends = exported.lm.end_ids
    for prompt, text, ids, size, used, reason in zip(
        many, found["text"], found["tokens"], found["num_tokens"],
        found["prompt_tokens"], found["finish_reason"], strict=True,
    ):  # fmt: skip
        assert (ids[:size] >= 0).all() and (ids[size:] == -1).all()
        assert not set(ids.tolist()) & set(ends)
        assert exported.lm.tokenizer.decode(ids[:size]) == text.decode()
        assert used == len(exported.lm.encode_prompt(prompt))
        assert reason == (b"length" if size == NEW_TOKENS else b"stop")
    assert set(found["finish_reason"]) == {b"length", b"stop"}


def test_max_new_tokens_of_each_row_counts(llama):
    found = llama.sample(["a rose"] * 4, [0] * 4, temperature=0.0)
    columns = controls(GenerationSettings(), 3)
    columns |= {"prompt": ["a rose"] * 3, "max_new_tokens": [2, 10**6, -3]}
    short = llama("generate", **columns)
    assert short["tokens"][0, :2].tolist() == found["tokens"][0, :2].tolist()
    context = llama.lm.config.context_length
    most = context - short["prompt_tokens"][0]
    assert short["num_tokens"][0] == 2 and short["num_tokens"][2] == 1
    assert NEW_TOKENS < short["num_tokens"][1] <= most


def test_a_prompt_too_long_keeps_its_last_tokens(llama):
    prompt = " ".join(f"rose {number}" for number in range(60))
    room = llama.lm.config.context_length - NEW_TOKENS
    kept = llama.lm.encode_prompt(prompt)[-room:]
    settings = GenerationSettings(max_new_tokens=NEW_TOKENS)
    generator = TokenGenerator(llama.lm.model, llama.lm.end_ids)
    (ids,) = generator.generate([kept], settings)
    assert llama.texts([prompt]) == [llama.lm.tokenizer.decode(ids)]


def test_score_equals_the_models_log_softmax(exported):
    texts = ["", "a rose", "🙂 naïve", "x"]
    found = exported("score", text=texts)
    for row, text in enumerate(texts):
        ids = exported.lm.encode_prompt(text)
        size = len(ids) - 1
        logits = np.asarray(exported.lm.model(np.array([ids])))[0].astype("f8")
        chosen = logits[np.arange(size), ids[1:]]
        expected = chosen - np.log(np.exp(logits[:size]).sum(-1))
        logprobs = found["token_logprobs"][row]
        np.testing.assert_allclose(logprobs[:size], expected, rtol=1e-4)
        assert not logprobs[size:].any()
        assert found["num_tokens"][row] == size
        assert found["tokens"][row, :size].tolist() == ids[1:]
        assert np.isclose(found["sum_logprob"][row], expected.sum())
        bits = -expected.sum() / np.log(2) / max(len(text.encode()), 1)
        assert np.isclose(found["bits_per_byte"][row], bits, rtol=1e-4)
        perplexity = np.exp(-expected.mean()) if size else 1
        assert np.isclose(found["perplexity"][row], perplexity, rtol=1e-4)
    assert exported("score", text=[""])["perplexity"] == [1]


def test_score_says_when_a_text_was_cut(llama):
    long = "rose " * 100
    found = llama("score", text=["a rose", long])
    assert found["truncated"].tolist() == [False, True]
    assert found["num_tokens"][1] == llama.lm.config.context_length


def test_tokenizer_signatures_equal_the_host(exported):
    texts = [*PROMPTS, b"\xff broken \xe6\x97", "<|endoftext|>"]
    found = exported("tokenize", text=texts)
    host = exported.lm.tokenizer
    ids = [
        row[:size].tolist()
        for row, size in zip(found["tokens"], found["num_tokens"], strict=True)
    ]
    assert ids == host.encode(texts, disallowed_special=())
    again = exported("detokenize", tokens=found["tokens"])["text"]
    assert [text.decode() for text in again] == [host.decode(i) for i in ids]
    half = host.encode("🙂")[:1]
    broken = exported("detokenize", tokens=[half])["text"][0]
    assert broken.decode() == host.decode(half) == "�"


def test_settings_of_the_model_hold(tmp_path):
    settings = {"num_layers": 1, "repetition_penalty": 1.7}
    plain = language_model("llama", **settings).generate(PROMPTS, **GREEDY)
    stop = ("zzz", plain[0][4:6], plain[0][3:6])
    exported = Exported(tmp_path, "llama", stop=stop, options=FEW, **settings)
    expected = exported.lm.generate(PROMPTS, **GREEDY)
    assert exported.texts(PROMPTS) == expected
    found = exported.sample(
        PROMPTS, [0] * 4, temperature=0.0, repetition_penalty=1.7, stop=stop
    )
    assert [text.decode() for text in found["text"]] == expected
    assert expected[0] == plain[0][:3]
    usual = language_model("llama", num_layers=1).generate(PROMPTS, **GREEDY)
    assert plain != usual
    for reason, text, whole in zip(
        found["finish_reason"], expected, plain, strict=True
    ):
        assert text == whole or reason == b"stop"


def test_a_tokenizer_without_a_start_token(tmp_path):
    exported = Exported(tmp_path, "llama", bos=None, num_layers=1, options=FEW)
    assert exported.lm.start_id is None
    expected = exported.lm.generate(PROMPTS, **GREEDY)
    assert exported.texts(PROMPTS) == expected


@pytest.mark.slow
def test_ids_without_a_token_have_no_text(tmp_path):
    lm = language_model("llama")
    size = lm.config.vocabulary_size
    wide = decoder(lm.config.replace(vocabulary_size=size + 700))
    padded = CausalLM(wide, lm.tokenizer)
    ids = TokenGenerator(wide).generate(
        [padded.encode_prompt(PROMPTS[1])], GenerationSettings(**GREEDY)
    )
    assert max(ids[0]) >= size  # or this test would show nothing
    report = saved_model(
        padded, tmp_path, max_new_tokens=NEW_TOKENS, warmup=False, **FEW
    )
    assert report.equal


@pytest.mark.slow
def test_mixed_precision_is_exported_as_float32(tmp_path):
    exported = Exported(
        tmp_path, "llama", "mixed_bfloat16", num_layers=1, options=FEW
    )
    exact = float32_copy(exported.lm.model)
    exported.lm = exported.lm.replace(model=exact)
    assert exported.texts(PROMPTS) == exported.lm.generate(PROMPTS, **GREEDY)


def test_the_report_and_what_is_on_disk(gpt2, llama):
    report = gpt2.report
    assert report.equal and report.tokens_per_second > 0
    assert report.first_call_seconds > 0 and report.load_seconds > 0
    assert llama.report.equal is None and not llama.report.tokens_per_second
    weights = sum(w.numpy().nbytes for w in gpt2.lm.model.weights)
    # The rest is an index of the variables: names and shapes.
    assert weights < report.weight_size < weights + 16_000
    files = [f for f in Path(report.path).rglob("*") if f.is_file()]
    assert report.size == sum(f.stat().st_size for f in files)
    assert report.path == str(gpt2.path / "1") and report.version == 1
    assert report.operations == operations(report.path)
    assert "UnicodeTranscode" in report.operations
    reader = tf.train.load_checkpoint(report.path + "/variables/variables")
    shapes = reader.get_variable_to_shape_map()
    assert len([k for k in shapes if k.startswith("weights/")]) == len(
        gpt2.lm.model.weights
    )


def test_a_model_that_differs_fails_the_check(llama, monkeypatch):
    # In this process: what the other process does is tested with `gpt2`.
    monkeypatch.setattr(
        "keras_llm.export.verify.run_probe",
        lambda folder, compared, timed, _: answer(
            str(folder), {k: c.call() for k, c in compared.items()}, timed
        ),
    )
    other = language_model("llama", num_layers=2)
    other.model.get_layer("final_norm").scale.assign_add([0.9] * 16)
    with pytest.raises(ExportError, match="what Keras gives"):
        verify_saved_model(
            other,
            llama.report.path,
            GenerationSettings(**GREEDY),
            signatures=("serving_default",),
        )


def test_a_failed_export_leaves_earlier_versions(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        Path(args[1], "half").mkdir(parents=True)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.TextGraph, "signatures", lambda *_: {})
    lm = language_model("llama")
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "saved_model.pb").write_text("earlier")
    with monkeypatch.context() as patch, pytest.raises(OSError, match="space"):
        patch.setattr(tf.saved_model, "save", fail)
        saved_model(lm, tmp_path, verify=False)
    with monkeypatch.context() as patch, pytest.raises(ExportError):
        patch.setattr(module, "operations", lambda _: ("XlaDot",))
        saved_model(lm, tmp_path, max_new_tokens=4, verify=False)
    assert [entry.name for entry in tmp_path.iterdir()] == ["3"]
    assert (tmp_path / "3" / "saved_model.pb").read_text() == "earlier"


def test_a_full_disk_is_an_os_error(tmp_path, monkeypatch):
    def fail(*args):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left")

    monkeypatch.setattr(module.TextGraph, "signatures", lambda *_: {})
    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="No space left") as error:
        saved_model(language_model("llama"), tmp_path, verify=False)
    assert error.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


def save_function(folder, function):
    holder = tf.Module()
    holder.table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(["a"], [1]), 0
    )
    spec = tf.TensorSpec([None], tf.string)
    holder.run = tf.function(
        lambda x: function(holder, x), input_signature=[spec], autograph=False
    )
    tf.saved_model.save(holder, str(folder))


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (lambda holder, x: holder.table.lookup(x), "LookupTableFindV2"),
        (
            lambda _, x: tf.py_function(lambda t: t, [x], tf.string),
            "EagerPyFunc .runs Python",
        ),
        (
            lambda _, x: tf.function(lambda y: y + 1, jit_compile=True)(
                tf.strings.length(x)
            ),
            "XlaMustCompile",
        ),
    ],
)
def test_operations_no_server_has_are_found(tmp_path, function, complaint):
    save_function(tmp_path, function)
    with pytest.raises(ExportError, match=complaint):
        check_operations(operations(tmp_path))


def test_operations_of_plug_ins_are_refused():
    with pytest.raises(ExportError, match="RegexSplitWithOffsets .is not"):
        check_operations(["MatMul", "RegexSplitWithOffsets"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"version": -1}, "version to be an integer of 0 or more"),
        ({"version": 9}, "does not exist yet.* choose 11"),
        ({"max_new_tokens": 0}, "max_new_tokens to be at least 1"),
        ({"max_prompt_bytes": 0}, "at least 1. Received: 0 and 256"),
        ({"max_candidates": 0}, "max_candidates of at least 1"),
        ({"signatures": ("predict",)}, "signatures out of serving_default"),
        ({"signatures": ()}, "signatures out of serving_default"),
        ({"default_generation": {"top": 1}}, "unknown keys: top"),
    ],
)
def test_mistakes_are_sentences(tmp_path, arguments, sentence):
    for name in ("9", "10", "notes"):
        (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=sentence):
        saved_model(language_model("llama"), tmp_path, **arguments)
    assert versions(tmp_path) == [9, 10]


def test_a_file_is_no_folder_of_versions(tmp_path):
    (tmp_path / "model").write_text("")
    with pytest.raises(InputError, match="Received: a file"):
        saved_model(language_model("llama"), tmp_path / "model")


def test_the_next_version_is_one_more(gpt2):
    assert version_folder(gpt2.path, None).name == "2"


@pytest.mark.slow
def test_saved_model_cli_shows_clear_names(gpt2):
    answer = subprocess.run(
        [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli",
         "show", "--dir", gpt2.report.path, "--all"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for line in (
        "signature_def['serving_default']",
        "signature_def['generate']",
        "inputs['prompt'] tensor_info",
        "inputs['max_new_tokens'] tensor_info",
        "outputs['finish_reason'] tensor_info",
        "outputs['text'] tensor_info",
        "outputs['token_logprobs'] tensor_info",
        "inputs['tokens'] tensor_info",
    ):
        assert line in answer
