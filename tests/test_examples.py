"""The examples do what they say, at a size that learns nothing."""

import ast
import contextlib
import functools
import io
import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sources import ROOT

import keras_llm as kl

EXAMPLES = ROOT / "examples"
MOST_LINES = 60
SCRIPTS = sorted(EXAMPLES.glob("[0-9]*.py"))


def run(name: str, *words: object) -> str:
    """Runs an example as `python` does; returns what it prints."""
    [script] = EXAMPLES.glob(f"{name}.py")
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(script), *map(str, words)])
        with contextlib.redirect_stdout(printed):
            runpy.run_path(str(script), run_name="__main__")
    return printed.getvalue()


def number(text: str, before: str) -> float:
    """The number behind some words."""
    found = re.search(re.escape(before) + r"\D*?([-\d.]*\d)", text)
    assert found, text
    return float(found[1])


@pytest.fixture(scope="module")
def workplace(shared_data, tmp_path_factory):
    """A folder to work in, with all data at hand."""
    folder = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_LLM_DATA", str(shared_data))
        patch.setenv("KERAS_LLM_TINY", "1")
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def trained(workplace, shared_data):
    """What the first example prints; the others begin with its model."""
    book = next((shared_data / "gutenberg").glob("Alice*"))
    return run("01*", book)


@pytest.fixture(scope="module")
def chatting(trained):
    return run("02*")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_is_short_and_says_how_it_is_run(script):
    text = script.read_text("utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    assert f"    python {script.name}" in text.split('"""')[1]


def test_there_is_one_of_each():
    found = sorted(path.name[:2] for path in EXAMPLES.glob("[0-9]*"))
    assert found == [f"{n:02}" for n in range(1, 11)]
    page = (EXAMPLES / "README.md").read_text("utf-8")
    for path in EXAMPLES.glob("[0-9]*"):
        assert f"({path.name}" in page


@pytest.mark.slow
def test_train_on_a_folder(trained, workplace):
    assert trained.startswith("10 steps")
    assert 5 < number(trained, "loss") < 8  # ln(1024) is 6.9
    lm = kl.CausalLM.load(workplace / "runs/mine/model")
    text = lm.generate("It was a", max_new_tokens=40, temperature=0.8, seed=1)
    assert trained.endswith(text + "\n")


@pytest.mark.slow
def test_chat_about_my_notes(chatting, workplace):
    measured = re.findall(r"loss \| ([\d.]+) \| ([\d.]+)", chatting)[0]
    assert all(0 < float(loss) < 12 for loss in measured)
    lm = kl.CausalLM.load(workplace / "runs/notes/lm")
    question = "Who was Jack Gisburn?"
    answer = "".join(lm.chat(question, max_new_tokens=60))
    assert chatting.endswith(f"{question} -> {answer}\n")
    assert kl.adapters.adapter_names(lm.model) == ["default"]
    added = [w for w in lm.model.weights if w.path.endswith("lora_b")]
    assert added and all(np.abs(w.numpy()).max() > 0 for w in added)


@pytest.mark.slow
def test_spam_filter_to_phone(trained, workplace):
    pytest.importorskip("ai_edge_litert")
    assert 0 <= number(run("03*"), "accuracy on the phone:") <= 1
    script = runpy.run_path(str(EXAMPLES / "03_spam_filter_to_phone.py"))
    folder = workplace / "runs/spam"
    spam = kl.classify.Classifier.load(folder / "classifier")
    path = kl.data.download("sms_spam") / "sms.tsv"
    texts = [one.text for one in kl.tune.read_labelled(path)][:100]
    assert script["on_the_phone"](folder, texts) == spam.predict(texts)


@pytest.mark.slow
def test_translate(trained, workplace):
    pytest.importorskip("sacrebleu")
    said = run("04*")
    assert 0 <= number(said, "model: BLEU") <= 100
    assert 0 < number(said, "unchanged: BLEU") < 50
    kl.CausalLM.load(workplace / "runs/translate/lm")


@pytest.mark.slow
def test_summarise(trained, workplace):
    pytest.importorskip("rouge_score")
    said = run("05*")
    assert 0 <= number(said, "model {'rouge1':") <= 1
    assert 0.1 < number(said, "first sentence {'rouge1':") < 0.6
    kl.CausalLM.load(workplace / "runs/summaries/lm")


@pytest.mark.slow
def test_name_entities(trained, workplace):
    assert 0 <= number(run("06*"), "F1") <= 1
    kl.classify.Tagger.load(workplace / "runs/names/classifier")


@pytest.mark.slow
def test_dpo_from_thumbs(chatting, workplace):
    said = run("07*")
    assert "'up': 40, 'down': 40" in said
    lines = (workplace / "runs/preferred/pairs.jsonl").read_text().splitlines()
    assert len(lines) == 40
    assert 0 <= number(said, "ranked as people did:") <= 1
    kl.CausalLM.load(workplace / "runs/preferred/lm")


@pytest.mark.slow
def test_serve_behind_nginx(trained):
    """By nginx where it is installed, else by the proxy that stands in."""
    said = run("08*/try_it")
    whole = re.search(r"whole: (.*)", said)
    parts = re.search(r"parts: (.*)", said)
    assert "without the token: 401" in said and whole and parts
    [text] = ast.literal_eval(whole[1])
    pieces = ast.literal_eval(parts[1])
    assert len(pieces) > 1 and "".join(pieces) == text


def client(command, *words):
    return subprocess.run(
        [*command, *words],
        cwd=EXAMPLES / "09_other_languages",
        capture_output=True,
        timeout=300,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [["go", "run", "ask.go"], ["java", "Ask.java"]],
    ids=lambda c: c[0],
)
def test_other_languages(command):
    """Each prints what Keras gives, in an alphabet that needs escapes."""
    from running_server import listening, tiny_app
    from served_models import language_model

    if not shutil.which(command[0]):
        pytest.skip(f"no {command[0]} to run examples/09 with")
    lm, prompt = language_model("llama"), 'naïve "日本"\n\t\\ 🙂'
    with listening(tiny_app(lm)) as address:
        ask = functools.partial(client, command, address)
        found = ask(prompt)
        wrong = ask(prompt * 100)  # does not fit the context
    assert not found.returncode, found.stderr.decode()
    assert found.stdout.decode() == lm.generate(prompt, max_new_tokens=32)
    assert wrong.returncode == 1 and b"Expected" in wrong.stderr


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of packages that the harness loads
def test_lm_eval(trained, workplace):
    pytest.importorskip("lm_eval")
    said = run("10*")
    found = json.loads(Path("runs/lm_eval.json").read_text())
    bits = found["wikitext_2_valid"]["bits_per_byte,none"]
    pages = [
        json.loads(line)["page"]
        for line in (workplace / "runs/wikitext.jsonl").open()
    ]
    lm = kl.CausalLM.load(workplace / "runs/mine/model")
    ours = kl.evaluate.bits_per_byte(lm.model, lm.tokenizer, pages)
    assert bits == pytest.approx(ours.bits_per_byte, rel=0.05)
    assert "bits_per_byte" in said
