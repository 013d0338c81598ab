"""Error analysis: planted weaknesses are found, chance is not."""

import json

import numpy as np
import pytest

from keras_llm.errors import InputError
from keras_llm.evaluate import (
    Code,
    EvaluatedItem,
    Finding,
    Group,
    HeatMap,
    Picture,
    ScoredTokens,
    Table,
    compare_groups,
    count_words,
    embedding_groups,
    find_mistakes,
    item_groups,
)
from keras_llm.evaluate.grouping import question_word, rare_words

WORDS = "the cat sat on a mat and saw that dog run".split()


def random_items(seed: int, count: int = 400, weak: str | None = None):
    """Items of four sources; those of `weak` are mostly wrong."""
    random = np.random.default_rng(seed)
    items = []
    for number in range(count):
        source = ["news", "law", "mail", "code"][number % 4]
        right = random.random() < (0.2 if source == weak else 0.7)
        text = " ".join(random.choice(WORDS, random.integers(3, 30)))
        items.append(EvaluatedItem(text, float(right), source=source))
    return items


def test_a_planted_weakness_is_found_and_said():
    report = find_mistakes(random_items(3, weak="law"), name="sums")
    assert [group.name for group in report.worse] == ["law"]
    assert report.groups[0].name == "law"
    (said,) = report.suggestions()
    assert said.startswith("Add texts from law: acc is 0.")
    assert "on these 100 items" in said and "after Holm" in said
    measures = report.measures()
    assert measures["sums/worse_groups"].value == 1
    assert measures["sums/worst_group_acc"].value == report.groups[0].mean
    assert measures["sums/worst_group_acc"].count == 100


def test_a_loss_is_worse_where_it_is_higher():
    items = [
        item._replace(value=1 - item.value)
        for item in random_items(3, weak="law")
    ]
    report = find_mistakes(items, "loss", higher_is_better=False)
    assert [group.name for group in report.worse] == ["law"]
    assert report.worst[0].value == 1 and report.groups[0].difference > 0
    assert not report.measures()["mistakes/worst_group_loss"].higher_is_better


def test_chance_is_no_finding():
    false = 0
    for seed in range(60):
        items = random_items(seed, 200)
        values = np.array([item.value for item in items])
        found = compare_groups(values, item_groups(items), resamples=499)
        false += any(group.p_value < 0.05 for group in found)
    assert false <= 7  # 60 at 5 %: more than 7 once in 60 such tests


@pytest.mark.parametrize("binary", [True, False])
def test_groups_are_compared_as_scipy_does(binary):
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(1)
    values = random.random(120)
    mask = random.random(120) < 0.3
    values[mask] -= 0.12
    values = (values > 0.5).astype("float64") if binary else values
    (found,) = compare_groups(values, [Group("a", "b", mask)], seed=2)
    inside, rest = values[mask], values[~mask]
    oracle = stats.permutation_test(
        (inside, rest),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        n_resamples=9_999,
        vectorized=True,
        rng=np.random.default_rng(3),
    )
    welch = stats.ttest_ind(inside, rest, equal_var=False)
    assert found.difference == pytest.approx(oracle.statistic, abs=1e-12)
    # scipy doubles the smaller tail; both are random
    assert found.p_value == pytest.approx(oracle.pvalue, abs=0.04)
    error = found.difference / welch.statistic
    assert found.interval.high - found.difference == pytest.approx(
        stats.norm.ppf(0.975) * error, rel=1e-5
    )


def test_p_values_of_zero_and_one_are_what_the_shuffles_say():
    stats = pytest.importorskip("scipy.stats")
    values = np.array([0.0] * 3 + [1.0] * 3)
    half = Group("a", "b", np.arange(6) < 3)
    (found,) = compare_groups(values, [half], least=2)
    exact = stats.fisher_exact([[0, 3], [3, 0]]).pvalue
    assert found.p_value == pytest.approx(exact, abs=0.01)
    (same,) = compare_groups(np.ones(6), [half], least=2)
    assert same.p_value == 1.0 and same.difference == 0.0


def test_small_groups_are_left_out():
    report = find_mistakes(random_items(1, 60), least=20)
    assert not [g for g in report.groups if g.trait == "source"]
    few = find_mistakes(random_items(1, 20))
    assert not few.groups and set(few.measures()) == {"mistakes/worse_groups"}
    assert "No group was large enough" in few.blocks()[0].text


def test_groups_of_length_hold_every_item_once():
    groups = item_groups(random_items(5, 100))
    lengths = [group for group in groups if group.trait == "length"]
    assert len(lengths) == 4
    assert np.sum([group.members for group in lengths], axis=0).tolist() == (
        [1] * 100
    )


def test_rare_words_are_those_outside_of_the_corpus():
    corpus = count_words(["the cat sat on the mat"] * 9 + ["a quark"])
    items = [EvaluatedItem("the cat sat", 1.0)] * 5
    items += [EvaluatedItem("the quark sat", 0.0)] * 5
    groups = [g for g in item_groups(items, corpus) if g.trait == "rare words"]
    assert [group.name for group in groups] == [
        "0 % of the words",
        "33 % of the words",
    ]
    assert groups[1].such_as == ("quark",)
    assert rare_words({})("x")  # where nothing is known, all is rare


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("What is it? It is big.", "what"),
        ("How? And how much is it?", "how much"),
        ("Is it big?", None),
        ("That is what it is.", None),
        ("", None),
    ],
)
def test_the_question_word_is_that_of_the_last_question(text, word):
    assert question_word(text) == word


def test_question_words_and_labels_are_groups():
    items = [EvaluatedItem("Who is it?", 1.0, label="a")] * 3
    items += [EvaluatedItem("It is Bob.", 1.0, label="b")] * 3
    names = {(g.trait, g.name) for g in item_groups(items)}
    assert ("question word", "who") in names
    assert ("question word", "none") in names
    assert ("label", "a") in names and ("label", "b") in names


def test_embeddings_become_groups():
    pytest.importorskip("sklearn")
    texts = ["a cat purrs", "the cat naps", "a stock falls", "the stock rises"]
    items = [EvaluatedItem(text, 1.0) for text in texts * 5]
    groups = embedding_groups(
        items,
        lambda texts: np.array([[float("cat" in text)] for text in texts]),
        clusters=2,
    )
    assert {group.name.split(", ")[0] for group in groups} == {"cat", "stock"}
    with pytest.raises(InputError, match="Received: 8 for 2 items"):
        embedding_groups(items[:2], lambda texts: np.zeros((2, 1)))


class Reader:
    """A subject that needs a nat for each letter of a word."""

    name, fingerprint = "reader", "1"

    def token_scores(self, texts):
        return [
            ScoredTokens(
                [f" {word}" for word in text.split()],
                np.array([-float(len(word)) for word in text.split()]),
            )
            for text in texts
        ]


def test_the_worst_items_come_first_with_their_tokens():
    items = [
        EvaluatedItem("all is right", 1.0, loss=9.0),
        EvaluatedItem("nearly", 0.0, loss=0.5, answer="no", label="yes"),
        EvaluatedItem("very wrong indeed", 0.0, loss=5.0),
        EvaluatedItem("no loss known", 0.0),
    ]
    report = find_mistakes(items, subject=Reader(), worst=3)
    assert report.numbers == [2, 1, 3]
    maps = [one for one in report.blocks() if isinstance(one, HeatMap)]
    assert maps[0].tokens == [" very", " wrong", " indeed"]
    assert maps[0].values == [4.0, 5.0, 6.0]
    texts = [getattr(one, "text", "") for one in report.blocks()]
    assert "Item 1: acc 0, loss 0.50 nats, expected yes, answer no." in texts
    plain = find_mistakes(items, worst=1).blocks()
    assert [b.text for b in plain if isinstance(b, Code)] == [items[2].text]


def test_it_is_a_finding_with_a_picture():
    pytest.importorskip("matplotlib")
    report = find_mistakes(random_items(3, weak="law"))
    assert isinstance(report, Finding) and report.title == "Mistakes: mistakes"
    kinds = [type(block) for block in report.blocks()]
    assert Table in kinds and Picture in kinds
    saved = json.loads(json.dumps(report.to_dict()))
    assert saved["groups"][0]["name"] == "law" and len(saved["worst"]) == 10


@pytest.mark.parametrize(
    ("items", "groups", "said"),
    [
        ([], None, "at least one item"),
        ([EvaluatedItem("a", float("nan"))], None, "nan of item 0"),
        (
            [EvaluatedItem("a", 1.0)],
            [Group("a", "b", np.ones(2, bool))],
            r"shape \(1,\).*shape \(2,\)",
        ),
    ],
)
def test_what_cannot_be_analysed_is_refused(items, groups, said):
    with pytest.raises(InputError, match=said):
        find_mistakes(items, groups=groups)


def test_scikit_learn_is_asked_for(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    items = [EvaluatedItem("a", 1.0)] * 3
    with pytest.raises(InputError, match=r"keras_llm\[eval\]"):
        embedding_groups(items, lambda texts: np.zeros((3, 1)), 2)


def test_another_domain_is_found_in_real_reviews(shared_data):
    """A classifier that saw no films is worse on films, and we say so."""
    sklearn = pytest.importorskip("sklearn.linear_model")
    from sklearn.feature_extraction.text import TfidfVectorizer

    rows = []
    for path in sorted((shared_data / "uci_sentiment").glob("*labelled.txt")):
        for line in path.read_text(encoding="utf-8").split("\n"):
            text, tab, label = line.rpartition("\t")
            if tab:
                rows.append((path.stem.split("_")[0], text, label))
    train = [row for row in rows[::2] if row[0] != "imdb"]
    test = rows[1::2]
    words = TfidfVectorizer().fit([text for _, text, _ in train])
    model = sklearn.LogisticRegression().fit(
        words.transform([text for _, text, _ in train]),
        [label for _, _, label in train],
    )
    said = model.predict(words.transform([text for _, text, _ in test]))
    items = [
        EvaluatedItem(text, float(label == answer), None, source, label)
        for (source, text, label), answer in zip(test, said, strict=True)
    ]
    report = find_mistakes(items, name="reviews")
    assert ("source", "imdb") in {(g.trait, g.name) for g in report.worse}
