"""Preference tuning: the objective on packed pairs, references, a whole run."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import preference_steps
import pytest

import keras_llm as kl
from keras_llm import adapters, train, tune
from keras_llm.errors import InputError
from keras_llm.score import log_probabilities
from keras_llm.tokenizers import HostTokenizer
from keras_llm.tune import Pair, exchange
from keras_llm.tune.kto_rows import kto_rows
from keras_llm.tune.prefer import plot_preference, prefer
from keras_llm.tune.preference import KINDS, Preference
from keras_llm.tune.reference import with_reference

TOKENIZER = HostTokenizer.train(["a"], 261, progress=False)
WORDS = ("yes", "no", "maybe", "never", "of course")


def pairs(count=6):
    return [
        Pair(exchange(f"q{i}"), WORDS[i % 5], WORDS[(i + 1 + i % 2) % 5] + "!")
        for i in range(count)
    ]


def decoder(seed=3, dropout=0.0):
    keras.utils.set_random_seed(seed)
    return kl.build_decoder(
        kl.DecoderConfig(
            vocabulary_size=261,
            context_length=32,
            num_layers=1,
            hidden_dim=16,
            num_heads=2,
            dropout=dropout,
        )
    )


def rows_for(kind, model=None, count=6):
    arguments = (TOKENIZER, "plain", 32)
    if kind == "kto":
        made = kto_rows(tune.ratings_of(pairs(count)), *arguments)
    else:
        made = tune.pair_rows(pairs(count), *arguments)
    return with_reference(made, model or decoder(seed=4))


def sums_of(objective, model, rows):
    return objective(model, *rows.batch(np.arange(len(rows))))


def alone(model, prompt, answer):
    """The log-probability of an answer in a row of its own."""
    start = [TOKENIZER.bos_id, *TOKENIZER.encode(prompt)]
    ids = [*start, *TOKENIZER.encode(answer), TOKENIZER.eos_id]
    found = np.asarray(log_probabilities(model, np.array([ids], "int32")))
    return found[0, len(start) - 1 :].sum()


def test_a_packed_pair_is_two_answers_that_do_not_see_each_other():
    model, reference = decoder(), decoder(seed=4)
    rows = rows_for("dpo", reference)
    for i, pair in enumerate(pairs()):
        prompt = pair.prompt[0]["content"]
        expected = [
            alone(reference, prompt, answer)
            for answer in (pair.chosen, pair.rejected)
        ]
        np.testing.assert_allclose(
            rows.inputs["reference"][i], expected, 1e-4, 1e-4
        )
    margins = [
        alone(model, p.prompt[0]["content"], p.chosen)
        - alone(model, p.prompt[0]["content"], p.rejected)
        - alone(reference, p.prompt[0]["content"], p.chosen)
        + alone(reference, p.prompt[0]["content"], p.rejected)
        for p in pairs()
    ]
    found = sums_of(Preference("dpo", beta=0.5), model, rows)
    loss = np.log1p(np.exp(-0.5 * np.array(margins)))
    assert float(found.objective) == pytest.approx(loss.sum(), rel=1e-3)
    assert float(found.tokens) == 6
    assert float(found.correct) == sum(m > 0 for m in margins)
    assert float(found.extras[0]) == pytest.approx(sum(margins) / 2, abs=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_filling_count_nothing(kind):
    model, objective = decoder(), Preference(kind)
    rows = rows_for(kind)
    whole = sums_of(objective, model, rows)
    order = np.r_[np.arange(len(rows)), [-1, -1]]
    filled = objective(model, *rows.batch(order))
    np.testing.assert_allclose(
        *([float(x) for x in keras.tree.flatten(s)] for s in (whole, filled)),
        rtol=1e-5,
        atol=1e-5,
    )
    assert len(whole.extras) == len(objective.metrics)


def test_the_model_itself_as_reference_gives_the_loss_of_chance():
    model = decoder()
    found = sums_of(Preference("dpo"), model, rows_for("dpo", model))
    margin, _, _, drift, _ = found.extras
    assert float(found.objective) / 6 == pytest.approx(np.log(2), abs=1e-5)
    assert abs(float(margin)) < 1e-4 and abs(float(drift)) < 1e-4


@pytest.mark.parametrize("kind", ["dpo", "orpo"])
def test_micro_batches_learn_what_the_batch_learns(kind):
    weights = []
    for accumulate in (1, 3):
        model = decoder(dropout=0.2)
        train.fit(
            model,
            rows_for(kind),
            objective=Preference(kind),
            steps=3,
            batch_size=6,
            accumulate=accumulate,
            learning_rate=1e-2,
        )
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, 1e-3, 2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_each_loss_learns_what_is_preferred(kind):
    lm = kl.CausalLM(decoder(), TOKENIZER)
    rows = rows_for(kind, lm.model)
    before = sums_of(Preference(kind), lm.model, rows)
    prefer(
        lm,
        pairs(),
        kind=kind,
        steps=40,
        batch_size=6,
        learning_rate=5e-3,
        template="plain",
    )
    after = sums_of(Preference(kind), lm.model, rows)
    assert float(after.objective) < 0.9 * float(before.objective)
    assert float(after.extras[0]) > float(before.extras[0])
    assert float(after.correct) >= 0.8 * float(after.tokens)


def test_a_run_keeps_margins_accuracy_and_divergence(tmp_path):
    lm = kl.CausalLM(decoder(), TOKENIZER)
    report = prefer(
        lm,
        pairs(),
        validation=pairs(3),
        steps=20,
        batch_size=6,
        learning_rate=3e-3,
        log_every=10,
        validate_every=10,
        checkpoint_every=20,
        sample_every=20,
        template="plain",
        out=tmp_path,
    )
    first, last = train.read_history(report.history)
    assert last["accuracy"] == last["validation_accuracy"] == 1.0
    assert last["margin"] > first["margin"] > 0
    assert {"kl", "chosen", "validation_kl", "tokens"} <= set(last)
    assert "perplexity" not in last and report.tokens > 0
    plot_preference([first, last], tmp_path / "margins.png")
    assert (tmp_path / "margins.png").read_bytes()[1:4] == b"PNG"


def test_a_stopped_run_goes_on_from_its_own_reference(tmp_path):
    def run(out, steps_before=None):
        lm = kl.CausalLM(decoder(dropout=0.1), TOKENIZER)

        class Stop(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                if logs["step"] == steps_before:
                    raise KeyboardInterrupt

        arguments = dict(
            steps=2,
            batch_size=3,
            learning_rate=1e-2,
            log_every=1,
            checkpoint_every=1,
            validate_every=1,
            sample_every=1,
            template="plain",
            out=out,
        )
        if steps_before:
            with pytest.raises(KeyboardInterrupt):
                prefer(lm, pairs(), callbacks=[Stop()], **arguments)
        prefer(lm, pairs(), **arguments)  # of a model that is tuned by half
        return lm.model.get_weights()

    for one, other in zip(
        run(tmp_path / "whole"), run(tmp_path / "cut", 1), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match="beta was 0.1 and is 0.2"):
        prefer(
            kl.CausalLM(decoder(), TOKENIZER),
            pairs(),
            kind=Preference("dpo", beta=0.2),
            steps=2,
            batch_size=3,
            out=tmp_path / "cut",
        )


def test_the_reference_of_an_adapted_model_is_its_base():
    model = decoder()
    rows = tune.pair_rows(pairs(), TOKENIZER, "plain", 32)
    base = with_reference(rows, model).inputs["reference"]
    adapters.attach(model)
    for variable in model.trainable_variables:
        variable.assign(variable + 0.1)
    np.testing.assert_array_equal(
        with_reference(rows, model).inputs["reference"], base
    )
    assert adapters.active(model) == "default"
    loss = sums_of(Preference("dpo"), model, rows_for("dpo", model))
    assert float(loss.extras[0]) != pytest.approx(0.0, abs=1e-4)


def test_the_cache_is_never_of_other_rows_or_weights(tmp_path, capsys):
    path, model = tmp_path / "reference.npz", decoder()
    rows = tune.pair_rows(pairs(), TOKENIZER, "plain", 32)

    def reference(rows=rows, model=model, **options):
        found = with_reference(rows, model, cache=path, **options)
        return found.inputs["reference"]

    first = reference()
    assert capsys.readouterr().err == ""
    with np.load(path) as held:
        changed = {**held, "reference": first + 1}
    np.savez(path, **changed)  # so that we see where it is read
    np.testing.assert_array_equal(reference(), first + 1)
    other = decoder(seed=5)
    np.testing.assert_array_equal(
        reference(model=other, any_weights=True), first + 1
    )
    assert not np.allclose(reference(model=other), first)
    assert "other weights" in capsys.readouterr().err
    assert reference(rows.take([0, 1]), model=other).shape == (2, 2)
    assert "other rows" in capsys.readouterr().err
    path.write_bytes(path.read_bytes()[:-40])
    np.testing.assert_allclose(reference(), first, 1e-5)
    assert "damaged" in capsys.readouterr().err
    with pytest.raises(InputError, match="Expected a file"):
        with_reference(rows, model, cache=tmp_path)


def test_kto_compares_with_answers_to_other_prompts():
    ratings = list(tune.ratings_of(pairs()))
    rows = kto_rows(ratings, TOKENIZER, "plain", 32)
    labels = rows.inputs["label"][:, 0]
    assert len(rows) == 12 and labels.sum() == 6
    good = [rating for rating in ratings if rating.good]
    for row, rating in enumerate(good):
        tokens, segments = (
            rows.inputs["tokens"][row],
            rows.inputs["segments"][row],
        )
        prompt, answer = rating.prompt[0]["content"], rating.answer
        first, second = (
            bytes(int(i) for i in tokens[segments == n] if i < 256).decode()
            for n in (1, 2)
        )
        assert first == prompt + answer
        assert second.startswith(prompt) and second != first
    with pytest.raises(InputError, match="several prompts"):
        kto_rows(tune.ratings_of(pairs(1)), TOKENIZER, "plain", 32)


@pytest.mark.parametrize(
    ("kind", "made", "sentence"),
    [
        (
            "dpo",
            lambda: tune.pair_rows(pairs(), TOKENIZER, "plain", 32),
            "with_reference",
        ),
        ("kto", lambda: rows_for("dpo"), "kto_rows"),
    ],
)
def test_rows_that_lack_something_are_refused(kind, made, sentence):
    with pytest.raises(InputError, match=sentence):
        sums_of(Preference(kind), decoder(), made())


def test_single_answers_are_refused_where_pairs_are_needed():
    lm = kl.CausalLM(decoder(), TOKENIZER)
    with pytest.raises(InputError, match='kind="kto"'):
        prefer(lm, tune.ratings_of(pairs()), steps=1, template="plain")


@pytest.mark.parametrize(
    "constants",
    [{"kind": "ppo"}, {"beta": 0}, {"label_smoothing": 0.5}, {"margin": -1}],
)
def test_constants_out_of_range_are_refused(constants):
    with pytest.raises(InputError, match="Expected"):
        Preference(**constants)


def test_metrics_need_margins_to_be_drawn(tmp_path):
    with pytest.raises(InputError, match="with margins"):
        plot_preference([{"step": 1, "loss": 1.0}], tmp_path / "a.png")


def test_each_loss_learns_the_same_on_jax():
    done = subprocess.run(
        [sys.executable, preference_steps.__file__],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == pytest.approx(preference_steps.losses(), rel=2e-3)
