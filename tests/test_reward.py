"""A reward model: scores, training, its folder, and best of n."""

import keras
import numpy as np
import pytest

import keras_llm as kl
from keras_llm import adapters, train, tune
from keras_llm.classify import sequence_model
from keras_llm.errors import InputError
from keras_llm.tokenizers import HostTokenizer
from keras_llm.tune import Pair, exchange
from keras_llm.tune.best_of import best_of_n
from keras_llm.tune.bradley_terry import BradleyTerry, scored_rows
from keras_llm.tune.reward_model import RewardModel, RewardSettings, reward

TOKENIZER = HostTokenizer.train(["a"], 261, progress=False)
PAIRS = [
    Pair(exchange(f"q{i}"), f"good {word}", f"bad {word}")
    for i, word in enumerate(["one", "two", "three", "four", "five", "six"])
]


def language_model(seed=3):
    keras.utils.set_random_seed(seed)
    config = kl.DecoderConfig(
        vocabulary_size=261,
        context_length=32,
        num_layers=1,
        hidden_dim=16,
        num_heads=2,
    )
    return kl.CausalLM(kl.build_decoder(config), TOKENIZER)


def judge(template=None):
    lm = language_model()
    chat = None if template is None else lm.chat_template.to_dict()
    settings = RewardSettings(context_length=32, template=chat)
    return RewardModel(sequence_model(lm.model, 1, seed=0), TOKENIZER, settings)


def scores_of(model, template=None):
    """Scores one by one, not packed in pairs."""
    return np.array(
        [
            [
                model.score([pair.prompt], [answer])[0]
                for answer in (pair.chosen, pair.rejected)
            ]
            for pair in PAIRS
        ]
    )


@pytest.mark.parametrize("template", [None, "keras_llm"])
def test_packed_pairs_are_scored_at_the_end_of_each_answer(template):
    model = judge(template)
    rows = tune.pair_rows(PAIRS, TOKENIZER, template or "plain", 32)
    inputs, targets, weights = scored_rows(rows).batch(np.arange(6))
    packed = np.asarray(model.model(inputs))[..., 0]
    apart = scores_of(model)
    np.testing.assert_allclose(packed, apart, 1e-4, 1e-5)
    found = BradleyTerry()(model.model, inputs, targets, weights)
    margins = apart[:, 0] - apart[:, 1]
    loss = np.log1p(np.exp(-margins)).sum()
    assert float(found.objective) == pytest.approx(loss, rel=1e-4)
    assert float(found.correct) == (margins > 0).sum()
    assert float(found.extras[0]) == pytest.approx(margins.sum(), abs=1e-3)
    assert float(found.tokens) == 6


def test_a_full_row_keeps_its_last_token():
    pair = Pair(exchange("q"), "abc", "abcd")  # 6 + 7 tokens, 12 targets
    rows = tune.pair_rows([pair], TOKENIZER, "plain", 32)
    rows.inputs["tokens"] = rows.inputs["tokens"][:, :12]
    for name in ("positions", "segments"):
        rows.inputs[name] = rows.inputs[name][:, :12]
    rows.targets, rows.weights = rows.targets[:, :12], rows.weights[:, :12]
    wide = scored_rows(rows)
    assert wide.inputs["tokens"][0, -1] == TOKENIZER.eos_id
    assert wide.inputs["segments"][0].tolist() == [1] * 6 + [2] * 7
    assert wide.inputs["positions"][0].tolist() == [*range(6), *range(7)]


def test_a_reward_model_learns_and_comes_back_from_its_folder(tmp_path):
    lm = language_model()
    before = lm.model.get_weights()
    model = reward(
        lm,
        PAIRS,
        validation=PAIRS[:2],
        steps=30,
        batch_size=6,
        learning_rate=3e-3,
        log_every=10,
        validate_every=10,
        checkpoint_every=30,
        sample_every=30,
        out=tmp_path / "run",
    )
    history = train.read_history(tmp_path / "run" / "metrics.jsonl")
    assert history[-1]["accuracy"] == history[-1]["validation_accuracy"] == 1.0
    assert history[-1]["margin"] > history[0]["margin"]
    assert model.report["steps"] == 30
    for one, other in zip(before, lm.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)

    prompts, answers = ["q1", "q9"], ["good day", "bad day"]
    good, bad = model.score(prompts, answers)
    assert good > bad
    model.save(tmp_path / "judge")
    again = RewardModel.load(tmp_path / "judge")
    np.testing.assert_allclose(again.score(prompts, answers), [good, bad], 1e-5)
    assert again.settings == model.settings
    weights = tmp_path / "judge" / "classifier.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(InputError, match="as it was saved"):
        RewardModel.load(tmp_path / "judge")


def test_an_adapter_is_copied_and_trained_with_the_head():
    lm = language_model()
    adapters.attach(lm.model)
    model = reward(
        lm, PAIRS, steps=2, batch_size=6, learning_rate=0.01, template="plain"
    )
    trained = {v.path for v in model.model.trainable_variables}
    assert {"classifier/kernel", "classifier/bias"} < trained
    assert len(trained) == 2 + len(lm.model.trainable_variables)
    for name, weight in {w.path: w for w in lm.model.weights}.items():
        ours = {w.path: w for w in model.model.weights}[name]
        assert name in trained or np.array_equal(ours, weight)


def test_best_of_n_draws_once_and_ranks():
    lm = language_model()

    def length(prompt, answer, record):
        assert prompt == "q" and record == {"answer": 1}
        return len(answer)

    found = best_of_n(
        *(lm, "q", 5, length),
        record={"answer": 1},
        template="plain",
        max_new_tokens=6,
        seed=7,
    )
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True) and len(found) == 5
    drawn = lm.generate(["q"] * 5, max_new_tokens=6, temperature=1.0, seed=7)
    assert sorted(drawn) == sorted(one.text for one in found)
    with pytest.raises(InputError, match="at least 1"):
        best_of_n(lm, "q", 0, length)


def test_a_reward_model_is_a_judge():
    model = judge()
    found = best_of_n(
        language_model(), "q", 3, model, template="plain", max_new_tokens=4
    )
    expected = model.score(["q"] * 3, [one.text for one in found])
    np.testing.assert_allclose([one.score for one in found], expected, 1e-5)


def test_answers_that_cannot_be_scored_are_named():
    model = judge()
    with pytest.raises(InputError, match="each of 2 prompts"):
        model.score(["a", "b"], ["c"])
    with pytest.raises(InputError, match="at most 32 tokens"):
        model.score(["a"], ["b" * 32])
