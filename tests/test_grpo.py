"""GRPO: the loss, rewards, answers drawn from the weights of the moment."""

import hashlib
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_llm as kl
from keras_llm import adapters, train
from keras_llm.errors import InputError
from keras_llm.tokenizers import HostTokenizer
from keras_llm.tune import exchange, rewards
from keras_llm.tune.answers import Answering, mean_reward
from keras_llm.tune.group_policy import (
    GroupPolicy,
    GroupPolicyConfig,
    advantages,
)
from keras_llm.tune.grpo import grpo
from keras_llm.tune.questions import Question, read_questions
from keras_llm.tune.rollouts import Rollouts

TOKENIZER = HostTokenizer.train(["a"], 261, progress=False)
QUESTIONS = [Question(exchange(f"{n}+1="), {"answer": n + 1}) for n in range(4)]


def language_model(seed=3, dropout=0.0):
    keras.utils.set_random_seed(seed)
    decoder = kl.build_decoder(
        kl.DecoderConfig(
            vocabulary_size=261,
            context_length=16,
            num_layers=1,
            hidden_dim=16,
            num_heads=2,
            dropout=dropout,
        )
    )
    return kl.CausalLM(decoder, TOKENIZER)


def many_low_ids(prompt, answer, record):
    """A reward that a random model earns by chance."""
    return sum(c < "a" for c in answer) / 4


def learn(lm, reward=many_low_ids, **settings):
    chosen = dict(
        steps=4,
        batch_size=8,
        group=4,
        max_new_tokens=4,
        learning_rate=1e-2,
        log_every=1,
        validate_every=2,
        checkpoint_every=2,
        sample_every=2,
        template="plain",
    )
    return grpo(lm, QUESTIONS, reward, **{**chosen, **settings})


def digest(model):
    values = b"".join(np.asarray(w).tobytes() for w in model.weights)
    return hashlib.sha256(values).hexdigest()


# === The loss ===


def plain_policy(logits, batch, config):
    """The objective's sum in numpy, float64."""
    inputs, targets, weights = batch
    logits = logits.astype("float64") / config.temperature
    logits = logits - logits.max(-1, keepdims=True)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    now = np.log(np.take_along_axis(p, targets[..., None], -1))[..., 0]
    ratio, a = np.exp(now - inputs["old"]), inputs["advantage"]
    high = 1 + (config.clip_high or config.clip)
    within = np.clip(ratio, 1 - config.clip, high)
    each = -np.minimum(ratio * a, within * a)
    p_reference = np.exp(inputs["reference"])
    each += config.kl * (
        p_reference / np.exp(now) - np.log(p_reference / np.exp(now)) - 1
    )
    total = (each * weights).sum(-1)
    if config.loss == "grpo":
        return (total / weights.sum(-1)).sum()
    return total.sum() / config.max_new_tokens


@pytest.mark.parametrize(
    "config",
    [
        GroupPolicyConfig(kl=0.1, clip=0.2, temperature=0.7),
        GroupPolicyConfig(kl=0.3, clip=0.1, clip_high=0.3, loss="dr_grpo"),
    ],
    ids=["grpo", "dr_grpo"],
)
def test_loss_and_gradient_are_those_of_plain_numpy(config):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 4, 5)).astype("float32")
    targets = rng.integers(0, 5, (3, 4)).astype("int32")
    weights = np.array([[0, 1, 1, 1], [0, 0, 1, 0], [1, 1, 0, 0]], "float32")
    near = -1.6 + rng.normal(0, 0.6, (2, 3, 4)).astype("float32")
    inputs = {
        "tokens": targets,
        "segments": np.ones_like(targets),
        "advantage": np.array([[1.3], [-0.7], [0.4]], "float32"),
        "reward": np.array([[1.0], [0.0], [0.5]], "float32"),
        "old": near[0],
        "reference": near[1],
    }
    batch = inputs, targets, weights
    variable = tf.Variable(logits)
    objective = GroupPolicy(config)

    def model(inputs, training=None):
        assert set(inputs) == {"tokens", "segments"}
        return variable * 1.0

    with tf.GradientTape() as tape:
        found = objective(model, *batch)
    gradient = tape.gradient(found.objective, variable).numpy()
    expected = plain_policy(logits, batch, config)
    assert float(found.objective) == pytest.approx(expected, rel=1e-4)
    for index in [(0, 1, 2), (0, 3, 0), (1, 2, 4), (2, 0, 1), (2, 3, 3)]:
        shift = np.zeros(logits.shape)
        shift[index] = 1e-5
        slope = plain_policy(logits + shift, batch, config)
        slope -= plain_policy(logits - shift, batch, config)
        assert gradient[index] == pytest.approx(slope / 2e-5, abs=2e-4)
    shown = dict(zip(objective.metrics, found.extras, strict=True))
    assert float(shown["length"]) == weights.sum()
    assert float(shown["reward"]) == 1.5 and float(found.correct) == 1
    assert float(shown["kl"]) > 0 and float(found.tokens) == 3


def test_advantages_are_standardized_within_a_group():
    given = np.array([0.0, 1.0, 1.0, 0.0, 5.0, 5.0, 5.0, 5.0])
    found = advantages(given, 4)
    np.testing.assert_allclose(found[:4], [-1, 1, 1, -1], rtol=1e-3)
    np.testing.assert_array_equal(found[4:], 0)
    np.testing.assert_allclose(
        advantages(given, 4, scaled=False)[:4], [-0.5, 0.5, 0.5, -0.5]
    )


# === Rewards and questions ===


@pytest.mark.parametrize(
    ("reward", "answer", "record", "worth"),
    [
        (rewards.exact(), " 7 ", {"answer": 7}, 1.0),
        (rewards.exact("right"), "four", {"right": ["4", "four"]}, 1.0),
        (rewards.exact(), "77", {"answer": "7"}, 0.0),
        (rewards.matches("^a.b$"), "a\nb", {}, 1.0),
        (rewards.matches("YES", ignore_case=True), "oh yes", {}, 1.0),
        (rewards.matches("^yes$"), "oh yes", {}, 0.0),
        (rewards.number(), "is 1,050.", {"answer": "#### 1050"}, 1.0),
        (rewards.number(), "3-4 = -1", {"answer": -1}, 1.0),
        (rewards.number(), "none", {"answer": 3}, 0.0),
        (rewards.number(tolerance=0.1), "3.2", {"answer": 3}, 1.0),
        (rewards.number(), "0.5", {"answer": ".5"}, 1.0),
    ],
)
def test_rewards(reward, answer, record, worth):
    assert rewards.checked(reward, "prompt", answer, record) == worth


def test_rewards_without_what_they_need_say_so():
    with pytest.raises(InputError, match="'answer' in every question"):
        rewards.exact()("", "7", {"solution": 7})
    with pytest.raises(InputError, match="number in field"):
        rewards.number()("", "7", {"answer": "seven"})
    with pytest.raises(InputError, match="regular expression"):
        rewards.matches("(")
    with pytest.raises(InputError, match="finite number"):
        rewards.checked(lambda *_: None, "", "7", {})


def test_questions_are_read_with_their_line(tmp_path):
    path = tmp_path / "questions.jsonl"
    chat = [{"role": "user", "content": "Hi"}]
    lines = [{"prompt": "3+4=", "answer": "7"}, {"prompt": chat, "n": 1}, {}]
    path.write_text("\n".join(map(json.dumps, lines)))
    read = read_questions(path)
    first, second = next(read), next(read)
    assert (first.text, first.record) == ("3+4=", {"answer": "7"})
    assert second.prompt == tuple(chat) and second.line == 2
    with pytest.raises(InputError, match="questions.jsonl, line 3"):
        next(read)


def test_answers_are_those_of_generate():
    lm = language_model()
    asking = Answering(lm, "plain", max_new_tokens=6)
    found = asking([asking.encode(one) for one in QUESTIONS])
    texts = lm.generate([one.text for one in QUESTIONS], max_new_tokens=6)
    assert [answer.text for answer in found] == texts
    with pytest.raises(InputError, match="at most 1 tokens"):
        Answering(lm, "plain", max_new_tokens=15).encode(QUESTIONS[0])
    assert mean_reward(
        lm, QUESTIONS, lambda *_: 0.25, max_new_tokens=2, batch_size=3
    ) == pytest.approx(0.25)


# === The run ===


@pytest.mark.parametrize("folder", [None, "run"])
def test_answers_are_drawn_from_the_weights_of_the_moment(folder, tmp_path):
    lm = language_model()
    drawn, after = [], [digest(lm.model)]

    def reward(prompt, answer, record):
        drawn.append(digest(lm.model))
        return many_low_ids(prompt, answer, record)

    class Note(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            after.append(digest(lm.model))

    out = folder and tmp_path / folder  # with it the wait for data is timed
    learn(lm, reward, callbacks=[Note()], out=out)
    assert drawn == list(np.repeat(after[:-1], 8))
    assert len(set(after)) == 5


def test_several_updates_learn_from_the_same_answers(tmp_path):
    lm = language_model()
    calls = []

    def reward(prompt, answer, record):
        calls.append(answer)
        return many_low_ids(prompt, answer, record)

    report = learn(lm, reward, updates=2, out=tmp_path)
    assert len(calls) == 2 * 8
    history = train.read_history(report.history)
    lengths = [line["length"] for line in history]
    assert lengths[0] == lengths[1] and lengths[2] == lengths[3]
    assert history[0]["clip_fraction"] == 0
    assert {"reward", "entropy", "accuracy"} <= set(history[0])


@pytest.mark.parametrize("updates", [1, 2])
def test_a_stopped_run_goes_on_with_the_same_answers(tmp_path, updates):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if logs["step"] == 3:
                raise KeyboardInterrupt

    whole = language_model(dropout=0.1)
    learn(whole, updates=updates, out=tmp_path / "whole")
    cut = language_model(dropout=0.1)
    with pytest.raises(KeyboardInterrupt):
        learn(cut, updates=updates, out=tmp_path / "cut", callbacks=[Stop()])
    again = language_model(dropout=0.1)
    learn(again, updates=updates, out=tmp_path / "cut")
    assert digest(again.model) == digest(whole.model)
    with pytest.raises(InputError, match="clip was 0.2 and is 0.3"):
        learn(again, updates=updates, clip=0.3, out=tmp_path / "cut")


def rollouts(lm, out=None, **constants):
    config = GroupPolicyConfig(
        **{"group": 4, "updates": 2, "max_new_tokens": 4, **constants}
    )
    asking = Answering(lm, "plain", config.max_new_tokens)
    return Rollouts(asking, QUESTIONS, many_low_ids, config, 8, out=out)


def test_a_step_between_two_draws_reads_the_answers_of_before(tmp_path):
    first = rollouts(language_model(), tmp_path).batch(2, seed=5)
    later = rollouts(language_model(seed=9), tmp_path)
    found = next(iter(later.batches_from(3, seed=5)))
    for one, other in zip(
        tf.nest.flatten(first), tf.nest.flatten(found), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match="newest checkpoint"):
        later.batches_from(5, seed=5)
    with pytest.raises(InputError, match="answers that step 2 drew"):
        rollouts(language_model()).batches_from(3, seed=5)


def test_every_question_comes_once_before_any_comes_again():
    made = rollouts(language_model(), updates=1)
    asked = [made._chosen(turn, seed=1) for turn in range(4)]
    assert sorted(asked[0] + asked[1]) == sorted(asked[2] + asked[3])
    assert sorted(asked[0] + asked[1]) == [0, 1, 2, 3]


def test_the_probabilities_are_those_that_answers_were_drawn_with():
    lm = language_model()
    inputs, targets, weights = rollouts(lm, temperature=0.5).batch(0, seed=1)
    logits = np.asarray(lm.model(inputs["tokens"])) / 0.5
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = np.log(np.take_along_axis(p, targets[..., None], -1))[..., 0]
    inside = weights > 0
    np.testing.assert_allclose(
        inputs["old"][inside], expected[inside], 1e-4, 1e-4
    )
    prompt_and_answer = inside.any(0)
    assert not prompt_and_answer[:3].any()  # <bos> n + 1 =


def test_micro_batches_learn_what_the_batch_learns():
    weights = []
    for accumulate in (1, 4):
        lm = language_model()
        learn(lm, accumulate=accumulate, steps=2, updates=2, kl=0.1)
        weights.append(lm.model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, 1e-3, 1e-5)


def test_the_reference_of_an_adapted_model_is_its_base(tmp_path):
    lm = language_model()
    adapters.attach(lm.model)
    base = [np.asarray(v) for v in adapters.frozen.base_variables(lm.model)]
    report = learn(lm, kl=0.1, learning_rate=0.1, out=tmp_path)
    history = train.read_history(report.history)
    assert abs(history[0]["kl"]) < 1e-6 < history[-1]["kl"]
    for before, now in zip(
        base, adapters.frozen.base_variables(lm.model), strict=True
    ):
        np.testing.assert_array_equal(before, now)


def test_the_reward_rises(tmp_path):
    report = learn(
        language_model(),
        steps=30,
        batch_size=32,
        learning_rate=3e-2,
        log_every=10,
        validate_every=30,
        checkpoint_every=30,
        sample_every=30,
        out=tmp_path,
    )
    history = train.read_history(report.history)
    assert history[-1]["reward"] > history[0]["reward"] + 0.3


def test_a_bad_reward_is_named():
    with pytest.raises(InputError, match="finite number"):
        learn(language_model(), lambda *_: float("nan"))
    with pytest.raises(ZeroDivisionError):
        learn(language_model(), lambda *_: 1 / 0)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"batch_size": 6}, "multiple of group"),
        ({"group": 1}, "group"),
        ({"loss": "ppo"}, "loss"),
        ({"max_new_tokens": 14}, "at most 2 tokens"),
        ({"updates": 3, "out": "run"}, "multiple of updates"),
        ({"steps_per_execution": 2, "log_every": 2}, "drawn between"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    changes, sentence, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=sentence):
        learn(language_model(), **changes)


def test_questions_are_needed():
    with pytest.raises(InputError, match="at least one question"):
        grpo(language_model(), [], many_low_ids, steps=1)
    with pytest.raises(InputError, match="at least one question"):
        mean_reward(language_model(), [], many_low_ids)
