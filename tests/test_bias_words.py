"""Words are found and swapped as written; counterfactuals and templates."""

import json
import re
import sys

import numpy as np
import pytest
from bias_subjects import RandomSubject
from scipy import stats

from keras_llm.errors import InputError
from keras_llm.evaluate import Finding, counterfactual, template_gaps
from keras_llm.evaluate.bias import Swap, Terms, load_swaps, load_words
from keras_llm.evaluate.bias.terms import lowered
from keras_llm.evaluate.corrections import holm
from keras_llm.evaluate.statistics import cohens_d, sign_flip_test
from keras_llm.evaluate.subject import Likelihood, ScoredTokens


def test_terms_are_what_a_plain_search_finds(shared_data):
    words = load_words()
    terms = [
        t for kind in words.groups.values() for g in kind.values() for t in g
    ]
    path = shared_data / "gutenberg" / "Moby-Dick--Or-The-Whale_2701.txt"
    text = path.read_text(encoding="utf-8")[:300_000]
    longest = sorted(set(terms), key=len, reverse=True)
    choice = "|".join(re.escape(t).replace(r"\ ", r"\s+") for t in longest)
    found = {
        (m.start(), m.end())
        for m in re.finditer(rf"\b(?:{choice})\b", text, re.IGNORECASE)
    }
    ours = {(one.start, one.end): one.term for one in Terms(terms).find(text)}
    assert set(ours) <= found and len(ours) > 2000
    for start, _ in found - set(ours):
        assert text[start].islower()  # a name where the text has a word
    for (start, end), term in ours.items():
        assert " ".join(text[start:end].lower().split()) == term.lower()


def test_every_letter_keeps_its_place():
    letters = "".join(
        chr(code)
        for code in range(sys.maxunicode + 1)
        if not 0xD800 <= code < 0xE000
    )
    assert len(lowered(letters)) == len(letters)


@pytest.mark.parametrize(
    ("terms", "sentence"),
    [
        ([], "Received: 'none'"),
        (["she", "Mr."], r"Received: 'Mr\.'"),
        (["Mark", "mark"], "Received: 'Mark' and 'mark'"),
    ],
)
def test_terms_that_cannot_be_found(terms, sentence):
    with pytest.raises(InputError, match=sentence):
        Terms(terms)


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("He saw her.", "She saw him."),
        ("Her brother gave her his coat.", "His sister gave him her coat."),
        ("The coat is his, not hers.", "The coat is hers, not his."),
        ("I met HIM. He's kind.", "I met HER. She's kind."),
        ("She told her to wait.", "He told him to wait."),
        ("Mr. Smith is an heir.", "Mrs. Smith is an heiress."),
        ("Miss Smith is a duchess", "Mr Smith is a duke"),
        ("The theme of the hero", "The theme of the heroine"),
        ("Gentlemen\nand boys", "Ladies\nand girls"),
        ("", ""),
        ("Nobody.", "Nobody."),
    ],
)
def test_gender_is_swapped(text, swapped):
    assert load_swaps()["gender"](text).text == swapped


def test_names_articles_and_counts():
    swaps = load_swaps()
    other = swaps["names"]("John and JOHN met Mary, a john.")
    assert other == ("Jennifer and JENNIFER met James, a john.", 2, 1)
    american = swaps["american_mexican"]
    assert american("An American is an ox.").text == "A Mexican is an ox."
    assert american("A Mexican. A MEXICAN").text == "An American. An AMERICAN"
    ukrainian = Swap("x", ("a", "b"), [("Mexican", "Ukrainian")])
    assert ukrainian("a Mexican").text == "a Ukrainian"
    assert ukrainian("No Mexican").text == "No Ukrainian"


@pytest.mark.parametrize("name", sorted(load_swaps()))
def test_unambiguous_words_come_back(name):
    swap = load_swaps()[name]
    for first in ("James", "boys", "Christian", "America", "Emily", "king"):
        there = swap(f"The {first} and the {first}!")
        assert swap(there.text).text == f"The {first} and the {first}!"


def test_her_is_told_apart_in_real_text(shared_data):
    """From real "him" and "his": made "her", then swapped back."""
    swap = load_swaps()["gender"]
    text = (shared_data / "wikitext2" / "valid.txt").read_text("utf-8")
    right = []
    for match in re.finditer(r"\b(him|his)\b", text):
        after = text[match.end() : match.end() + 40]
        guess = re.search("him|his", swap(f"saw her{after}").text)
        right.append(guess is not None and guess[0] == match[0])
    assert len(right) > 800
    assert np.mean(right) > 0.92  # 0.934: what docs/bias.md says


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("food: {groups: [a, b], pairs: [[apple]]}", "for food in"),
        ("food: {pairs: [[apple, pear]]}", "groups: .one, other."),
        ("food: {groups: [a, b], pairs: []}", "two words each"),
        ("food: {groups: [a, b], pairs: [[no, yes]]}", "in quotes"),
        ("food: {groups: [a, b], pairs: [[x, y], [y, z]]}", "'y' on both"),
    ],
)
def test_mistakes_in_a_file_of_swaps(write, text, sentence):
    with pytest.raises(InputError, match=sentence):
        load_swaps(write(text.encode(), "swaps.yaml"))


def test_files_of_one_s_own(write, tmp_path):
    own = b"food:\n  groups: [a, b]\n  pairs: [[apple, pear]]\n"
    assert load_swaps(write(own, "s.yaml"))["food"].groups == ("a", "b")
    with pytest.raises(InputError, match="which is none"):
        load_swaps(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="which is none"):
        load_words(tmp_path / "none.yaml")
    lists = b"groups: {age: {old: [elderly]}}"
    assert load_words(write(lists, "w.yaml")).near == {}
    for wrong, sentence in {
        b"near: {}": "Expected `groups`",
        b"groups: {age: {old: [no]}}": "under age",
        b"groups: {age: {old: x}}": "under age",
        b"groups: {}": "at least one kind",
        b"groups: {}\nnext: {}": "Received: groups, next",
    }.items():
        with pytest.raises(InputError, match=sentence):
            load_words(write(wrong, "w.yaml"))


TEXTS = [f"{who} is {what}." for who in ("He", "She") for what in "abcdefghij"]


class Prefers(RandomSubject):
    """Finds texts about her likelier by a nat, and some more noise."""

    def token_scores(self, texts):
        return [
            ScoredTokens(
                text.split(),
                np.array([np.nan, 0.5 * ("She" in text), 0.5, *noise(text)]),
            )
            for text in texts
        ]


def noise(text):
    return [0.5 * ("She" in text) + 0.01 * ord(text[-2]) * ("He" in text)]


def test_differences_are_signed_by_group():
    report = counterfactual(
        Prefers(), TEXTS, {"gender": load_swaps()["gender"]}
    )
    (row,) = report.rows
    gaps = np.array([pair.nats for pair in report.pairs["gender"]])
    assert row["pairs"] == len(TEXTS) and row["skipped"] == 0
    expected = [0.01 * ord(text[-2]) - 1 for text in TEXTS]
    assert gaps == pytest.approx(expected)
    assert row["nats"] == pytest.approx(np.mean(expected))
    assert row["stderr"] == pytest.approx(stats.sem(expected))
    by_origin = np.reshape(expected, (2, -1)).mean(axis=1)
    assert (row["from_first"], row["from_second"]) == pytest.approx(by_origin)
    assert report.pairs["gender"][0].original == "male"
    d = np.mean(expected) / np.std(expected, ddof=1)
    assert row["effect_size"] == pytest.approx(d)
    assert row["nats_per_token"] == pytest.approx(row["nats"] / 3)
    interval = stats.bootstrap((gaps,), np.mean, method="percentile", rng=0)
    assert (row["low"], row["high"]) == pytest.approx(
        tuple(interval.confidence_interval), abs=0.002
    )
    assert isinstance(report, Finding)
    assert json.loads(json.dumps(report.to_dict()))["pairs"]["gender"][0]
    assert "nats" in report.blocks()[-1].rows[0]


def test_all_swaps_are_corrected_together():
    texts = [*TEXTS, "John met James.", "An American met Mary.", "Nobody."]
    report = counterfactual(RandomSubject(), texts)
    rows = {row["swap"]: row for row in report.rows}
    assert rows["gender"]["pairs"] == len(TEXTS)
    assert rows["names"]["pairs"] == 2
    assert rows["christian_muslim"] == {
        "swap": "christian_muslim",
        "groups": ("christian", "muslim"),
        "pairs": 0,
        "skipped": len(texts),
    }
    tested = [row for row in report.rows if row["pairs"]]
    expected = holm([row["p_value"] for row in tested])
    assert [row["p_holm"] for row in tested] == expected
    assert rows["american_mexican"]["effect_size"] is None
    assert report.measures()["counterfactual_names/nats"].count == 2
    assert len(report.blocks()[1].rows) == len(rows)


def test_a_text_about_both_is_left_out_or_about_the_more_frequent():
    gender = {"gender": load_swaps()["gender"]}
    texts = ["He met her.", "He met her and him."]
    report = counterfactual(RandomSubject(), texts, gender)
    assert report.rows[0]["skipped"] == 1
    assert report.pairs["gender"][0].first == texts[1]
    with pytest.raises(InputError, match="1 texts without"):
        counterfactual(RandomSubject(), ["Nobody."])


def test_effect_sizes_that_are_none():
    assert cohens_d(np.array([1.0])) is None
    assert cohens_d(np.array([1.0, 1.0])) is None


def test_a_model_that_gives_no_number_is_refused():
    class Broken(RandomSubject):
        name = "broken"

        def likelihoods(self, requests):
            return [Likelihood(np.nan, False) for _ in requests]

        def token_scores(self, texts):
            numbers = np.array([-1.0, np.nan])
            return [ScoredTokens(["a", "b"], numbers) for _ in texts]

    with pytest.raises(InputError, match="Expected broken to say"):
        template_gaps(Broken())
    with pytest.raises(InputError, match="no number for 'He is a.'"):
        counterfactual(Broken(), TEXTS)


@pytest.mark.parametrize("count", [2, 5, 12, 40, 400])
def test_signs_are_flipped_as_scipy_does(count):
    gaps = np.random.default_rng(count).normal(1.0 / np.sqrt(count), 1, count)
    expected = stats.permutation_test(
        (gaps,),
        np.mean,
        permutation_type="samples",
        n_resamples=9999,
        rng=np.random.default_rng(0),
    )
    exact = count < 13
    found = sign_flip_test(gaps, 9999)
    assert found == pytest.approx(expected.pvalue, abs=0 if exact else 0.02)


def test_no_differences_have_no_p_value():
    assert sign_flip_test(np.zeros(50)) == 1
    with pytest.raises(InputError, match="at least one difference"):
        sign_flip_test(np.zeros(0))


class Odd(RandomSubject):
    """Finds old lawyers two nats odder than others, and all else alike."""

    def likelihoods(self, requests):
        return [
            Likelihood(
                -3.0 if "old" in r.context and "law" in r.continuation else -1,
                False,
            )
            for r in requests
        ]


def test_templates_compare_what_follows_the_group():
    report = template_gaps(
        Odd(),
        ["The {group} one is a {x}.", "A {x} met a {group} man."],
        ["old", "young"],
        {"x": ["lawyer", "nurse"]},
    )
    assert report.sentences == [
        "The {group} one is a lawyer.",
        "The {group} one is a nurse.",
        "A lawyer met a {group} man.",
        "A nurse met a {group} man.",
    ]
    assert report.gaps == [[1, 0, 0, 0], [-1, 0, 0, 0]]
    assert [row["gap"] for row in report.rows] == [0.25, -0.25]
    whole = [text.replace("{group}", "old") for text in report.sentences]
    nats = -sum(Odd().rolling(whole)) / sum(len(t.split()) for t in whole)
    assert report.rows[0]["perplexity"] == pytest.approx(np.exp(nats))
    measures = report.measures()
    assert measures["template_gaps/widest"].value == 0.5
    assert measures["template_gaps/old"].count == 4
    assert isinstance(report, Finding)
    json.dumps(report.to_dict())
    words, table, picture = report.blocks()
    assert [row["group"] for row in table.rows] == ["old", "young"]
    labels = picture.figure.axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == ["lawyer", "nurse"]
    assert picture.figure.axes[0].texts[0].get_text() == "0.5"


def test_the_default_templates_are_sound():
    report = template_gaps(RandomSubject())
    assert len(report.sentences) == 30 and len(report.groups) == 12
    assert np.allclose(np.mean(report.gaps, axis=0), 0)
    p_values = [row["p_value"] for row in report.rows]
    assert [row["p_holm"] for row in report.rows] == holm(p_values)
    assert not any(" a a" in text.lower() for text in report.sentences)


@pytest.mark.parametrize(
    ("templates", "groups", "sentence"),
    [
        (["The {x}."], ["a", "b"], "once in each template"),
        (["A {group}"], ["a", "b"], "with text after it"),
        (["{group} {group} x"], ["a", "b"], "once in each template"),
        (["{group} {job}."], ["a", "b"], "fillers for {job}"),
        (["{group} x."], ["a"], "at least two different groups"),
        (["{group} x."], ["a", "a"], "at least two different groups"),
        ([], ["a", "b"], "0 templates"),
    ],
)
def test_mistakes_in_templates(templates, groups, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        template_gaps(RandomSubject(), templates, groups)
