# %% [markdown]
# # A spam filter, from a language model that has read messages
#
# *"free entry! txt WIN to 81010"* → **spam**, with a probability that can be
# believed.
#
# In about two minutes you will be able to: turn any decoder into a classifier
# by putting a small head on its last token, choose what of it is trained, read
# a confusion matrix and a reliability diagram, move the threshold, and export
# the result as a program from text to label. It needs
# `pip install "keras_llm[viz,eval]"` and no GPU; 5,574 text messages are
# downloaded (or taken from `KERAS_LLM_DATA`).

# %%
import logging
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import keras
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import keras_llm as kl
from keras_llm import classify, evaluate
from keras_llm.figures import new_figure

logging.getLogger("tensorflow").setLevel("ERROR")  # several models compile
TINY = bool(os.environ.get("KERAS_LLM_TINY"))
STEPS, EPOCHS = (10, 2) if TINY else (120, 3)
work = Path(tempfile.mkdtemp(prefix="keras-llm-spam-"))
keras.utils.set_random_seed(123)

# %% [markdown]
# ## The messages
# Some messages stand in the set several times. Left as they are, some of the
# test would have been seen in training, so each is kept once.

# %%
path = kl.data.download("sms_spam") / "sms.tsv"
every = list(kl.tune.read_labelled(path))
once = {one.text.strip(): one for one in every}
spam = [one for one in once.values() if one.labels == ("spam",)]
ham = [one for one in once.values() if one.labels == ("ham",)]
print(f"{len(every):,} messages, {len(once):,} different ones:", end=" ")
print(f"{len(ham):,} ham and {len(spam)} spam")
print("ham: ", ham[0].text)
print("spam:", spam[0].text)

# %% [markdown]
# ## As many of one kind as of the other
# Whoever always says "ham" is right for seven messages in eight and has
# learned nothing. The book (chapter 6) therefore takes as many ham messages as
# there are spam ones, and so do we; then 70 % are for training, 10 % to
# validate, 20 % for the test. The other ham messages keep their use: without
# labels, they are text to read.

# %%
random = np.random.default_rng(123)
if TINY:
    spam, ham = spam[:120], ham[:300]
some = random.permutation(len(ham))
balanced = spam + [ham[i] for i in some[: len(spam)]]
rest = [ham[i].text for i in some[len(spam) :]]
order = random.permutation(len(balanced))
cuts = [round(0.7 * len(order)), round(0.8 * len(order))]
train, validation, test = (
    [balanced[i] for i in part] for part in np.split(order, cuts)
)
print(
    len(train), "to train,", len(validation), "to validate,", len(test), "test"
)
always = np.mean([one.labels == ("ham",) for one in test])
print(f'always "ham": {always:.1%} of the balanced test right')

# %% [markdown]
# ## How long are they?
# A tokenizer for these messages learns their words ("txt", "ur", "claim").
# Spam fills the 160 letters that were paid for.

# %%
reading = rest + [one.text for one in train]
tokenizer = kl.BytePairTokenizer.train(
    reading, 512 if TINY else 2048, progress=False
)
figure = new_figure(6, 3)
axes = figure.add_subplot()
for name in ("ham", "spam"):
    own = [one.text for one in train if one.labels == (name,)]
    lengths = [len(tokenizer.encode(text)) for text in own]
    axes.hist(lengths, 30, alpha=0.6, label=name)
axes.set(xlabel="tokens", ylabel="messages")
axes.legend()
figure

# %% [markdown]
# The book pads each message to the longest (120 tokens). Here several share a
# row, kept apart by `segments`, as in pretraining: hardly anything is padded,
# and a message's result is that of the message alone.

# %%
documents = kl.tune.text_rows_of([one.text for one in train], tokenizer, 128)
used = float((documents.inputs["segments"] > 0).mean())
longest = max(len(tokenizer.encode(one.text)) for one in train)
mean = np.mean([len(tokenizer.encode(one.text)) for one in train])
print(f"side by side, {used:.0%} of the places hold a token;", end=" ")
print(f"padded to the longest, {mean / longest:.0%} would")

# %% [markdown]
# ## A language model first
# Reading comes before sorting. The book starts from GPT-2, which has read a
# good part of the internet. Ours reads what it has: all messages but those to
# validate and to test, for half a minute, without their labels.

# %%
size = {"num_layers": 1, "hidden_dim": 32, "num_heads": 2}
size = size if TINY else {"num_layers": 2, "hidden_dim": 128, "num_heads": 4}
config = kl.DecoderConfig(
    vocabulary_size=tokenizer.vocabulary_size, context_length=128, **size
)
fresh = kl.CausalLM(kl.build_decoder(config), tokenizer)
lm = fresh.replace(model=kl.float32_copy(fresh.model))
rows = kl.tune.text_rows_of(reading, tokenizer, 128)
report = kl.train.fit(
    lm.model, rows, steps=STEPS, batch_size=16, learning_rate=3e-3
)
print(f"{report.parameters:,} parameters, loss {report.loss:.2f}", end="; ")
print(f"a guess would have {np.log(tokenizer.vocabulary_size):.2f}")
print(lm.generate("U have won", max_new_tokens=24, temperature=0.7, seed=3))

# %% [markdown]
# ## A head on the last token
# The decoder ends with one vector for each token. The head that turns it into
# a score for each of the vocabulary's tokens is taken off; a matrix of
# width x 2 takes its place. Of a message only the **last** token is asked: it
# is the only one that has seen all the others.

# %%
model = classify.sequence_model(lm, classes=2, seed=1)
norm = lm.model.get_layer("final_norm").output
reader = keras.Model(lm.model.input, norm)


def hidden_states(text):
    """The decoder's vectors of a message, (tokens, width), and its ids."""
    ids = [tokenizer.bos_id, *tokenizer.encode(text), tokenizer.eos_id]
    inputs = {
        "tokens": np.array([ids]),
        "positions": np.arange(len(ids))[None],
        "segments": np.ones((1, len(ids)), "int32"),
    }
    return reader(inputs).numpy()[0], ids


# %%
states, ids = hidden_states(train[0].text)
head = model.get_layer("classifier")
by_hand = states[-1] @ head.kernel.numpy() + head.bias.numpy()
np.testing.assert_allclose(by_hand, model(np.array([ids]))[0, 0], atol=1e-4)
print("hidden states", states.shape, "-> logits", by_hand.round(3))
print("the new head has", head.count_params(), "parameters")

# %% [markdown]
# ## What to train
# The new head alone (what is below stays as it read), the last block with it,
# or everything. `classify.sequence` does it, in place, so that each choice
# gets a copy.


# %%
def copy_of(one):
    """The same language model with weights of its own."""
    return one.replace(model=kl.float32_copy(one.model))


def tuned(start, trainable, rate):
    """A classifier, and the history of its training."""
    out = Path(tempfile.mkdtemp(dir=work))
    found = classify.sequence(
        *(copy_of(start), train, validation),
        trainable=trainable,
        learning_rate=rate,
        epochs=EPOCHS,
        out=out,
        seed=1,
    )
    return found, kl.train.read_history(out / "metrics.jsonl")


# %%
choices = {
    "head alone": (lm, "head", 3e-3),
    "last block": (lm, "last_1", 1e-3),
    "everything": (lm, "all", 1e-3),
    "everything, never read": (fresh, "all", 1e-3),
}
if TINY:
    choices = {"everything": choices["everything"]}
runs = {name: tuned(*choice) for name, choice in choices.items()}

# %% [markdown]
# Beside them, two that read nothing: always "ham", and a logistic regression
# on which words and pairs of words are in a message (TF-IDF). For a task as
# easy as this one, it is what every language model must be compared with.

# %%
words = make_pipeline(
    TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
    LogisticRegression(C=100, max_iter=1000),
)
words.fit([x.text for x in train], [x.labels[0] for x in train])
by_words = words.score([x.text for x in test], [x.labels[0] for x in test])

# %% [markdown]
# The book's numbers (chapter 6 and its additional experiments) are of GPT-2
# with 124 million parameters on its own split of 300 test messages.

# %%
book = {
    "head alone": "72.00 %",
    "last block": "95.67 %",
    "everything": "96.67 %",
    "everything, never read": "93.67 %",
}
table = [
    {"what": 'always "ham"', "test": f"{always:.2%}"},
    {"what": "TF-IDF + logistic regression", "test": f"{by_words:.2%}"},
]

# %%
for name, (found, _) in runs.items():
    scores = classify.evaluate(found, test)
    error = scores["errors"]["accuracy"]
    trained = found.report["training"]["parameters"]
    table.append(
        {
            "what": name,
            "trained": f"{trained:,}",
            "test": f"{scores['accuracy']:.2%} ± {error:.2%}",
            "the book's": book[name],
        }
    )
keys = {key: "" for key in table[-1]}
print(evaluate.markdown_table([keys | row for row in table]))

# %% [markdown]
# Look at the errors before you look at the order: with a test this small, a
# percent more or less is luck, and so is which of our rows is first. What is
# not luck: all know far more than a coin; counting words comes close; and the
# head alone, last by far in the book, is not far behind here. It may be that
# our model has read just such messages, and that a head alone gets the larger
# learning rate it needs.
#
# ## The curve
# Accuracy counts mistakes, loss also how sure they were. By accuracy all end
# within a few of the 128 messages of each other; by loss they are apart.

# %%
figure = new_figure(8, 3)
for place, key in enumerate(("accuracy", "loss"), 1):
    axes = figure.add_subplot(1, 2, place)
    for name, (_, history) in runs.items():
        lines = [h for h in history if f"validation_{key}" in h]
        steps = [h["step"] for h in lines]
        values = [h[f"validation_{key}"] for h in lines]
        axes.plot(steps, values, ".-", label=name)
    axes.set(xlabel="step", ylabel=f"validation {key}")
axes.legend(fontsize=8)
figure

# %% [markdown]
# ## Which mistakes
# A lost message is worse than an advertisement read. Rows are what is true,
# columns what was said.

# %%
found, _ = runs["everything"]
report = classify.classification_report(found, test)
spam_row = report.numbers["labels"]["spam"]
print({k: round(spam_row[k], 3) for k in ("precision", "recall", "f1")})
evaluate.confusion_figure(report.numbers["confusion"], found.labels)

# %%
p = found.probabilities([one.text for one in test])[:, 1]
wrong = [
    (float(value), one)
    for value, one in zip(p, test, strict=True)
    if (value > 0.5) != (one.labels == ("spam",))
]
for value, one in sorted(wrong, key=lambda pair: -abs(pair[0] - 0.5))[:4]:
    print(f"{one.labels[0]}, said spam with {value:.2f}: {one.text[:90]}")

# %% [markdown]
# ## Can the probabilities be believed?
# Of all messages called spam with 0.8, eight in ten should be. A model that
# was trained until it makes no mistakes in training is too sure of itself. One
# number mends some of it, a **temperature** that all logits are divided by; it
# is fitted on the validation messages and changes no label. In the picture,
# look at the bars first: nearly all messages are in the last, and a point with
# a single message says nothing.

# %%
better, fitted = classify.calibrate(found, validation)
report = classify.calibration_report(better, test)
print(f"temperature {fitted.temperature:.2f}; calibration error of")
print(f"the test {report.raw.expected_error:.3f}", end=" -> ")
print(f"{report.calibrated.expected_error:.3f}, loss", end=" ")
print(f"{report.raw.loss:.3f} -> {report.calibrated.loss:.3f}")
evaluate.reliability_figure(
    {"raw": report.raw.bins, "calibrated": report.calibrated.bins}
)

# %% [markdown]
# ## A threshold for the purpose
# 0.5 treats both mistakes alike. Whoever fears to lose messages asks for the
# best precision at a recall that is just good enough, on validation messages.
# What was best on 128 of them need not help on the test: messages that are
# called spam with certainty stay so.

# %%
truth = np.array([one.labels == ("spam",) for one in validation])
scored = better.probabilities([one.text for one in validation])[:, 1]
value, precision = classify.choose_threshold(
    scored, truth, metric="precision", recall=0.9
)
careful = better.replace(threshold=float(value))
for name, one in (("at 0.5", better), (f"at {value:.2f}", careful)):
    row = classify.evaluate(one, test)["labels"]["spam"]
    print(f"{name}: precision {row['precision']:.3f}", end=", ")
    print(f"recall {row['recall']:.3f}")

# %% [markdown]
# ## Kept, and sent out
# A saved classifier gives the same probabilities when it is loaded. Exported,
# it is a program from text to label in any TensorFlow server, with tokenizer,
# temperature and threshold inside; the export is run in another process and
# compared with Keras before it is kept (`kl.export.classifier_litert` writes
# one for phones).

# %%
better.save(work / "kept")
again = classify.Classifier.load(work / "kept")
texts = ["WINNER!! Claim ur free prize now, txt YES", "see you at home, love"]
np.testing.assert_allclose(
    *(one.probabilities(texts) for one in (better, again)), atol=1e-6
)
served = kl.export.classifier(again, work / "served", texts=texts)
print(f"{served.size / 1e6:.1f} MB, difference {served.difference:.0e}")

# %% [markdown]
# This cell could be another machine: it needs TensorFlow and nothing else.

# %%
import tensorflow as tf  # noqa: E402

loaded = tf.saved_model.load(served.path)
answer = loaded.signatures["serving_default"](text=tf.constant(texts))
for text, label, p in zip(
    texts, answer["label"].numpy(), answer["probability"].numpy(), strict=True
):
    print(f"{label.decode()} ({p:.2f}): {text}")

# %% [markdown]
# ## Exercises
# **Exercise 1.** The book asks (exercise 6.3): what if the *first* token is
# read instead of the last? Compute the hidden states of two different
# messages and say what a head on the first one could learn.
#
# **Exercise 2.** LoRA (the book's appendix E): train the head and two thin
# matrices beside each query and value, with `kl.adapters.Lora(rank=4)`. How
# many parameters train, and which accuracy do you get?
#
# **Exercise 3.** Messages get longer while they wait: what if a spammer puts
# fifty harmless words before the text? Measure how many spam messages of the
# test are still found, and say why the place of the spam matters.

# %% [markdown]
# ## Solutions
# ### Exercise 1
# A token sees only itself and what came before. The first one is the same in
# each message (`<|endoftext|>`), so its vector is, too: a head on it can only
# say the same of all. The book's first-token run still gets 75 %, because its
# messages begin with their own first word.

# %%
one, other = (hidden_states(example.text)[0] for example in test[:2])
print(f"first token: {np.abs(one[0] - other[0]).max():.1e} apart")
print(f"last token:  {np.abs(one[-1] - other[-1]).max():.1e} apart")
assert np.allclose(one[0], other[0], atol=1e-4)
assert not np.allclose(one[-1], other[-1], atol=1e-2)

# %% [markdown]
# ### Exercise 2
# A LoRA takes the place of what is trained. The base stays as it was, and the
# adapter can be taken off again (chapter 08).

# %%
lora = classify.sequence(
    *(copy_of(lm), train),
    trainable=kl.adapters.Lora(rank=4),
    epochs=EPOCHS,
    seed=1,
)
trained = lora.report["training"]["parameters"]
width, blocks = config.hidden_dim, config.num_layers
accuracy = classify.evaluate(lora, test)["accuracy"]
print(f"{trained:,} parameters, test accuracy {accuracy:.2%}")
assert trained == blocks * 2 * 2 * 4 * width + head.count_params()

# %% [markdown]
# ### Exercise 3
# The last token sees all, but what stands near weighs more, and no message of
# the training looked like that.

# %%
only_spam = [one.text for one in test if one.labels == ("spam",)]
harmless = "I will be home soon and we can talk about it then my dear. " * 3
before = np.mean([x == "spam" for x in better.predict(only_spam)])
hidden_spam = [harmless + text for text in only_spam]
after = np.mean([x == "spam" for x in better.predict(hidden_spam)])
print(f"found: {before:.0%} as they are, {after:.0%} behind harmless words")
if not TINY:
    assert before > 0.7
assert 0 <= after <= 1
