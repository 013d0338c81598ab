"""Answers are right by the published rules of SQuAD, restated here."""

import collections
import json
import random
import re
import string

import pytest

from keras_llm.evaluate import exact_match, normalize_answer, token_f1


def published_normal(text):
    """The steps of the SQuAD 2.0 script, one after the other."""
    text = text.lower()
    text = "".join(sign for sign in text if sign not in string.punctuation)
    text = re.sub(r"\b(a|an|the)\b", " ", text)
    return " ".join(text.split())


def published_f1(gold, said):
    gold, said = (published_normal(text).split() for text in (gold, said))
    common = collections.Counter(gold) & collections.Counter(said)
    same = sum(common.values())
    if len(gold) == 0 or len(said) == 0:
        return int(gold == said)
    if same == 0:
        return 0
    precision, recall = same / len(said), same / len(gold)
    return (2 * precision * recall) / (precision + recall)


def published(golds, said):
    golds = [gold for gold in golds if published_normal(gold)] or [""]
    exact = [published_normal(gold) == published_normal(said) for gold in golds]
    return max(map(int, exact)), max(published_f1(gold, said) for gold in golds)


def perturbed(answer, context, drawn):
    """Answers as models give them: right, dressed up, cut, wrong, none."""
    words = answer.split()
    return drawn.choice(
        [
            answer,
            f"The {answer.upper()}.",
            " ".join(words[:-1]),
            f"{answer} and {' '.join(context.split()[:3])}",
            " ".join(context.split()[5:9]),
            "",
        ]
    )


def test_real_answers_score_as_in_the_published_script(shared_data):
    drawn = random.Random(0)
    path = shared_data / "xquad/xquad.en.json"
    data = json.loads(path.read_text("utf-8"))["data"]
    seen = set()
    for paragraph in (one for article in data for one in article["paragraphs"]):
        for question in paragraph["qas"]:
            golds = [answer["text"] for answer in question["answers"]]
            golds += [golds[0] + " " + golds[0].split()[0]]
            golds = drawn.choice([golds, golds[:1], [], ["", *golds]])
            answer = golds[-1] if golds else "no answer"
            said = perturbed(answer, paragraph["context"], drawn)
            exact, f1 = published(golds, said)
            assert exact_match(said, golds) == exact
            assert token_f1(said, golds) == pytest.approx(f1, abs=1e-12)
            seen.add((exact, 0 < f1 < 1))
    assert seen == {(0, False), (0, True), (1, False)}


def test_one_reference_may_be_a_string():
    assert exact_match("An apple", "apple") == 1.0
    assert token_f1("red apple", "apple") == pytest.approx(2 / 3)


def test_no_answer_is_right_where_there_is_none():
    for none in ([], "", [""], ["the", "!"]):
        assert exact_match("", none) == token_f1(" The!", none) == 1.0
        assert exact_match("x", none) == token_f1("x", none) == 0.0
    assert token_f1("", ["x"]) == 0.0


def test_articles_go_as_words_only():
    assert normalize_answer("Anathema, the theatre: a-b") == (
        "anathema theatre ab"
    )
