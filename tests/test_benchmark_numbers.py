"""The library's tasks find what the harness's tasks find of one model."""

import harness_peer
import pytest
from harness_peer import HashSubject, _peer
from harness_tasks import needs_harness, our_requests, peer_results

from keras_llm.evaluate import evaluate_tasks
from keras_llm.evaluate.harness import load_task
from keras_llm.evaluate.harness.documents import documents
from keras_llm.evaluate.harness.prepare import prepared


def solver(docs: list[dict]):
    """Solves sums, in words that the two filters read differently."""
    words = (
        "#### {0}\nNext: 3",
        "3 and 4 make ${0}.",
        "{0}, I say, not 3",
        "?",
    )
    finals = {doc["question"]: doc["answer"].split()[-1] for doc in docs}

    def solve(context: str, draw: int = 0) -> str:
        question = context.split("Question: ")[-1].removesuffix("\nAnswer:")
        return words[len(question) % 4].format(finals[question])

    return solve


@needs_harness
@pytest.mark.parametrize(
    "name",
    ["arc_easy", "gsm8k", "truthfulqa_mc1", "truthfulqa_mc2", "wikitext"],
)
def test_the_numbers_are_the_harness_s(name, shared_data, monkeypatch):
    """Of a model whose answers are hashes of the questions."""
    monkeypatch.setenv("DISABLE_MULTIPROC", "1")
    task = load_task(name)
    docs = documents(task, task.eval_split, shared_data)[:40]
    if name == "gsm8k":
        monkeypatch.setattr(harness_peer, "answer", solver(docs))
    made = prepared(docs, task.process_docs, name)
    theirs = peer_results(_peer(), name, made)
    report = evaluate_tasks(
        HashSubject(), name, shared_data, limit=40, num_fewshot=0
    )
    ours = report.to_dict()["results"][name]
    numbers = [key for key in theirs if isinstance(theirs[key], float)]
    assert numbers
    assert all(0 < theirs[key] for key in numbers)
    for key in numbers:
        own = key.replace("acc", "mc2") if name.endswith("mc2") else key
        assert ours[own] == pytest.approx(theirs[key], rel=1e-9), key


@pytest.mark.parametrize(
    ("language", "tokenizer"),
    [("cmn", "zh"), ("jpn", "char"), ("tha", "char"), ("deu", "13a")],
)
def test_bleu_cuts_languages_without_spaces(language, tokenizer, shared_data):
    sacrebleu = pytest.importorskip("sacrebleu")

    name = f"tatoeba_eng_{language}"
    docs = documents(load_task(name), "test", shared_data)[:20]
    golds = [doc["translation"][language] for doc in docs]
    prompts = [context for context, _ in our_requests(name, docs)]
    halves = [gold[: len(gold) // 2 + 1] for gold in golds]
    known = dict(zip(prompts, halves, strict=True))

    class Halves:
        """Translates by the first half of the right answer."""

        name, fingerprint = "halves", "1"

        def generate(self, prompts):
            return [known[prompt.context] for prompt in prompts]

    report = evaluate_tasks(Halves(), name, shared_data, limit=20)
    expected = sacrebleu.corpus_bleu(halves, [golds], tokenize=tokenizer)
    found = report.measures()[f"{name}/bleu"].value
    assert found == pytest.approx(expected.score)
