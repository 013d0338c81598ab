"""What a source is: every kind is told from its files, or a sentence."""

import json

import pytest
from served_models import language_model
from transformers_folders import gpt2_folder, t5_folder

from keras_llm.compare import open_subject
from keras_llm.compare.model_source import load_checkpoint
from keras_llm.compare.opening import subject_kind
from keras_llm.errors import InputError
from keras_llm.evaluate import Continuation, Prompt

REQUESTS = [
    Continuation("a rose is", " a rose"),
    Continuation("a rose is ", "a king"),
    Continuation("", "a rose"),
    Continuation("the king " * 20, " who was"),
]
TEXTS = ["a rose is a rose", "the king said: " * 20, "naïve 日本"]


@pytest.fixture(scope="module")
def lm():
    return language_model("llama", num_layers=1)


def made(folder, **files):
    """A folder with files of these contents."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(json.dumps(content))
    return folder


def test_kinds_are_told_without_loading_anything(tmp_path):
    ours = made(tmp_path / "ours", keras_llm__json={})
    run = made(tmp_path / "run", train__json={})
    (made(tmp_path / "finished") / "lm").mkdir()
    gpt2 = made(tmp_path / "gpt2", config__json={"model_type": "gpt2"})
    t5 = made(tmp_path / "t5", config__json={"model_type": "t5"})
    step = made(tmp_path / "step-00000004", state__json={})
    empty = made(tmp_path / "empty")
    (tmp_path / "rose.tflite").write_bytes(b"")
    expected = {
        ours: "keras",
        run: "keras",
        tmp_path / "finished": "keras",
        gpt2: "keras",
        "tiny": "keras",
        step: "checkpoint",
        t5: "transformers",
        f"hf:{gpt2}": "transformers",
        empty: "artifact",
        str(tmp_path / "rose.tflite"): "artifact",
        "http://localhost:1/v1": "endpoint",
    }
    assert {source: subject_kind(source) for source in expected} == expected


def test_what_is_none_of_them(tmp_path):
    (tmp_path / "notes.txt").write_text("a rose")
    with pytest.raises(InputError, match="notes.txt, which is another file"):
        open_subject(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="nowhere, which does not exist"):
        open_subject(tmp_path / "nowhere")
    with pytest.raises(InputError, match="a CausalLM. Received: int"):
        open_subject(3)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "train.json").write_text("{}")
    with pytest.raises(InputError, match="Expected a finished run"):
        open_subject(tmp_path / "runs")
    with pytest.raises(InputError, match="of dtype. Received: threads"):
        open_subject("tiny", threads=2)


def test_our_own_models(lm, tmp_path):
    lm.save(tmp_path / "run" / "lm")
    opened = open_subject(tmp_path / "run")
    assert opened.name == str(tmp_path / "run")
    given = open_subject(lm, name="rose")
    assert given.name == "rose"
    assert given.fingerprint == opened.fingerprint
    assert given.likelihoods(REQUESTS) == opened.likelihoods(REQUESTS)


def test_a_checkpoint_takes_a_tokenizer(lm, tmp_path):
    from keras.optimizers import SGD

    from keras_llm.train.checkpoint import save

    optimizer = SGD()
    optimizer.build(lm.model.trainable_variables)
    said = {"config": lm.config.to_dict(), "step": 4}
    words = {"tokenizer": lm.tokenizer.fingerprint}
    path = save(tmp_path, lm.model, optimizer, **said, **words)
    lm.tokenizer.save(tmp_path / "words")
    with pytest.raises(InputError, match="which holds weights only"):
        open_subject(path)
    opened = open_subject(path, tokenizer=tmp_path / "words")
    expected = open_subject(lm).rolling(TEXTS)
    assert opened.rolling(TEXTS) == pytest.approx(expected)
    other = language_model("gpt2", bos=None).tokenizer
    other.save(tmp_path / "others")
    with pytest.raises(InputError, match="tokenizer"):
        open_subject(path, tokenizer=tmp_path / "others")
    path = save(tmp_path, lm.model, optimizer, step=8)
    with pytest.raises(InputError, match="the checkpoint of a decoder"):
        load_checkpoint(path, tmp_path / "words")


def test_a_published_folder_by_keras_and_by_transformers(tmp_path):
    pytest.importorskip("torch")
    folder = gpt2_folder(tmp_path / "gpt2")
    keras, peer = open_subject(folder), open_subject(f"hf:{folder}")
    assert keras.fingerprint != peer.fingerprint
    found, expected = (one.likelihoods(REQUESTS) for one in (keras, peer))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.total == pytest.approx(theirs.total, abs=1e-4)
        assert ours.greedy == theirs.greedy
    assert keras.rolling(TEXTS) == pytest.approx(peer.rolling(TEXTS), abs=1e-3)
    prompts = [
        Prompt("a rose", ("F",), 8),
        Prompt("the king " * 20, (), 8),
        Prompt("naïve", (), 8),
    ]
    assert keras.generate(prompts) == peer.generate(prompts)


def test_a_folder_that_the_zoo_cannot_read_may_be_anothers(tmp_path):
    folder = made(tmp_path / "gpt2", config__json={"model_type": "gpt2"})
    with pytest.raises(
        InputError, match="none. Or let transformers open it: hf:.*gpt2"
    ):
        open_subject(folder)


def test_an_encoder_decoder_is_told_from_its_config(tmp_path):
    pytest.importorskip("torch")
    subject = open_subject(t5_folder(tmp_path / "t5"), device="cpu")
    assert type(subject).__name__ == "Seq2SeqSubject"
    assert subject.likelihoods(REQUESTS[:1])[0].total < 0
