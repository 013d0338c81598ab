# %% [markdown]
# # A spam filter, from a language model that has read messages
#
# *"free entry! txt WIN to 81010"* → **spam**, with a probability that can be
# believed.
#
# The cells run in about three minutes on two cores; then you will be able to:
# turn any decoder into a classifier by putting a small head on its last token,
# choose what of it is trained, read a confusion matrix and a reliability
# diagram, choose a threshold for a real inbox, and export the result for
# servers and phones. It needs `pip install "keras_llm[viz,eval,litert]"` and no
# GPU; 5,574 text messages are downloaded (or taken from `KERAS_LLM_DATA`).

# %%
import importlib.util
import json
import logging
import os
import tempfile
import textwrap
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
STEPS, EPOCHS = (10, 2) if TINY else (400, 3)
CONTEXT = 192  # tokens; a few messages are nearly as long
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
# learned nothing. The book ([Raschka, *Build a Large Language Model (From
# Scratch)*](../book.md), chapter 6) therefore takes as many ham messages as
# there are spam ones, and so do we; then 70 % are for training, 10 % to
# validate, 20 % for the test. Of the other ham messages some are kept for
# later, when the filter meets a real inbox. The rest have a use without their
# labels: they are text to read.

# %%
random = np.random.default_rng(123)
if TINY:
    spam, ham = spam[:120], ham[:300]
some = random.permutation(len(ham))
balanced = spam + [ham[i] for i in some[: len(spam)]]
rest = [ham[i] for i in some[len(spam) :]]
KEPT = 60 if TINY else 1200
kept, unlabelled = rest[:KEPT], [one.text for one in rest[KEPT:]]
order = random.permutation(len(balanced))
cuts = [round(0.7 * len(order)), round(0.8 * len(order))]
train, validation, test = (
    [balanced[i] for i in part] for part in np.split(order, cuts)
)
print(len(train), "to train,", len(validation), "to validate,", end=" ")
print(f"{len(test)} test, {len(kept):,} ham kept, {len(unlabelled):,} to read")


def texts_of(examples):
    return [one.text for one in examples]


def is_spam(examples):
    return np.array([one.labels == ("spam",) for one in examples])


# %% [markdown]
# ## How long are they?
# A tokenizer for these messages learns their words ("txt", "ur", "claim").
# Spam fills the 160 letters that were paid for.

# %%
reading = unlabelled + texts_of(train)
tokenizer = kl.BytePairTokenizer.train(
    reading, 512 if TINY else 2048, progress=False
)
figure = new_figure(6, 3)
axes = figure.add_subplot()
for name in ("ham", "spam"):
    own = [one.text for one in train if one.labels == (name,)]
    lengths = [len(tokenizer.encode(text)) for text in own]
    axes.hist(lengths, np.arange(0, CONTEXT + 1, 4), alpha=0.6, label=name)
axes.set(xlabel="tokens", ylabel="messages")
axes.legend()
figure

# %% [markdown]
# The book pads each message to the longest (120 tokens). Here several share a
# row, kept apart by `segments`, as in pretraining: hardly anything is padded,
# and a message's result is that of the message alone.

# %%
documents = kl.tune.text_rows_of(texts_of(train), tokenizer, CONTEXT)
used = float((documents.inputs["segments"] > 0).mean())
lengths = [len(tokenizer.encode(text)) for text in texts_of(train)]
print(f"side by side, {used:.0%} of the places hold a token; padded", end=" ")
print(f"to the longest ({max(lengths)}), ", end="")
print(f"{np.mean(lengths) / max(lengths):.0%} would")

# %% [markdown]
# ## A language model first
# Reading comes before sorting. The book starts from GPT-2, which has read a
# good part of the internet. Ours reads what it has: the messages to train on
# and those left over, for a minute, without their labels.

# %%
size = {"num_layers": 1, "hidden_dim": 32, "num_heads": 2}
size = size if TINY else {"num_layers": 2, "hidden_dim": 128, "num_heads": 4}
config = kl.DecoderConfig(
    vocabulary_size=tokenizer.vocabulary_size, context_length=CONTEXT, **size
)
fresh = kl.CausalLM(kl.build_decoder(config), tokenizer)
lm = fresh.replace(model=kl.float32_copy(fresh.model))
rows = kl.tune.text_rows_of(reading, tokenizer, CONTEXT)
unread = kl.tune.text_rows_of(texts_of(kept), tokenizer, CONTEXT)
report = kl.train.fit(
    lm.model,
    rows,
    validation_rows=unread,
    steps=STEPS,
    batch_size=8,
    learning_rate=3e-3,
)
print(f"{report.parameters:,} parameters, loss {report.loss:.2f}", end="; ")
print(f"of ham it has not read {report.validation_loss:.2f}", end="; ")
print(f"a guess would have {np.log(tokenizer.vocabulary_size):.2f}")
PROMPT = "U have won"
for seed in range(3):
    text = lm.generate(PROMPT, max_new_tokens=24, temperature=0.7, seed=seed)
    print(repr(PROMPT + text))

# %% [markdown]
# ## A head on the last token
# The decoder ends with one vector for each token. The head that turns it into
# a score for each of the vocabulary's tokens is taken off; a matrix of
# width x 2 takes its place. Of a message only the **last** token is asked: it
# is the only one that has seen all the others. That is `<|endoftext|>`, which
# stands behind each message (and before it), as in the rows that were read.

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
logits = model(np.array([ids]))  # (rows, texts in a row, labels)
np.testing.assert_allclose(by_hand, logits[0, 0], atol=1e-4)
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
        copy_of(start),
        train,
        validation,
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
# on counts of words and pairs of words. The counts are weighed by **TF-IDF**:
# a word counts more the oftener it stands in the message and the fewer other
# messages have it. For a task as easy as this one, that is what every language
# model must be compared with.

# %%
words = make_pipeline(
    TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
    LogisticRegression(C=100, max_iter=1000),
)
words.fit(texts_of(train), is_spam(train))
truth = is_spam(test)

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


def row_of(name, said, trained=None):
    """A row of the table: the accuracy with its standard error."""
    right = said == truth
    error = right.std(ddof=1) / len(right) ** 0.5
    return {
        "what": name,
        "trained": f"{trained:,}" if trained else "",
        "test": f"{right.mean():.2%} ± {error:.2%}",
        "the book's": book.get(name, ""),
    }


# %%
by_words = words.predict(texts_of(test))
table = [
    row_of('always "ham"', np.zeros(len(test), bool)),
    row_of("TF-IDF + logistic regression", by_words),
]
for name, (found, _) in runs.items():
    said = np.array(found.predict(texts_of(test))) == "spam"
    table.append(row_of(name, said, found.report["training"]["parameters"]))
print(evaluate.markdown_table(table))

# %% [markdown]
# ± is the standard error: with a test this small a percent more or less is
# luck, and so is which of two neighbouring rows is first. What is not luck: all
# know far more than a coin. The rest can hardly be told apart with 257
# messages: not counting words from a network that starts from random weights,
# and what reading first adds to that is little more than the errors. The head
# alone, last by far in the book, keeps up with the others here. It may be that
# our model has read just such messages, and that a head alone gets the larger
# learning rate it needs.
#
# ## The curve
# Accuracy counts mistakes, loss also how sure they were. The accuracies end
# within a few of the 128 validation messages of each other; the losses have
# more to say. The head alone starts far behind and soon hardly moves: it can
# only weigh vectors that stay as they are. The model that has never read gets
# as low as the others, and rises again: a loss that rises while the accuracy
# does not fall is a model that gets surer of its mistakes.

# %%
figure = new_figure(8, 3.4)
for place, key in enumerate(("accuracy", "loss"), 1):
    axes = figure.add_subplot(1, 2, place)
    for name, (_, history) in runs.items():
        lines = [h for h in history if f"validation_{key}" in h]
        steps = [h["step"] for h in lines]
        values = [h[f"validation_{key}"] for h in lines]
        axes.plot(steps, values, ".-", label=name)
    axes.set(xlabel="step", ylabel=f"validation {key}")
figure.legend(
    *axes.get_legend_handles_labels(), loc="outside upper center", ncols=4
)
figure

# %% [markdown]
# ## Which mistakes
# A lost message is worse than an advertisement read, so one number for both
# mistakes is not enough. **Precision** is the share of what is called spam that
# is spam; **recall** is the share of the spam that is found; **F1** lies
# between the two, nearer to the lower one (it is their harmonic mean). In the
# picture rows are what is true, columns what was said.

# %%
found, _ = runs["everything"]
report = classify.classification_report(found, test)
spam_row = report.numbers["labels"]["spam"]
print({k: round(spam_row[k], 3) for k in ("precision", "recall", "f1")})
figure = evaluate.confusion_figure(report.numbers["confusion"], found.labels)
figure.axes[0].set_xlabel("said")
figure

# %%
p = found.probabilities(texts_of(test))[:, 1]
wrong = [
    (float(value), one)
    for value, one in zip(p, test, strict=True)
    if (value > 0.5) != (one.labels == ("spam",))
]
for value, one in sorted(wrong, key=lambda pair: -abs(pair[0] - 0.5))[:4]:
    text = textwrap.shorten(one.text, 90, placeholder=" ...")
    print(f"{one.labels[0]}, p(spam) = {value:.2f}: {text}")

# %% [markdown]
# ## In an inbox
# Half of our test is spam. In an inbox it is one message in eight: to each spam
# message come seven ham messages, each of which can be called spam by mistake.
# The two shares that do not depend on how much spam there is, of the spam that
# is found and of the ham that is lost, say what precision is left.


# %%
def precision_at(share, found, lost):
    """Precision where a share is spam, of two shares of a confusion matrix."""
    right, wrong = share * found, (1 - share) * lost
    return right / (right + wrong)


confusion = np.array(report.numbers["confusion"])
(_, lost), (_, caught) = confusion / confusion.sum(axis=1, keepdims=True)
print(f"{lost:.1%} of the ham is lost, {caught:.1%} of the spam is found")
for share, where in ((truth.mean(), "in our test"), (1 / 8, "in an inbox")):
    right = 100 * precision_at(share, caught, lost)
    print(f"{where}: of 100 that it calls spam, {right:.0f} are")

# %% [markdown]
# ## Can the probabilities be believed?
# Of all messages that got their label with a probability of 0.8, eight in ten
# should be right. The mean gap between what was promised and what was right is
# the **calibration error**. A classifier that has seen its training messages
# several times is, as a rule, too sure of itself. One number mends some of it,
# a **temperature** that all logits are divided by (above 1: less sure); it is
# fitted on the validation messages and changes no label. In the picture, look
# at the bars first: nearly all messages are in the last. Hollow points have
# fewer than five messages and say next to nothing.

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
# The loss, which counts a sure mistake most, shows what the temperature is good
# for; the calibration error of 257 messages is too rough to show it.
#
# ## A threshold for the purpose
# These probabilities hold where half is spam. Where ham is seven times as
# frequent, the odds of spam are a seventh: 7/8 here is as likely as not there,
# and 0.5 calls far too much spam. So we choose the threshold on messages mixed
# as in an inbox: those to validate with a third of the ham that was kept. We
# ask for the best precision that still finds nine spam messages in ten. The
# other kept ham joins the test.

# %%
cut = len(kept) // 3
inbox, later = validation + kept[:cut], test + kept[cut:]
scored = better.probabilities(texts_of(inbox))[:, 1]
value, _ = classify.choose_threshold(
    scored, is_spam(inbox), metric="precision", recall=0.9
)
careful = better.replace(threshold=float(value))
for name, one in (("at 0.5", better), (f"at {value:.3f}", careful)):
    row = classify.evaluate(one, later)["labels"]["spam"]
    said = np.array(one.predict(texts_of(kept[cut:]))) == "spam"
    print(f"{name:8} precision {row['precision']:.3f}", end=", ")
    print(f"recall {row['recall']:.3f}; of 1,000 ham messages", end=" ")
    print(f"{1000 * said.mean():.0f} are lost")

# %%
scored = better.probabilities(texts_of(later))[:, 1]
places = np.linspace(0, 1, 401)[:, None]
figure = new_figure(6.5, 3)
axes = figure.add_subplot()
for label, missed in (
    ("ham lost", scored[~is_spam(later)] >= places),
    ("spam missed", scored[is_spam(later)] < places),
):
    axes.plot(places, missed.mean(axis=1), label=label)
axes.axvline(0.5, color="#888888", linestyle=":", label="0.5")
axes.axvline(value, color="#888888", linestyle="--", label="chosen")
axes.set(xlabel="threshold", ylabel="share", ylim=(0, 0.2))
axes.legend()
figure

# %% [markdown]
# Further to the right less ham is lost and more spam is missed; no threshold is
# free of both. (At 0.5 the precision is not quite what was foretold above: the
# few lost ones of 132 ham messages are a rough estimate.) Which mistake costs
# more is not for the model to know: it is for you to say, with the recall that
# you ask for.
#
# ## Kept, and sent out
# A saved classifier gives the same probabilities when it is loaded. Exported,
# it is a program from text to label in any TensorFlow server, with tokenizer,
# temperature and threshold inside; the export is run in another process and
# compared with Keras before it is kept.

# %%
careful.save(work / "kept")
again = classify.Classifier.load(work / "kept")
texts = ["free entry! txt WIN to 81010", "see you at home, love"]
before, after = careful.probabilities(texts), again.probabilities(texts)
np.testing.assert_allclose(before, after, atol=1e-6)
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
# ## On a phone
# The same filter as one `.tflite`, which needs neither TensorFlow nor Keras. It
# takes ids, so the tokenizer goes along; a JSON beside it has labels,
# threshold, width, padding, and the ids that start and end a text. Every
# message costs as much as one of the whole width, so we take 96 tokens; longer
# ones are cut.

# %%
HERE = importlib.util.find_spec("ai_edge_litert") is not None
folder = work / "phone"
if HERE:
    again.tokenizer.save(folder)
    phone = kl.export.classifier_litert(
        again, folder / "spam.tflite", width=96, verify=not TINY
    )
    print(f"{phone.size / 1e6:.1f} MB")
    if phone.milliseconds:
        print(f"difference from Keras {phone.difference:.0e}", end=", ")
        print(f"{phone.milliseconds:.1f} ms a message on this machine")
else:
    print('It needs pip install "keras_llm[litert]".')

# %% [markdown]
# What an app does, with two small libraries:

# %%
if HERE:
    from ai_edge_litert.interpreter import Interpreter
    from tokenizers import Tokenizer

    told = json.loads((folder / "spam.tflite.json").read_text("utf-8"))
    start, end = told["ids"]["start"], told["ids"]["end"]
    coder = Tokenizer.from_file(str(folder / "tokenizer.json"))
    runner = Interpreter(str(folder / "spam.tflite")).get_signature_runner()
    for text in texts:
        ids = coder.encode(text, add_special_tokens=False).ids
        row = [start, *ids[: told["width"] - 2], end]
        row += [told["padding"]] * (told["width"] - len(row))
        p = runner(tokens=np.array([row], "int32"))["probabilities"][0, 1]
        label = told["labels"][int(p >= told["threshold"])]
        print(f"{label}, p(spam) = {p:.3f}: {text}")

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
# **Exercise 3.** What if a spammer puts some forty harmless words before the
# text? And behind it? Measure how much of the test's spam is still found.

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
    copy_of(lm),
    train,
    trainable=kl.adapters.Lora(rank=4),
    epochs=EPOCHS,
    seed=1,
)
trained = lora.report["training"]["parameters"]
width, blocks = config.hidden_dim, config.num_layers
said = np.array(lora.predict(texts_of(test))) == "spam"
print(f"{trained:,} parameters, test accuracy", row_of("LoRA", said)["test"])
assert trained == blocks * 2 * 2 * 4 * width + head.count_params()

# %% [markdown]
# ### Exercise 3
# The last token sees all the words, but no message of the training was harmless
# for forty words and spam for the rest. Which place is worse is a matter of
# what the model has learned; that both cost something is the rule. A filter
# must learn from what it will meet: such messages belong into its training.

# %%
only_spam = [one.text for one in test if one.labels == ("spam",)]
harmless = " ".join(
    ["I will be home soon and we can talk about it my dear."] * 3
)
places = {
    "alone": "{}",
    "harmless words before it": harmless + " {}",
    "harmless words behind it": "{} " + harmless,
}
shares = {}
for name, form in places.items():
    said = better.predict([form.format(text) for text in only_spam])
    shares[name] = np.mean([label == "spam" for label in said])
    print(f"spam found, {name}: {shares[name]:.0%}")
if not TINY:
    assert shares["alone"] > 0.7
assert all(0 <= share <= 1 for share in shares.values())
