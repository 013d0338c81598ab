# %% [markdown]
# # Which answer is better?
#
# *"1, 4, 9, 16."* or *"Here are your precious square numbers: 1, 4, 9, 16."*:
# nobody can say which word is wrong, everybody can say which answer is nicer.
#
# The cells run in five to nine minutes on two cores; then you will be able to:
# learn from such pairs by DPO, whose loss you will have written in ten lines of
# your own, read its margins, choose between DPO, IPO, KTO, SimPO and ORPO,
# train a reward model, measure how far two judges agree, turn thumbs up and
# down into pairs, and let a model learn from a reward alone. It needs
# `pip install "keras_llm[viz,eval]"` and no GPU; 1,100 pairs and some texts
# are downloaded (or taken from `KERAS_LLM_DATA`).

# %%
import logging
import os
import tempfile
from pathlib import Path
from textwrap import shorten

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import keras
import numpy as np
from keras import ops
from scipy import stats

import keras_llm as kl
from keras_llm import evaluate, tune
from keras_llm.figures import new_figure

logging.getLogger("tensorflow").setLevel("ERROR")  # several models compile
TINY = bool(os.environ.get("KERAS_LLM_TINY"))
READ, EPOCHS = (2, 1) if TINY else (1000, 6)
STEPS, BATCH = (2, 4) if TINY else (60, 8)
LENGTH = 192  # most tokens of a prompt with its answer
work = Path(tempfile.mkdtemp(prefix="keras-llm-preferences-"))
keras.utils.set_random_seed(123)

# %% [markdown]
# ## Pairs
# The instructions of the book ([Raschka, *Build a Large Language Model (From
# Scratch)*](../book.md)) come with two answers each, one polite and one less
# so, written by a large model (chapter 7, DPO): 935 pairs to learn, the last
# 110 to measure; pairs of two equal answers teach nothing.

# %%
folder = kl.data.download("instructions")
pairs = list(tune.read_pairs(folder / "instruction-data-with-preference.json"))
learn, test = (pairs[:16], pairs[-8:]) if TINY else (pairs[:935], pairs[-110:])
learn, test = (
    [pair for pair in part if pair.chosen != pair.rejected]
    for part in (learn, test)
)
print(len(learn), "to learn,", len(test), "to measure, all of two", end=" ")
print("different answers", end="\n\n")
for pair in pairs[4:7]:
    print("asked:   ", pair.prompt[-1]["content"].replace("\n", " "))
    print("chosen:  ", pair.chosen)
    print("rejected:", pair.rejected, end="\n\n")

# %% [markdown]
# ## A model that answers
# Preferences sharpen a model that answers already. As in chapter 08, ours
# reads for a minute (two novels and sentences of every day), then learns the
# book's 935 instructions. Its answers have the right form and are seldom true:
# how likely it finds each of two is what counts here.


# %%
def texts_of(name, *patterns):
    """The texts of a published set's files, downloaded if not here yet."""
    folder = kl.data.download(name)
    paths = (path for one in patterns for path in sorted(folder.glob(one)))
    return "\n\n".join(path.read_text("utf-8") for path in paths)


novels = texts_of("gutenberg", "Alice*", "Pride*").split("\n\n")
reading = [one.replace("\n", " ") for one in novels if len(one) > 100]
reading += texts_of("tatoeba", "*.eng").split("\n\n")
talks = list(tune.read_conversations(folder / "instruction-data.json"))[:935]
if TINY:
    reading, talks = reading[:200], talks[:16]
texts = [message["content"] for one in talks for message in one.messages]
texts += [text for one in learn for text in (one.chosen, one.rejected)]
tokenizer = kl.BytePairTokenizer.train(
    reading + texts, 512 if TINY else 4096, progress=False
)

# %%
size = {"num_layers": 1, "hidden_dim": 32, "num_heads": 2}
size = size if TINY else {"num_layers": 3, "hidden_dim": 128, "num_heads": 4}
config = kl.DecoderConfig(
    vocabulary_size=tokenizer.vocabulary_size, context_length=256, **size
)
start = kl.CausalLM(kl.build_decoder(config), tokenizer, chat="keras_llm")
kl.train.fit(
    start.model,
    tune.text_rows_of(reading, tokenizer, 256),
    steps=READ,
    batch_size=4,
    learning_rate=3e-3,
)
report = tune.chat(
    start,
    talks,
    epochs=EPOCHS,
    batch_size=4,
    learning_rate=1e-3,
    samples=0,
)
print(f"{report.parameters:,} parameters, answer loss", end=" ")
print(f"{report.train['loss']:.2f}")

# %% [markdown]
# ## A pair is a row
# The prompt with the chosen answer, then the prompt with the rejected one; a
# mask keeps them apart (two colours), so one forward pass scores both. Rows
# are as wide as the longest pair; the rest of a row is padding (grey).

# %%
rows = tune.pair_rows(test, tokenizer, start.chat_template, LENGTH)
assert len(rows) == len(test)
print(len(rows), "rows of", rows.time, "tokens")
first = {name: rows.inputs[name][:1] for name in ("tokens", "segments")}
kl.visualize.mask_figure(first)

# %% [markdown]
# ## DPO by hand
# How much likelier did the new model make an answer than the model it came
# from (the **reference**)? The logarithm of that ratio, times beta, is the
# answer's **reward**. The chosen one's should be higher; the loss is the
# surprise that it is: `-log sigmoid(reward_chosen - reward_rejected)`. The
# difference is the pair's **margin**. To have two models that differ, a copy
# gets some noise.


# %%
def copy_of(lm):
    """The same language model with weights of its own."""
    return lm.replace(model=kl.float32_copy(lm.model))


def answer_log_probabilities(model, rows):
    """(rows, 2): of the chosen and of the rejected answer."""
    inputs, targets, weights = rows.batch(np.arange(len(rows)))
    logits = model({n: inputs[n] for n in ("tokens", "positions", "segments")})
    surprise = keras.losses.sparse_categorical_crossentropy(
        targets, logits, from_logits=True
    )
    parts = [weights * (inputs["segments"] == n) for n in (1, 2)]
    sums = [-ops.sum(surprise * part, axis=-1) for part in parts]
    return np.stack(sums, axis=-1)


# %%
def dpo(model, reference, rows, beta=0.1):
    ratios = answer_log_probabilities(model, rows)
    ratios = ratios - answer_log_probabilities(reference, rows)
    margins = beta * (ratios[:, 0] - ratios[:, 1])
    return np.mean(np.log1p(np.exp(-margins))), margins


# %%
noisy = copy_of(start)
random = np.random.default_rng(1)
noisy.model.set_weights(
    [w + 0.02 * random.normal(size=w.shape) for w in noisy.model.get_weights()]
)
few = rows.take(range(min(8, len(rows))))
loss, margins = dpo(noisy.model, start.model, few)
ours = kl.train.score_rows(
    noisy.model,
    tune.with_reference(few, start.model),
    tune.Preference("dpo", beta=0.1),
)
print(f"by hand: {loss:.5f}, margin {margins.mean():.5f}")
print(f"ours:    {ours['loss']:.5f}, margin {ours['margin']:.5f}")
np.testing.assert_allclose(loss, ours["loss"], rtol=1e-3)
np.testing.assert_allclose(margins.mean(), ours["margin"], atol=1e-3)

# %% [markdown]
# ## The reference is asked once
# It never changes, so `with_reference` scores all rows before training and
# keeps two numbers of each: the log-probabilities of the chosen and of the
# rejected answer, in nats (natural logarithms). No second model stays in
# memory. And since model and reference agree at first, every run of DPO starts
# at ln 2, the surprise of a coin.

# %%
referred = tune.with_reference(rows, start.model)
for chosen, rejected in referred.inputs["reference"][:3]:
    print(f"chosen {chosen:.1f}, rejected {rejected:.1f}")
begun = kl.train.score_rows(start.model, referred, tune.Preference("dpo"))
print(f"first loss {begun['loss']:.4f}, ln 2 = {np.log(2):.4f}")

# %% [markdown]
# ## Training

# %%
rate = {"dpo": 3e-4, "ipo": 3e-4, "kto": 3e-4, "simpo": 3e-4, "orpo": 1e-3}


def preferred(kind):
    """A copy tuned with one loss, and its history."""
    lm = copy_of(start)
    tune.prefer(
        lm,
        learn,
        kind=kind,
        validation=test,
        context_length=LENGTH,
        steps=STEPS,
        batch_size=BATCH,
        learning_rate=rate[kind],
        log_every=2,
        validate_every=max(2, STEPS // 5),
        out=work / kind,
    )
    return lm, kl.train.read_history(work / kind / "metrics.jsonl")


def with_error(share):
    """A share of the held-out pairs, with its standard error."""
    return f"{share:.1%} ± {np.sqrt(share * (1 - share) / len(test)):.1%}"


# %%
polite, history = preferred("dpo")
last = history[-1]
print(f"loss {last['validation_loss']:.3f} on pairs held out; in", end=" ")
print(f"{with_error(last['validation_accuracy'])} the chosen answer", end=" ")
print("gained more than the rejected one")
for name, lm in (("before", start), ("after", polite)):
    both = answer_log_probabilities(lm.model, rows)
    share = np.mean(both[:, 0] > both[:, 1])
    print(f"{name}: in {with_error(share)} it is the likelier one")
longer = [len(pair.rejected) > len(pair.chosen) for pair in test]
print(f"in {with_error(np.mean(longer))} it is the shorter one")

# %% [markdown]
# The ± are standard errors: with so few pairs, differences of some points say
# nothing. "Gained more" is not "likelier": DPO moves most pairs the right way,
# and yet in hardly more of them than before the chosen answer is the likelier
# one. Length plays its part in that: each token lowers an answer's probability,
# so the shorter of two starts ahead.
#
# Three curves tell how it went: the margin, the **accuracy** (how often the
# margin is positive), and the rewards themselves. Held-out curves begin at the
# reference, where all rewards are 0 and the accuracy is counted as a half.
# Both rewards fall here, the rejected one further: the margin comes from
# unlearning answers of both kinds. Stop earlier, take a lower rate, or raise
# beta, if that matters.


# %%
def curve(axes, name, colour):
    """A metric of the batches (dots) and of the held-out pairs (a line)."""
    for key, style in ((name, ":"), (f"validation_{name}", ".-")):
        points = [(h["step"], h[key]) for h in history if key in h]
        label = name
        if key != name:
            points.insert(0, (0, begun[name]))
            label = f"held out: {name}"
        axes.plot(*zip(*points, strict=True), style, color=colour, label=label)


figure = new_figure(10, 3)
panels = {
    "margin": "difference of rewards",
    "accuracy": "share of pairs",
    "chosen rejected": "reward",
}
for place, (names, label) in enumerate(panels.items(), 1):
    axes = figure.add_subplot(1, 3, place)
    for number, name in enumerate(names.split()):
        curve(axes, name, f"C{number}")
    axes.set(xlabel="step", ylabel=label)
    axes.legend(fontsize=7)
figure

# %% [markdown]
# A margin is about answers that are given. What the model says by itself,
# always taking the likeliest token, is another matter. It is no better after
# DPO, and often worse, as when it no longer comes to an end:

# %%
for pair in test[:3]:
    prompt = list(pair.prompt)
    print("asked: ", shorten(prompt[-1]["content"], 70))
    for name, lm in (("before", start), ("after", polite)):
        print(f"{name}:", "".join(lm.chat(prompt, max_new_tokens=24)).strip())
    print()

# %% [markdown]
# ## The family
# **IPO** asks for a fixed margin instead of an ever larger one. **KTO** needs
# no pairs, only single answers with a thumb. **SimPO** and **ORPO** need no
# reference: SimPO compares the answers' mean log-probabilities, ORPO the odds
# (p / (1 - p)) of their mean token, and learns the chosen answer, too. Each has
# an accuracy by its own reward; to compare them, the column "against the
# start" asks the same of all: in how many held-out pairs has the chosen answer
# gained more than the other?

# %%
table = []
for kind in ("dpo", "kto") if TINY else ("dpo", "ipo", "kto", "simpo", "orpo"):
    lm, lines = (polite, history) if kind == "dpo" else preferred(kind)
    against = kl.train.score_rows(lm.model, referred, tune.Preference("dpo"))
    table.append(
        {
            "loss": kind,
            "reference": "yes" if kind in ("dpo", "ipo", "kto") else "no",
            "own accuracy": f"{lines[-1]['validation_accuracy']:.1%}",
            "against the start": with_error(against["accuracy"]),
            "margin there": f"{against['margin']:.2f}",
            "nats a token lost": f"{against['kl']:.2f}",
        }
    )
print(evaluate.markdown_table(table))

# %% [markdown]
# KTO saw half as many answers (eight of them a step, not eight pairs). Read the
# shares with their errors: 110 pairs hardly tell the first four apart. The last
# column is the price: how much less likely the answers of both kinds became, by
# token (below 0: likelier). It is highest for SimPO, which nothing keeps near
# the start. ORPO moves the pairs least and pays nothing: most of its loss is
# learning the chosen answers. The others pay much at this rate, and need not:
# with a rate of 1e-4 a model of 4.3 million parameters gets 79 % of 110 pairs
# by DPO, too, for 0.08 nats a token ([measured](../preferences.md#measured)).
#
# ## A reward model
# A judge of its own: a copy of the decoder with one number in place of the
# vocabulary, read at the end of an answer, trained so that the chosen one gets
# more. It scores any answer, also those the model will write tomorrow.

# %%
judge = tune.reward(
    start,
    learn,
    context_length=LENGTH,
    steps=STEPS,
    batch_size=BATCH,
    learning_rate=3e-4,
)


# %%
def scores_of(score):
    """What a judge gives chosen and rejected answers, (pairs, 2)."""
    prompts = [pair.prompt for pair in test]
    sides = [[p.chosen for p in test], [p.rejected for p in test]]
    return np.stack([score(prompts, answers) for answers in sides], axis=-1)


judged = scores_of(judge.score)
wins = judged[:, 0] > judged[:, 1]
print("the reward model prefers the chosen answer in", end=" ")
print(with_error(wins.mean()))

# %% [markdown]
# A judge is of use without any training of the model: draw several answers,
# and keep the one that it likes best. What that is worth depends on the judge,
# and on what there is to choose from.

# %%
asked = test[2].prompt[-1]["content"]
print(asked)
drawing = {"max_new_tokens": 24, "temperature": 0.7}
for one in tune.best_of_n(start, asked, 4, judge, **drawing):
    print(f"{one.score:+.2f} {one.text.strip()}")

# %% [markdown]
# ## Do judges agree?
# Before a judge replaces people, its scores are compared with theirs, or with
# another judge's. **Pearson** asks whether the scores lie on a line,
# **Spearman** whether the ranks do, **Kendall** how many pairs of answers both
# put in the same order. By hand each is a line or two:


# %%
def pearson(x, y):
    x, y = x - x.mean(), y - y.mean()
    return (x @ y) / np.sqrt((x @ x) * (y @ y))


def spearman(x, y):
    return pearson(*(np.argsort(np.argsort(one)) * 1.0 for one in (x, y)))


def kendall(x, y):
    orders = [np.sign(one[:, None] - one[None]) for one in (x, y)]
    return (orders[0] * orders[1]).sum() / (len(x) * (len(x) - 1))


# %%
ratios = answer_log_probabilities(polite.model, rows)
ratios = ratios - answer_log_probabilities(start.model, rows)
x, y = judged.ravel(), 0.1 * ratios.ravel()
figure = new_figure(4.5, 3.5)
axes = figure.add_subplot()
for side, name in enumerate(("chosen", "rejected")):
    axes.scatter(x[side::2], y[side::2], s=10, label=name)
axes.set(xlabel="score of the reward model", ylabel="reward of DPO (beta 0.1)")
axes.legend()
figure

# %% [markdown]
# Two judges that learned from the same pairs: the reward model, and the reward
# that DPO left in the tuned model. The table throws all answers together, as
# the book does, which lets GPT-4 and Llama 3 8B score the same 100 answers.
# For our two judges that is unfair: only the difference between two answers to
# *one* prompt was ever learned. The last line compares these differences.

# %%
book = {"Pearson": 0.805, "Spearman": 0.698, "Kendall": 0.573}
theirs = {
    "Pearson": stats.pearsonr,
    "Spearman": stats.spearmanr,
    "Kendall": stats.kendalltau,
}
table = []
for own, name in zip((pearson, spearman, kendall), book, strict=True):
    value = float(own(x, y))
    np.testing.assert_allclose(value, theirs[name](x, y).statistic, atol=1e-3)
    row = {"": name, "our two judges": f"{value:.3f}"}
    table.append(row | {"GPT-4 and Llama 3, the book": book[name]})
print(evaluate.markdown_table(table))
apart = [one.reshape(-1, 2) @ (1, -1) for one in (x, y)]
print(f"differences within a pair: Pearson {pearson(*apart):.3f};", end=" ")
print(f"the same winner in {with_error(np.mean(apart[0] * apart[1] > 0))}")

# %% [markdown]
# ## From thumbs to pairs
# Where do pairs come from? From people. `keras-llm serve --feedback` keeps
# what they say in a store, one SQLite file; here the same by hand. The thumbs
# are given by a rule that likes the shorter answer, since nobody is here to
# click.

# %%
with kl.feedback.FeedbackStore(work / "feedback.sqlite") as store:
    for number, pair in enumerate(test[:4]):
        prompt = list(pair.prompt)
        drawn = tune.best_of_n(start, pair.prompt, 2, judge, **drawing)
        drawn = sorted((one.text for one in drawn), key=len)
        for key, text in zip(("short", "long"), drawn, strict=True):
            answer = kl.feedback.Answer(
                id=f"{number}-{key}", prompt=prompt, text=text, model="start"
            )
            store.add(answer)
        store.rate(f"{number}-short", 1)
        store.rate(f"{number}-long", -1)
    store.correct("0-long", test[0].chosen)
    print(store.counts())
    written = store.write_preferences(work / "pairs.jsonl")
thumbs = list(tune.read_pairs(work / "pairs.jsonl"))
print(written, "pairs (four of thumbs, one of a correction), such as")
print("chosen:  ", thumbs[0].chosen)
print("rejected:", thumbs[0].rejected)

# %% [markdown]
# ## A reward alone: GRPO
# Where an answer can be checked, nobody needs to write a better one. The model
# draws a **group** of answers to each question; those that earn more than
# their group's mean become likelier. Our reward is simple on purpose: 1 for an
# answer of at most six words that ends with a full stop. `kl=0.02` is a leash:
# each update also pulls the model back, with that weight, to the one it was.


# %%
def short(prompt, answer, record):
    ends = answer.strip().endswith(".")
    return float(ends and 0 < len(answer.split()) <= 6)


questions = [tune.Question(pair.prompt) for pair in learn[:64]]
brief = copy_of(start)
report = tune.grpo(
    brief,
    questions,
    short,
    group=8,
    batch_size=16 if TINY else 32,
    max_new_tokens=24,
    kl=0.02,
    steps=2 if TINY else 20,
    learning_rate=3e-4,
    log_every=1,
    out=work / "grpo",
)

# %%
lines = kl.train.read_history(work / "grpo" / "metrics.jsonl")
figure = new_figure(10, 3)
units = {"reward": "share", "length": "tokens", "entropy": "nats a token"}
for place, (name, unit) in enumerate(units.items(), 1):
    axes = figure.add_subplot(1, 3, place)
    steps = [line["step"] for line in lines]
    axes.plot(steps, [line[name] for line in lines], ".-")
    axes.set(xlabel="update", ylabel=unit, title=f"{name} of the answers drawn")
figure

# %%
held = [tune.Question(pair.prompt) for pair in test]
for name, lm in (("before", start), ("after", brief)):
    for temperature in (1.0, 0.0):
        share = tune.mean_reward(
            lm, held, short, temperature=temperature, max_new_tokens=24
        )
        print(f"{name}, temperature {temperature}: {share:.0%} earn it")
    for one in tune.best_of_n(lm, asked, 3, short, max_new_tokens=24):
        print("  drawn:", one.text.strip())

# %% [markdown]
# Temperature 1 is how answers are drawn in training; 0 always takes the
# likeliest token. Nearly all answers earn the reward in the end, on questions
# that were held out, too; and they are as short as they are empty. Whether they
# are any good, nobody asked: a reward is always a part of what is meant, so
# watch the answers, not only the curve. **Entropy** is how undecided the model
# is at a token; where it reaches 0, all answers of a group are the same, and
# nothing is learned. (With sums, whose answers can be checked, GRPO takes a
# small model from 10 to 96 % right: `benchmarks/grpo.py`.)
#
# ## Exercises
# **Exercise 1.** The gradient of DPO weighs each pair by
# `sigmoid(-beta h)`, where `beta h` is its margin. What is the weight at the
# start, for a margin of 3, and for a pair with a margin of -3?
#
# **Exercise 2.** Some pairs are labelled the wrong way round. cDPO takes a
# share s of them to be: `(1 - s) L(h) + s L(-h)`, with the loss L of DPO.
# Write it, and compare with `tune.Preference("dpo", label_smoothing=0.1)`.
#
# **Exercise 3.** Two judges put 78.65 % of all pairs of answers in the same
# order. What is their Kendall correlation? Check the rule on our judges.

# %% [markdown]
# ## Solutions
# ### Exercise 1
# A half at the start; little for what is right already; nearly all for what
# is wrong. Pairs that are learned stop pulling.


# %%
def weight(margin):
    return 1 / (1 + np.exp(margin))


print({margin: round(float(weight(margin)), 3) for margin in (0, 3, -3)})
assert weight(0) == 0.5
assert weight(3) < 0.05 and weight(-3) > 0.95

# %% [markdown]
# ### Exercise 2
# With the margins from above:

# %%
share = 0.1
_, margins = dpo(noisy.model, start.model, few)
mixed = (1 - share) * np.log1p(np.exp(-margins)) + share * np.log1p(
    np.exp(margins)
)
smooth = kl.train.score_rows(
    noisy.model,
    tune.with_reference(few, start.model),
    tune.Preference("dpo", beta=0.1, label_smoothing=share),
)
print(f"by hand {mixed.mean():.5f}, ours {smooth['loss']:.5f}")
assert np.isclose(mixed.mean(), smooth["loss"], rtol=1e-3)

# %% [markdown]
# ### Exercise 3
# Kendall is the share in the same order minus the share in the other:
# 2 * 0.7865 - 1 = 0.573, the book's number.

# %%
same = (x[:, None] > x) == (y[:, None] > y)
above = np.triu(np.ones_like(same), 1).astype(bool)
alike = same[above].mean()
print(f"ours put {alike:.1%} of the pairs in the same order")
assert np.isclose(2 * alike - 1, kendall(x, y), atol=1e-3)
