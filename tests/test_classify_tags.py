"""Labels of words: spans, windows, training, beside seqeval."""

import numpy as np
import pytest
from labelled_texts import language_model
from seqeval import metrics

from keras_llm.classify import (
    Ids,
    Span,
    Tagger,
    TaggerSettings,
    evaluate_tags,
    span_scores,
    spans_of,
    token_model,
    tokens,
)
from keras_llm.classify.tagging import rows_of
from keras_llm.classify.words import windows_of
from keras_llm.errors import InputError
from keras_llm.tune import Tagged, read_tagged

TAGS = ("B-loc", "B-per", "I-loc", "I-per", "O")
BEFORE = ["in", "by", "a", "the"]
PLACES = [["red", "cow"], ["blue", "cow"], ["green", "dog"]]


def sentence(before: str, place: list[str]) -> Tagged:
    words = (before, *place, "and")
    return Tagged(words, ("O", "B-loc", *["I-loc"] * (len(place) - 1), "O"))


DATA = [sentence(before, place) for before in BEFORE for place in PLACES]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("tags", [TAGS, (*TAGS, "E-loc", "S-per", "E-per")])
def test_spans_and_their_scores_are_seqevals(seed, tags):
    random = np.random.default_rng(seed)
    truth, found = (
        [random.choice(tags, length).tolist() for length in (7, 1, 12)]
        for _ in range(2)
    )
    for one in truth:
        expected = metrics.sequence_labeling.get_entities(one)
        assert spans_of(one) == [Span(k, a, b + 1) for k, a, b in expected]
    ours = span_scores(truth, found)
    for name in ("precision", "recall", "f1"):
        function = getattr(metrics, f"{name}_score")
        theirs = function(truth, found, zero_division=0)
        np.testing.assert_allclose(ours[name], theirs)
    theirs = metrics.f1_score(truth, found, average="macro", zero_division=0)
    np.testing.assert_allclose(ours["macro_f1"], theirs)


def settings(**changes) -> TaggerSettings:
    return TaggerSettings(labels=TAGS, ids=Ids(length=24), **changes)


def test_words_are_the_tokens_of_running_text():
    tokenizer = language_model().tokenizer
    words = "the red cow and the blue dog".split()
    [window] = windows_of(words, tokenizer, settings())
    assert window.ids.tolist() == tokenizer.encode(" ".join(words))


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize("echo", [False, True])
@pytest.mark.parametrize("start", [None, 3])
def test_long_sentences_are_cut_and_each_word_labelled_once(place, echo, start):
    tokenizer = language_model().tokenizer
    words = ["red", "unknownword", "cow"] * 20
    made = TaggerSettings(
        labels=TAGS, ids=Ids(length=40, start=start), place=place, echo=echo
    )
    windows = windows_of(words, tokenizer, made)
    assert len(windows) > 2
    labelled = [w for one in windows for w in one.words[one.words >= 0]]
    assert labelled == list(range(60))
    for number, one in enumerate(windows):
        assert len(one.ids) <= 40
        assert start is None or one.ids[0] == start
        if place == "first" and not echo:
            # Later windows begin with words that they do not label.
            first = np.flatnonzero(one.words >= 0)[0]
            assert (first > (start is not None)) == (number > 0)


def test_the_label_stands_at_the_first_or_last_token():
    tokenizer = language_model().tokenizer
    long = "unknownword"
    size = len(tokenizer.encode(long))
    assert size > 2
    for place, expected in (("first", 0), ("last", size - 1)):
        [window] = windows_of([long], tokenizer, settings(place=place))
        assert np.flatnonzero(window.words == 0).tolist() == [expected]


def test_a_word_longer_than_a_window_is_cut():
    tokenizer = language_model().tokenizer
    windows = windows_of(["red", "z" * 99, "cow"], tokenizer, settings())
    found = [w for one in windows for w in one.words if w >= 0]
    assert found == [0, 1, 2]


@pytest.mark.parametrize("words", [["a", ""], ["a", None], [" "]])
def test_empty_words_are_refused(words):
    with pytest.raises(InputError, match="not empty"):
        windows_of(words, language_model().tokenizer, settings())


def test_rows_weigh_one_token_of_each_word():
    lm = language_model()
    rows = rows_of(DATA, lm.tokenizer, settings(), None)
    assert rows.weights.sum() == sum(len(one.words) for one in DATA)
    found = rows.targets[rows.weights > 0]
    counts = np.bincount(found, minlength=5)
    assert counts.tolist() == [12, 0, 12, 0, 24]


@pytest.mark.parametrize("echo", [False, True])
def test_training_learns_and_a_saved_tagger_gives_the_same(echo, tmp_path):
    lm = language_model()
    tagger = tokens(
        lm,
        DATA,
        DATA[::2],
        steps=60,
        learning_rate=0.02,
        batch_size=6,
        echo=echo,
        out=tmp_path / "run",
    )
    found = evaluate_tags(tagger, DATA)
    assert found["f1"] > 0.9 and found["accuracy"] > 0.9
    assert tagger.report["validation"]["f1"] > 0.9
    again = Tagger.load(tmp_path / "run" / "classifier")
    words = [one.words for one in DATA] + [DATA[0].words * 9, ()]
    assert again.predict(words) == tagger.predict(words)
    assert tagger.spans([("in", "red", "cow")]) == [[Span("loc", 1, 3)]]
    assert len(tagger.predict(words)[-2]) == 36 and not tagger.predict([[]])[0]


def test_batches_do_not_change_the_labels():
    lm = language_model()
    tagger = Tagger(token_model(lm, 5), lm.tokenizer, settings())
    together = tagger.probabilities(DATA)
    for one, found in zip(DATA, together, strict=True):
        [alone] = tagger.probabilities([one.words])
        np.testing.assert_allclose(found, alone, atol=1e-6)


def test_a_sentence_is_a_list_and_a_tag_is_known(tmp_path):
    lm = language_model()
    tagger = Tagger(token_model(lm, 5), lm.tokenizer, settings())
    with pytest.raises(InputError, match="lists of words"):
        tagger.predict(["in the red"])
    path = tmp_path / "held.conll"
    path.write_text("in O\nred B-beast\n")
    with pytest.raises(InputError, match="'B-beast', word 2 of .*line 1"):
        tokens(lm, DATA, path, steps=1)
    with pytest.raises(InputError, match="other lengths"):
        span_scores([["O"]], [["O", "O"]])


def test_a_classifier_is_no_tagger(tmp_path):
    from keras_llm.classify import Classifier, sequence_model

    lm = language_model()
    tagger = Tagger(token_model(lm, 5), lm.tokenizer, settings())
    tagger.save(tmp_path)
    with pytest.raises(InputError, match="TaggerSettings"):
        Classifier.load(tmp_path)
    with pytest.raises(InputError, match="token_model"):
        Tagger(sequence_model(lm, 5), lm.tokenizer, settings())


def test_wnut17_is_labelled_word_by_word(shared_data):
    sentences = list(read_tagged(shared_data / "wnut17/dev.conll"))[:50]
    lm = language_model()
    tags = sorted({tag for one in sentences for tag in one.labels})
    made = TaggerSettings(labels=tags, ids=Ids(length=24))
    tagger = Tagger(token_model(lm, len(tags)), lm.tokenizer, made)
    found = tagger.predict(sentences)
    assert [len(tags) for tags in found] == [len(s.words) for s in sentences]
