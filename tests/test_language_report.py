"""Perplexity and bits per byte beside the harness and brute force."""

import math

import numpy as np
import pytest

from keras_llm.data import Document
from keras_llm.errors import InputError
from keras_llm.evaluate import (
    Finding,
    HeatMap,
    ScoredTokens,
    Table,
    language_report,
    rolling_windows,
    write_report,
)
from keras_llm.evaluate.language_sums import PASSAGE, ratio_error
from keras_llm.evaluate.statistics import resampled


class Letters:
    """One token a letter; how likely it is depends on the letter alone."""

    name, fingerprint = "letters", "1"

    def token_scores(self, texts):
        found = [
            ScoredTokens(list(text), np.array([-ord(c) / 50 for c in text]))
            for text in texts
        ]
        for one in found:
            one.log_probabilities[0] = math.nan  # nothing predicts it
        return found


def texts(count=40, seed=1):
    random = np.random.default_rng(seed)
    letters = list("abcdefg h\n é")
    sizes = random.integers(1, 300, count)
    return ["".join(random.choice(letters, size)) for size in sizes]


def nats_of(text):
    return sum(ord(c) / 50 for c in text[1:])


def test_scores_are_the_harness_s():
    metrics = pytest.importorskip("lm_eval.api.metrics")
    utils = pytest.importorskip("lm_eval.tasks.wikitext.preprocess_wikitext")
    given = [text for text in texts() if text.strip()]
    # What the harness's wikitext task makes of a page and its likelihood.
    rows = [
        utils.process_results({"page": text}, (-nats_of(text),))
        for text in given
    ]
    report = language_report(Letters(), given)
    scores = {name: one.value for name, one in report.measures().items()}
    for name, aggregate in (
        ("word_perplexity", metrics.weighted_perplexity),
        ("bits_per_byte", metrics.bits_per_byte),
    ):
        expected = aggregate([row[name] for row in rows])
        assert scores[f"language/{name}"] == pytest.approx(expected, rel=1e-12)
    tokens = sum(len(text) - 1 for text in given)
    mean = sum(map(nats_of, given)) / tokens
    assert scores["language/nats_per_token"] == pytest.approx(mean)
    assert scores["language/perplexity"] == pytest.approx(math.exp(mean))
    assert report.tokens == tokens and report.documents == len(given)


def test_errors_are_those_of_a_bootstrap_over_documents():
    random = np.random.default_rng(3)
    sizes = random.integers(20, 400, 80)
    nats = sizes * random.normal(3, 0.4, 80)
    drawn = resampled(
        np.stack([nats, sizes], axis=1),
        lambda rows: rows[..., 0].sum(1) / rows[..., 1].sum(1),
        resamples=4000,
    )
    found = ratio_error(nats, sizes)
    assert found == pytest.approx(drawn.std(), rel=0.05)
    assert ratio_error(nats[:1], sizes[:1]) is None


def test_windows_are_the_harness_s_for_every_stride():
    utils = pytest.importorskip("lm_eval.utils")
    random = np.random.default_rng(2)
    for _ in range(500):
        size, context = random.integers(0, 30), int(random.integers(1, 12))
        stride = int(random.integers(1, context + 1))
        ids = list(range(1, size + 1))
        expected = [
            (given + asked[-1:], len(asked))
            for given, asked in utils.get_rolling_token_windows(
                ids, 0, context, context - stride + 1
            )
        ]
        assert list(rolling_windows(ids, 0, context, stride)) == expected
    for stride in (0, 13):
        with pytest.raises(InputError, match="a stride from 1 to 12"):
            list(rolling_windows([1], 0, 12, stride))


def test_domains_add_up_and_the_smallest_are_joined():
    documents = [
        Document(text, f"part-{number % 33:02d}.txt:{number}#{number % 2}")
        for number, text in enumerate(texts(99))
    ]
    report = language_report(Letters(), documents, name="books")
    assert report.title == "Language modelling: books"
    assert len(report.domains) == 31
    assert report.domains[-1]["domain"] == "3 smaller domains"
    assert sum(row["tokens"] for row in report.domains) == report.tokens
    assert sum(row["documents"] for row in report.domains) == 99
    first = report.domains[0]["domain"]
    alone = language_report(
        Letters(), [one for one in documents if one.source.startswith(first)]
    )
    expected = alone.scores["bits_per_byte"]
    assert report.domains[0]["bits per byte"] == expected
    by_letter = language_report(
        Letters(), documents, domain=lambda document: document.text[:1]
    )
    assert "a" in [row["domain"] for row in by_letter.domains]


def test_positions_are_powers_of_two():
    report = language_report(Letters(), ["a" * 9, "b" * 5])
    counts = [(row["from"], row["tokens"]) for row in report.positions]
    assert counts == [(2, 4), (4, 6), (8, 2)]  # the first tokens have no loss
    assert sum(report.histogram) == 12


def test_the_worst_passage_is_found():
    easy = "a" * 1000
    hard = easy[:640] + "~" * PASSAGE + easy[:100]
    report = language_report(
        Letters(), [Document(easy, "easy"), Document(hard, "hard")], worst=2
    )
    worst = report.passages[0]
    assert (worst.source, worst.begin) == ("hard", 640)
    assert worst.loss == pytest.approx(ord("~") / 50)
    assert "".join(worst.tokens) == "~" * PASSAGE
    (_, other) = report.passages
    assert other.loss == pytest.approx(ord("a") / 50)
    maps = [one for one in report.blocks() if isinstance(one, HeatMap)]
    assert len(maps) == 2 and "hard, from token 640" in maps[0].caption


def test_it_is_a_finding_that_a_report_takes(tmp_path):
    report = language_report(Letters(), [Document("a rose", "x"), "is"])
    assert isinstance(report, Finding)
    tables = [one for one in report.blocks() if isinstance(one, Table)]
    assert len(tables) == 2  # by domain, by position
    written = write_report(tmp_path / "out", [report])
    (found,) = written.results["findings"]
    assert found["scores"]["bits_per_byte"]["count"] == 2
    assert len(found["histogram"]) == len(found["histogram_edges"])
    low, high = found["bits_interval"]
    assert low <= found["scores"]["bits_per_byte"]["value"] <= high
    assert len(list((tmp_path / "out/figures").iterdir())) == 2


def test_mistakes_are_told():
    with pytest.raises(InputError, match="at least one text to evaluate on"):
        language_report(Letters(), ["", "a"])
    with pytest.raises(InputError, match="Received: letters, which is not"):
        language_report(Letters(), ["a"], stride=2)
    with pytest.raises(InputError, match="or an evaluation Subject. Rec.*str"):
        language_report("model", ["a"])


@pytest.fixture(scope="module")
def lm():
    from keras_llm import CausalLM, DecoderConfig, build_decoder
    from keras_llm.tokenizers import BytePairTokenizer

    tokenizer = BytePairTokenizer.train(["a rose is a rose"] * 3, 264)
    config = DecoderConfig(
        vocabulary_size=264,
        context_length=8,
        num_layers=1,
        hidden_dim=8,
        num_heads=2,
    )
    return CausalLM(build_decoder(config), tokenizer)


TEXTS = ["a rose is a rose is a rose is a thorn", "rose", "is it? é"]


def test_a_model_s_windows_are_those_of_bits_per_byte(lm):
    from keras_llm.evaluate import bits_per_byte

    expected = bits_per_byte(lm.model, lm.tokenizer, TEXTS, progress=False)
    report = language_report(lm, TEXTS)
    assert report.tokens == expected.tokens
    assert report.scores["bits_per_byte"].value == pytest.approx(
        expected.bits_per_byte, rel=1e-5
    )
    assert report.positions[0]["tokens"] >= 3  # each document's first
    assert max(row["from"] for row in report.positions) == 8


def test_a_stride_of_one_gives_every_token_its_whole_context(lm):
    from keras_llm.score import log_probabilities

    ids = lm.tokenizer.encode(TEXTS[0])
    whole, total = [lm.tokenizer.eos_id, *ids], 0.0
    for end in range(1, len(whole)):
        window = np.array([whole[max(0, end - 8) : end + 1]])
        total -= float(log_probabilities(lm.model, window)[0, -1])
    report = language_report(lm, TEXTS[:1], stride=1)
    mean = report.scores["nats_per_token"].value
    assert mean == pytest.approx(total / len(ids), rel=1e-5)
    last = report.positions[-1]
    assert (last["from"], last["tokens"]) == (8, len(ids) - 7)
    tokens = "".join(report.passages[0].tokens)
    assert tokens == TEXTS[0][: len(tokens)]
