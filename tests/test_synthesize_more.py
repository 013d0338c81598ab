"""Self-instruct, a model of our own, and the verb `keras-llm synthesize`."""

import json

import pytest
from canned_server import running
from test_cli_corpus import run
from writing_server import writing

from keras_llm.data import Document
from keras_llm.errors import InputError
from keras_llm.evaluate import KerasSubject
from keras_llm.synthesize import (
    FromDocuments,
    Generator,
    Novelty,
    SelfInstruct,
    SynthesisSettings,
    synthesize,
)
from keras_llm.tune import read_conversations, read_labelled

SEEDS = [
    Document(f"Write a short poem about {what}.", "seeds")
    for what in ("rain", "the old sea", "a lost key")
]
ANY = {"same_language": False, "near_duplicates": None}


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_novelty_is_the_published_rouge():
    rouge = pytest.importorskip("rouge_score.rouge_scorer")
    scorer = rouge.RougeScorer(["rougeL"])
    texts = [
        *("Name three colours of the rainbow.", "Name a river of Spain!"),
        *("Why is the sky blue, and the sea?", "Of the rainbow name colours"),
        *("", "日本の川", "Sort 3 1 2, then say why."),
    ]
    for text in texts:
        known = Novelty(texts[:4])
        best = max(
            scorer.score(one, text)["rougeL"].fmeasure for one in texts[:4]
        )
        assert known.likeness(text) == pytest.approx(best)
        if best > 0.5:  # what is passed over could not have reached it
            assert known.likeness(text, 0.5) == pytest.approx(best)


def test_instructions_are_new_or_they_go(tmp_path):
    pytest.importorskip("rouge_score")
    topics = iter(
        [
            *("Explain how bees find their way home at night.",) * 2,
            *("Draw a picture of a house and a tree.", "Be nice."),
            "Write a short poem about the rain.",
            "List five cheap meals for a family of four.",
        ]
    )

    def model(prompt):
        if "new ones" not in prompt:
            return f"A response of some length to it: {prompt}"
        return json.dumps([{"instruction": t} for t in topics]) or "[]"

    settings = SynthesisSettings(limit=2, concurrency=1, **ANY)
    out = tmp_path / "out"
    report = synthesize(SelfInstruct(), SEEDS, model, out, settings)
    asked = [
        talk.messages[0]["content"]
        for talk in read_conversations(out / "examples.jsonl")
    ]
    assert asked == [
        "Explain how bees find their way home at night.",
        "List five cheap meals for a family of four.",
    ]
    dropped = dict(report.steps[0].dropped)
    assert 1 <= dropped.pop("no JSON with all fields") <= 5
    assert dropped == {
        "ROUGE-L of 0.7 or more with another": 2,
        "instruction asks for more than text": 1,
        "instruction not of 4 to 150 words": 1,
    }


def test_self_instruct_ends_where_nothing_new_comes(tmp_path):
    pytest.importorskip("rouge_score")
    with pytest.raises(InputError, match="good example"):
        synthesize(
            *(SelfInstruct(), SEEDS, lambda p: "[]", tmp_path),
            SynthesisSettings(**ANY),
        )
    # Three rounds of eight prompts; three seeds have six orders.
    assert 9 <= len(lines(tmp_path / "rejects.jsonl")) <= 18


@pytest.fixture(scope="module")
def lm():
    import keras

    from keras_llm import CausalLM, DecoderConfig, build_decoder
    from keras_llm.tokenizers import HostTokenizer

    keras.utils.set_random_seed(1)
    words = HostTokenizer.train(["a rose is a rose"], 261)
    sizes = {"context_length": 64, "num_layers": 1, "hidden_dim": 8}
    config = DecoderConfig(vocabulary_size=261, num_heads=2, **sizes)
    return CausalLM(build_decoder(config), words)


def test_a_model_of_our_own_answers(lm, tmp_path):
    settings = SynthesisSettings(max_new_tokens=8)
    log = tmp_path / "log.jsonl"
    subject = KerasSubject(lm)
    first = Generator(subject, settings, log)
    prompts = ["a rose", "is", "x" * 60]
    answers = first.ask(prompts)
    whole = "<|endoftext|><|user|>a rose<|end|><|assistant|>"
    ids = lm.tokenizer.encode(whole, allowed_special="all")
    assert answers[0].tokens_in == len(ids)
    assert 0 < answers[0].tokens_out <= 8
    assert answers[2].refused == (
        "the question is longer than the model's context"
    )
    # Another order and other company: the same numbers are drawn.
    alone = Generator(subject, settings).ask(["is"])[0]
    assert alone == answers[1]
    again = Generator(lm, settings, log)
    assert again.ask(prompts[:2]) == answers[:2] and again.new == 0
    greedy = first.ask(["a rose"], temperature=0.0)[0].text
    talk = [{"role": "user", "content": "a rose"}]
    assert greedy == "".join(lm.chat(talk, max_new_tokens=8, temperature=0))


def test_a_model_with_a_chat_template_is_asked_by_it(lm):
    asked = []

    class Chats:
        name, fingerprint = "chats", "1"

        def likelihoods(self, requests):
            return []

        rolling = token_scores = likelihoods

        def generate(self, prompts):
            asked.extend(one.context for one in prompts)
            return ["yes"] * len(prompts)

        def chat_prompt(self, messages):
            return f"<{messages[0]['role']}>{messages[0]['content']}<bot>"

    found = Generator(Chats()).ask(["Well?"])
    assert asked == ["<user>Well?<bot>"] and found[0].text == "yes"


def test_the_verb_makes_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").mkdir()
    for town in ("Bath", "Ghent"):
        text = f"{town} is an old town on a river, and sells bread."
        (tmp_path / "notes" / f"{town}.txt").write_text(text)
    pair = {"instruction": "What is sold in the town by the river?"}
    handler = writing(
        lambda prompt, body: json.dumps(
            pair | {"response": f"Bread. {len(prompt)}"}
        )
    )
    with running(handler) as server:
        words = (
            *("synthesize", "questions", "notes", "--any-language"),
            *("--model", f"http://127.0.0.1:{server.server_port}/v1"),
            *("--output", "made", "--per-document", "1", "--prices", "1,2"),
        )
        shown = run(*words, "--dry-run")
        assert "Write 1 different questions" in shown.stdout
        assert "The first of 2 prompts" in shown.stdout
        assert not handler.asked and not (tmp_path / "made").exists()
        shown = run(*words)
    assert shown.exit_code == 0, shown.output
    assert len(handler.asked) == 2
    assert "keras-llm finetune chat runs/model --data made/" in shown.stdout
    assert "cost" in shown.stdout
    found = list(read_conversations(tmp_path / "made" / "examples.jsonl"))
    assert len(found) == 1  # nearly the same


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("poems", "a.txt"), "the kind of data to be one of"),
        (("rephrase", "a.txt"), "Expected --model: http://"),
        (("rephrase", "a.txt", "--copies", "2"), "--copies with augment"),
        (("augment", "a.txt", "--style", "qa"), "--style with rephrase"),
        (("prefer", "a.txt", "--prices", "2"), "two prices with a comma"),
        (("augment", "a.txt", "--via", "German"), "--model and --via together"),
        (("rephrase", "a.txt", "--style", "loud"), "style to be one of"),
        (("reflect", "none.jsonl"), "Expected a file of examples"),
    ],
)
def test_mistakes_of_the_verb(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("Some text to be used.")
    answer = run("synthesize", *words)
    assert answer.exit_code == 2 and said in answer.stderr


def test_the_verb_augments_after_the_split(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        {"text": f"Message {n} is here for you, friend", "label": "ab"[n % 2]}
        for n in range(60)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ("augment", "a.jsonl", "--output", "out", "--hold-out", "0.3")
    answer = run("synthesize", *words, "--noises", "keyboard,case")
    assert answer.exit_code == 0, answer.output
    train, held = (
        [(row.text, *row.labels) for row in read_labelled(tmp_path / path)]
        for path in ("out/train.jsonl", "out/validation.jsonl")
    )
    given = {(row["text"], row["label"]) for row in rows}
    real = [row for row in train if row in given]
    assert {*real} | {*held} == given and not {*real} & {*held}
    assert len(train) == 3 * len(real) and len(held) > 5


def test_prompts_can_be_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("Of a town.")
    (tmp_path / "mine.txt").write_text("Ask {count} of: {document}")
    answer = run(
        *("synthesize", "questions", "a.txt", "--dry-run"),
        *("--prompt", "mine.txt"),
    )
    assert answer.stdout.startswith("Ask 3 of: Of a town.")
    assert FromDocuments(prompt="{document}").templates() == ("{document}",)
