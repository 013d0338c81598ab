"""import, export --format hf and keras-hub, and models by their folders."""

import importlib.util
import os

import pytest
from published import BOS, CHATML, by_hand, sentence_pieces
from test_cli_corpus import next_commands, run
from test_cli_model import must

from keras_llm import CausalLM, zoo


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A published folder."""
    return by_hand(
        tmp_path_factory.mktemp("cli") / "theirs",
        tokenizer_config=BOS | {"chat_template": CHATML},
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_import_and_export_and_back(theirs, folder):
    shown = must("import", theirs, "--output", "ours")
    for word in ("llama", "chatml", "BytePairTokenizer"):
        assert word in shown
    assert next_commands(shown)[0][0] == "generate"
    said = must("generate", "a king", "--model", "ours")
    assert said == must("generate", "a king", "--model", theirs)
    shown = must("export", "ours", "--format", "hf", "--output", "back")
    assert "transformers" in shown
    assert said == must("generate", "a king", "--model", "back")
    assert zoo.load("back").origin.family == "llama"


def test_precision_and_context(theirs, folder):
    words = ("--dtype", "bfloat16", "--context-length", 32)
    must("import", theirs, "--output", "short", *words)
    lm = CausalLM.load("short")
    assert lm.config.context_length == 32
    whole = zoo.load(theirs, "bfloat16")
    for ours, given in zip(
        lm.model.get_weights(), whole.model.get_weights(), strict=True
    ):
        assert (ours == given.astype("float32")).all()


@pytest.mark.skipif(
    importlib.util.find_spec("keras_hub") is None,
    reason="keras_hub is missing (extra hub-interop)",
)
def test_export_for_keras_hub(folder):
    llama2 = by_hand(folder / "l", tokenizer=None, tokenizer_config=BOS)
    (llama2 / "tokenizer.model").write_bytes(sentence_pieces())
    must("import", "l", "--output", "ours")
    shown = must(
        *("export", "ours", "--format", "keras-hub", "--output", "preset")
    )
    assert "from_preset" in shown
    assert {"config.json", "task.json"} <= set(os.listdir("preset"))
    text = must("generate", "a king", "--model", "ours")
    must("import", "preset", "--output", "again", "--context-length", 64)
    assert must("generate", "a king", "--model", "again") == text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("import", "nobody"), "owner/name"),
        (("import", "tiny"), "keras-llm train --size tiny"),
        (("import", "THEIRS", "--dtype", "int8"), "float32, bfloat16"),
        (("import", "THEIRS", "--revision", "main"), "local"),
        (("import", "THEIRS", "--context-length", 999), "up to 64"),
        (("import", "THEIRS", "--output", "THEIRS"), "holds other files"),
        (("generate", "a", "--model", "runs/model"), "keras-llm import"),
        (("export", "THEIRS", "--format", "hf", "--family", "x"), "llama"),
        (("export", "--family", "llama"), "--format hf or keras-hub"),
        (("export", "--format", "hf", "--quantization", "int8"), "litertlm"),
        (("export", "--format", "onnx"), "saved_model, litert, litertlm, hf"),
    ],
)
def test_a_mistake_is_a_sentence(theirs, folder, words, said):
    words = [str(theirs) if word == "THEIRS" else word for word in words]
    answer = run(*words)
    assert answer.exit_code == 2, answer.output
    assert said in answer.stderr
    assert "Traceback" not in answer.output
