# %% [markdown]
# # Pretraining: the loss, `model.fit`, and runs that survive
#
# A decoder learns by guessing the next token of much text. Here the loss is
# computed by hand, minimized by plain `model.fit`, and then by the library's
# `fit`, which is the same with what a long run needs around it.
#
# The cells run in about seven minutes on two cores; then you will be able to:
# say what cross-entropy, perplexity and bits per byte are, train a decoder by
# `model.fit` alone, choose warm-up, schedule and clipping by looking at
# numbers, repeat the book's run on "The Verdict", find everything in
# TensorBoard, kill a run and go on bit for bit, and say beforehand what a run
# costs. It needs matplotlib (`pip install "keras_llm[viz]"`); a short story and
# GPT-2's vocabulary are downloaded on first use.

# %%
import itertools
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import keras
import numpy as np
from keras import ops

import keras_llm as kl
from keras_llm.figures import new_figure

TINY = bool(os.environ.get("KERAS_LLM_TINY"))
work = Path(tempfile.mkdtemp(prefix="keras-llm-pretraining-"))
keras.utils.set_random_seed(123)

# %% [markdown]
# ## The text and the model
# As in chapter 5 of the book ([Raschka, *Build a Large Language Model (From
# Scratch)*](../book.md)): nine tenths of the story to learn from, a tenth to
# measure with, in windows of 256 GPT-2 tokens. The book trains a model of
# GPT-2's size, 124 million parameters and more; ours has its form and
# vocabulary, but four layers of 256, so that a laptop does it in minutes. (The
# tiny form of this notebook, for CI, has another text and vocabulary.)

# %%
if TINY:
    story = next(itertools.islice(kl.data.standard_library(), 1, None)).text
    tokenizer = kl.BytePairTokenizer.train([story], 512)
    LENGTH, WIDTH, LAYERS = 32, 32, 1
else:
    path = kl.data.download("the_verdict") / "the-verdict.txt"
    story = path.read_text("utf-8")
    tokenizer = kl.BytePairTokenizer.load(kl.data.download("gpt2_bpe"))
    LENGTH, WIDTH, LAYERS = 256, 256, 4
cut = int(0.9 * len(story))


def rows_of(text):
    """The book's windows: as many whole ones as there are."""
    packed = kl.data.pack([tokenizer.encode(text)], LENGTH + 1)
    whole = [row for row in packed if row.segments.all()]
    whole = (np.array(part) for part in zip(*whole, strict=True))
    return kl.data.ArrayRows(*kl.data.training_arrays(*whole))


train_rows, held_rows = rows_of(story[:cut]), rows_of(story[cut:])
for rows in (train_rows, held_rows):
    print(rows.targets.shape, f"{rows.targets.size:,} tokens to predict")


# %%
def new_model(dropout=0.0, **changes):
    keras.utils.set_random_seed(123)
    config = kl.zoo.config(
        "gpt2",
        vocabulary_size=tokenizer.vocabulary_size,
        context_length=LENGTH,
        num_layers=LAYERS,
        hidden_dim=WIDTH,
        num_heads=4,
        num_kv_heads=4,
        head_dim=WIDTH // 4,
        mlp_dim=4 * WIDTH,
        dropout=dropout,
        **changes,
    )
    return kl.build_decoder(config)


model = new_model()
print(f"{model.count_params():,} parameters")

# %% [markdown]
# ## The loss by hand
# The model gives a score for each of the 50,257 tokens at each place. A softmax
# makes probabilities of them. What counts is the probability of the token that
# really comes: the loss is the mean of minus its logarithm, the
# **cross-entropy**. With the natural logarithm its unit is the **nat**. A model
# that knows nothing gives each token the same, and its loss is the logarithm of
# their number.

# %%
inputs, targets, weights = held_rows.batch(np.arange(2))
logits = ops.convert_to_numpy(model(inputs))
odds = np.exp(logits - logits.max(-1, keepdims=True))
odds = odds / odds.sum(-1, keepdims=True)
right = np.take_along_axis(odds, targets[..., None], -1)[..., 0]
loss = -np.log(right).mean()
print("probabilities of the first targets:", right[0, :3].round(6))
print(f"loss by hand {loss:.4f}", end=", ")
print(f"ln({logits.shape[-1]:,}) = {np.log(logits.shape[-1]):.4f}")

# %%
stock = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
ours = kl.train.token_loss(logits, targets, weights)
print(f"Keras {float(stock(targets, logits)):.4f}", end=", ")
print(f"keras_llm {float(ours.cross_entropy / ours.tokens):.4f}")

# %% [markdown]
# Two more ways to say it. **Perplexity** is the exponential: among how many
# tokens the model seems to guess. (The book's first batch: a loss of 10.79, a
# perplexity of 48,726.) **Bits per byte** has the logarithm to base 2 and
# divides by what the tokens stand for, so that models with other vocabularies
# can be compared: one whose tokens are whole words guesses less often, and is
# not better for that.

# %%
text = tokenizer.decode(targets.reshape(-1).tolist())
size = len(text.encode("utf-8"))
print(f"perplexity {np.exp(loss):,.0f}")
print(f"{targets.size / size:.3f} tokens a byte", end=", ")
print(f"{loss / np.log(2) * targets.size / size:.2f} bits per byte")

# %% [markdown]
# ## Plain `model.fit`
# A decoder is a `keras.Model`. Nothing of ours is needed to train it:

# %%
STEPS = 15
RATE = 1e-3
batches = kl.data.row_dataset(train_rows, batch_size=2, seed=1)


plain = new_model()
optimizer = keras.optimizers.AdamW(
    RATE, weight_decay=0.0, beta_1=0.9, beta_2=0.95, epsilon=1e-8
)
plain.compile(optimizer, stock)
history = plain.fit(
    batches, epochs=STEPS, steps_per_epoch=1, shuffle=False, verbose=0
)
by_keras = history.history["loss"]  # an epoch of one step: its own loss
print(f"first {by_keras[0]:.3f}, last {by_keras[-1]:.3f}")

# %% [markdown]
# ## `kl.train.fit` is `model.fit`
# with a step of its own that counts tokens instead of rows, and callbacks that
# measure, save and sample. With everything switched off that plain Keras does
# not do, it computes the same here. (It would not if a row ended in padding:
# Keras divides the sum of the losses by all places, ours by those that count.)

# %%
same = new_model()
kl.train.fit(
    same,
    batches,
    steps=STEPS,
    batch_size=2,
    learning_rate=RATE,
    schedule="constant",
    warmup_steps=0,
    weight_decay=0.0,
    clip_norm=None,
    log_every=1,
    out=work / "same",
)
by_ours = kl.visualize.training_curves(work / "same")["loss"][1]
apart = np.abs(by_ours - np.array(by_keras))
print(f"difference of the first loss: {apart[0]:.1e}", end=", ")
print(f"the largest in {STEPS} steps: {apart.max():.1e}")

# %% [markdown]
# The first losses are equal but for rounding: numbers that are added in another
# order differ in the last digits. Then the difference grows, and that is no
# error. AdamW divides each gradient by its usual size; where a gradient is
# nearly zero, rounding can decide whether the weight goes up or down, by a
# whole step. After some steps two such runs are as good as each other, and no
# longer the same.

# %%
figure = new_figure(7, 3)
axes = figure.add_subplot()
axes.plot(by_keras, linewidth=6, color="#CFE5F3", label="Keras")
axes.plot(by_ours, color="#0072B2", label="kl.train.fit")
guess = np.log(logits.shape[-1])
axes.axhline(guess, color="gray", linestyle="--", label="ln(vocabulary)")
axes.set(xlabel="step", ylabel="loss in nats")
axes.legend()
figure

# %% [markdown]
# ## Warm-up and cosine
# At the beginning, AdamW's moments (its running means of the gradients and of
# their squares) rest on very few gradients, and a step in a bad direction is as
# long as any: so the rate grows from small. At the end the weights should
# settle: so it falls. The library's default is half a cosine down to a tenth,
# after a warm-up of a twentieth of the steps. "wsd" is warm-up, stable, decay:
# the rate stays at its peak, and falls in the last fifth of the steps after the
# warm-up.

# %%
plans = {
    name: kl.train.TrainConfig(steps=200, schedule=name, warmup_steps=20)
    for name in ("cosine", "linear", "wsd", "constant")
}
kl.visualize.schedule_figure(plans)

# %% [markdown]
# The cosine by hand: a straight line up to the peak, then half a wave down.


# %%
def rate_at(step, peak=1e-3, warmup=20, steps=200, least=0.1):
    if step < warmup:
        return peak * (step + 1) / warmup
    share = (step - warmup) / (steps - warmup)
    return peak * (least + (1 - least) * (1 + np.cos(np.pi * share)) / 2)


at, rates = kl.visualize.schedule_rates(plans["cosine"])
by_hand = [rate_at(step) for step in at]
print("largest difference:", np.abs(by_hand - rates).max().round(9))

# %% [markdown]
# ## Clipping
# Now and then a batch gives gradients much larger than usual, and one of them
# can throw the weights far away. Where the **norm** of all gradients together
# (the root of the sum of their squares) is above a limit, usually 1, they are
# scaled down to it; their direction stays. The norm before clipping is logged,
# also where nothing is clipped, as in the run above:

# %%
curves = kl.visualize.training_curves(work / "same")
norms = curves["gradient_norm"][1]
figure = new_figure(7, 2.6)
axes = figure.add_subplot()
axes.plot(norms, "o-", markersize=3)
axes.axhline(1.0, color="#D55E00", linestyle="--", label="limit")
axes.set(xlabel="step", ylabel="norm of the gradient", ylim=(0, None))
axes.legend()
figure

# %%
gradient = np.array([3.0, 4.0])
norm = np.sqrt((gradient**2).sum())
print("norm", norm, "clipped to", gradient * min(1.0, 1.0 / norm))
print(f"above the limit: {np.mean(norms > 1):.0%} of the steps", end=", ")
print(f"median {np.median(norms):.1f}, largest {norms.max():.1f}")

# %% [markdown]
# The gradients of a new model are large: all or nearly all of these first steps
# would be clipped. That does little harm, as AdamW does not mind the size that
# all gradients have in common (exercise 3). Clipping is for the one batch that
# stands out. The run below clips; there we look at the norm again.

# %% [markdown]
# ## The book's run
# The same story over and over, two rows a step. The book prints a training loss
# that falls from 9.781 to 0.391 in ten epochs, while the validation loss
# stalls: 9.933, 6.134 at its lowest, 6.452 at the end. The model learns the
# story by heart. Ours is much smaller and takes nearly three times as many
# epochs for it.
#
# In two things it now is like the book's model, and unlike the published GPT-2:
# the output has a table of its own, and the weights begin as PyTorch's layers
# do. Tokens and positions have a deviation of 1 instead of 0.02, so each token
# at each place is something of its own from the first step. That decides how
# soon a text is learned by heart ([measured with GPT-2's
# size](../book.md#the-verdict-at-the-books-size)).


# %%
def begin_as_torch(model):
    """Gives the weights the initial values of PyTorch's layers."""
    random = np.random.default_rng(123)
    for weight in model.trainable_variables:
        if weight.path.endswith("/embeddings"):
            weight.assign(random.normal(size=weight.shape))
        elif len(weight.shape) == 2:
            bound = weight.shape[0] ** -0.5
            weight.assign(random.uniform(-bound, bound, weight.shape))
    return model


# %% [markdown]
# `sample` is called now and then with the model, and its texts are kept. It
# starts as the book does, with words that are not in the story.

# %%
EPOCHS = 1 if TINY else 27
steps = EPOCHS * len(train_rows) // 2
steps -= steps % 5
model = begin_as_torch(new_model(dropout=0.1, tie_embeddings=False))
lm = kl.CausalLM(model, tokenizer)
print(f"{model.count_params():,} parameters, {steps} steps")


def sample(_):
    prompt = "Every effort moves you"
    return prompt + lm.generate(prompt, max_new_tokens=24, temperature=0)


settings = {
    "batch_size": 2,
    "learning_rate": 1e-3,
    "log_every": 5,
    "validate_every": 5,
    "sample_every": 60,
    "checkpoint_every": 80,
    "watch": {"detail_every": 0},
    "seed": 123,
}
report = kl.train.fit(
    model,
    train_rows,
    steps=steps,
    validation_rows=held_rows,
    sample=sample,
    out=work / "verdict",
    **settings,
)

# %%
lines = kl.train.read_history(work / "verdict" / "metrics.jsonl")
for line in lines[:: max(1, len(lines) // 8)] + lines[-1:]:
    print(f"step {line['step']:3}  training {line['loss']:.3f}", end="")
    print(f"  validation {line['validation_loss']:.3f}")
lowest = min(lines, key=lambda line: line["validation_loss"])
print(f"lowest validation loss {lowest['validation_loss']:.3f}", end=", ")
print(f"after step {lowest['step']} (the book's: 6.134)")
norms = [line["gradient_norm"] for line in lines]  # means of five steps
print(f"norm of the gradient {norms[0]:.2f} at first", end=", ")
print(f"then mostly {np.median(norms):.2f}, {max(norms):.2f} at most")

# %%
kl.visualize.training_figure(work / "verdict")

# %% [markdown]
# The training loss falls far below the validation loss, which is lowest in the
# first half of the run and then rises: what is learned now is the story, not
# the language. The texts show it, too: at first frequent words in a row, later
# names and pieces of sentences out of the story, put together without sense.
# The norm of the gradient begins near the limit with these initial values, so
# that clipping has little to do.
#
# And token by token: the beginning of a row that it has read many times, and of
# one it never has (the cut at nine tenths falls within a word). A dark token
# was a surprise.

# %%
known, new = (
    rows.batch(np.arange(1))[0]["tokens"][0, : 14 if TINY else 60].tolist()
    for rows in (train_rows, held_rows)
)
between = tokenizer.encode("\n")
kl.visualize.token_loss_figure(lm, [*known, *between, *new])

# %% [markdown]
# The first is pale throughout; in the second little more than the end of a word
# or of a name is expected. More steps would only teach more by heart. What
# helps is more text. Here is *The Adventures of Sherlock Holmes* with the same
# initial values, a hundred steps in which no row is read twice:

# %%
if TINY:
    pages = itertools.islice(kl.data.standard_library(), 10)
    novel = "".join(page.text for page in pages)
else:
    file = next(kl.data.download("gutenberg").glob("*Holmes*"))
    books = kl.data.read_documents(file, encoding="detect")
    counts = kl.data.Counts("gutenberg")  # a step, as in chapter 03
    [book] = kl.data.gutenberg()(books, counts)
    novel = book.text
cut = int(0.9 * len(novel))
once = 5 if TINY else 100
read_once = kl.train.fit(
    begin_as_torch(new_model(dropout=0.1, tie_embeddings=False)),
    rows_of(novel[:cut]),
    steps=once,
    validation_rows=rows_of(novel[cut:]).take(range(8)),
    out=work / "novel",
    **settings,
)
print(f"training {read_once.loss:.3f}", end=", ")
print(f"validation {read_once.validation_loss:.3f}")

# %%
figure = new_figure(8, 3.2)
panels = figure.subplots(1, 2, sharey=True)
for axes, name in zip(panels, ("verdict", "novel"), strict=True):
    curves = kl.visualize.training_curves(work / name)
    axes.plot(*curves["loss"], label="training")
    axes.plot(*curves["validation_loss"], "--", label="validation")
    axes.set(xlabel="step", title=name)
panels[0].set_ylabel("loss in nats")
panels[0].legend()
figure

# %% [markdown]
# With each token read once, training and validation loss stay close to each
# other: every batch is new to the model, like the validation text (other pages,
# which need not be as easy). A hundred steps do not get far: the loss is no
# lower than the best on the story, though that is of another text. But it still
# falls where the other had begun to rise.
#
# ## TensorBoard
# The run has written everything to `tensorboard/`; look at it, also while it
# goes on, with `tensorboard --logdir runs`, or train with `keras-llm train
# --watch`. What is there:

# %%
from tensorboard.backend.event_processing import (  # noqa: E402
    event_accumulator,
)

folder = str(work / "verdict" / "tensorboard")
every_point = {event_accumulator.TENSORS: 0}  # else ten, drawn by chance
events = event_accumulator.EventAccumulator(folder, every_point)
events.Reload()
named = {}
for tag in events.Tags()["tensors"]:
    named.setdefault(tag.split("/")[0], []).append(tag)
for group, tags in named.items():
    print(f"{group:14}", *tags[:3], "..." * (len(tags) > 3))

# %% [markdown]
# One of them in a picture: the norm of the gradient of each layer, before
# clipping. A layer without a gradient, or one that explodes, would be seen here
# first. (`token_embedding` holds both tables, that of the output, too.)

# %%
import tensorflow as tf  # noqa: E402

figure = new_figure(7, 3.2)
axes = figure.add_subplot()
for tag in named["gradient_norm"]:
    points = events.Tensors(tag)
    values = [float(tf.make_ndarray(point.tensor_proto)) for point in points]
    axes.semilogy([p.step for p in points], values, label=tag.split("/")[1])
axes.set(xlabel="step", ylabel="norm of the gradient")
figure.legend(loc="outside right center", fontsize=8)
figure

# %% [markdown]
# ## Checkpoints, and a kill
# A checkpoint is a folder: weights, moments of the optimizer, and the step with
# the seeds. It is written under another name and renamed when it is whole. The
# newest two stay (`keep`), and the one with the lowest validation loss.

# %%
for path in sorted((work / "verdict" / "checkpoints").rglob("*")):
    if path.is_file():
        print(path.parent.name, path.name, f"{path.stat().st_size:,} bytes")

# %% [markdown]
# Power cuts come. This callback is one: it stops everything in the middle, at
# a step that no checkpoint has. Then the *same call* is made again, as after a
# restart, with a new model that knows nothing.


# %%
class PowerCut(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        self.count = getattr(self, "count", 0) + 1
        if self.count > 8:
            raise RuntimeError("a power cut")


def run(folder, callbacks=()):
    return kl.train.fit(
        new_model(dropout=0.1),
        train_rows,
        steps=12,
        batch_size=2,
        log_every=1,
        checkpoint_every=5,
        out=work / folder,
        callbacks=callbacks,
    )


run("whole")
try:
    run("cut", [PowerCut()])
except RuntimeError as error:
    print("stopped by", error)
left = kl.train.read_history(work / "cut" / "metrics.jsonl")
print("got to step", left[-1]["step"], end=", ")
print("kept", kl.train.latest(work / "cut" / "checkpoints").name)
resumed = run("cut")

# %%
whole, cut_run = (
    kl.visualize.training_curves(work / name)["loss"][1]
    for name in ("whole", "cut")
)
for step in (4, 5, 8, 11):
    print(f"step {step + 1:2}  {whole[step]:.15f}  {cut_run[step]:.15f}")
print("bit for bit the same:", bool((whole == cut_run).all()))

# %% [markdown]
# Dropout was on: its randomness follows from the seed and the step as well, and
# so does the order of the rows (chapter 03). [How resuming
# works](../how_resume_works.md) has the rest.
#
# ## Before you train
# What will it take? The work of a training step can be counted: about six
# operations a parameter and token, and attention. Divided by what a device
# really does, that is the time. Memory and energy follow, and with `price=` of
# an hour the price, too.

# %%
from keras_llm.estimate_plan import plan  # noqa: E402
from keras_llm.estimate_setup import Setup  # noqa: E402
from keras_llm.hardware import DEVICES  # noqa: E402

big = kl.zoo.config("gpt2")
tokens = 20 * kl.estimate.count_parameters(big).total  # Chinchilla's rule
print(f"GPT-2 on {tokens:,} tokens, with 40 % of the peak:")
for name in ("t4", "a100-80", "h100"):
    half = "mixed_float16" if name == "t4" else "mixed_bfloat16"
    setup = Setup(batch_size=8, precision=half)
    found = plan(big, DEVICES[name], setup, tokens)
    gb = found.memory.total / 1e9
    print(f"{name:8} {24 * found.days:6.1f} hours", end=", ")
    print(f"{gb:.1f} GB, {found.kilowatt_hours:.1f} kWh")

# %% [markdown]
# Does such a plan hold? Here it is for the run above, with the same 40 % of
# what this machine does at best; that is measured with one large product.

# %%
work_done = report.flops_per_token * report.tokens
planned = work_done / (0.4 * report.peak_flops)
trained = report.tokens / report.tokens_per_second
print(f"{report.flops_per_token:,} operations a token", end=", ")
print(f"{report.peak_flops:.2e} a second at best")
print(f"planned {planned:.0f} s; the steps took {trained:.0f} s", end=", ")
print(f"the whole run {report.seconds:.0f} s")
print(f"reached: {report.mfu:.0%} of the peak")

# %% [markdown]
# Where the two differ, it is by the share. The 40 % are usual on a GPU that has
# nothing else to do and a model that is large enough. Small products, other
# programs on the machine and the update of the weights, which moves much memory
# and computes little, all lower it. Measure the share in a minute of your own
# run, then plan with that (`mfu=`). The rest of the whole run went into
# compiling, validation, samples and checkpoints.

# %% [markdown]
# ## Exercises
# **Exercise 1.** A model gives the right token a probability of 1/4, always.
# What are its loss, its perplexity, and, at 4 bytes a token, its bits per byte?
#
# **Exercise 2.** Two batches of 10 and of 30 tokens have mean losses of 2.0 and
# 4.0. What is the loss of both together? Show that `token_loss` adds up right,
# and the mean of means does not.
#
# **Exercise 3.** Does clipping help against a learning rate that is too high?
# Give AdamW gradients of size 1, then the same a thousand times smaller, and
# look at how far it goes. Then one gradient of 1,000 among ones of 1, clipped
# and not.

# %% [markdown]
# ## Solutions
# ### Exercise 1
# Loss ln 4, perplexity 4, two bits a token, half a bit a byte.

# %%
even = kl.train.token_loss(np.zeros((1, 5, 4)), np.zeros((1, 5)), np.ones(5))
loss = float(even.cross_entropy / even.tokens)
print(f"{loss:.3f} nats, {np.exp(loss):.1f}, {loss / np.log(2) / 4:.2f} bits")
assert abs(np.exp(loss) - 4) < 1e-4
assert abs(loss / np.log(2) / 4 - 0.5) < 1e-4

# %% [markdown]
# ### Exercise 2
# (10 * 2 + 30 * 4) / 40 = 3.5, not 3. Sums add up, means do not.

# %%
numbers = np.random.default_rng(0)
scores = numbers.normal(size=(2, 30, 9))
wanted = numbers.integers(0, 9, (2, 30))
counted = np.ones((2, 30))
counted[0, 10:] = 0  # the first batch has 10 tokens
parts = [
    kl.train.token_loss(scores[i], wanted[i], counted[i]) for i in range(2)
]
both = kl.train.token_loss(scores, wanted, counted)
together = float(both.cross_entropy / both.tokens)
summed = sum(float(part.cross_entropy) for part in parts) / 40
means = np.mean([float(p.cross_entropy / p.tokens) for p in parts])
print(f"together {together:.4f}, sums {summed:.4f}, mean of means {means:.4f}")
assert abs(together - summed) < 1e-4 < abs(together - means)
assert (10 * 2 + 30 * 4) / 40 == 3.5

# %% [markdown]
# ### Exercise 3
# No. AdamW divides each gradient by its usual size, so that scaling all of them
# changes nothing: its steps are as long as the rate says. Clipping is for the
# one gradient that is unlike the others: that one is remembered for long, and
# the steps after it are much too short.


# %%
def way(gradients):
    """How far AdamW goes with these gradients, one after the other."""
    weight = keras.Variable([0.0])
    optimizer = kl.train.AdamW(0.1, weight_decay=0.0)
    for one in gradients:
        optimizer.apply([ops.convert_to_tensor([float(one)])], [weight])
    return -float(weight.value[0])


usual = np.ones(20)
spike = np.where(np.arange(20) == 5, 1000, usual)
print(f"usual {way(usual):.3f}, all clipped {way(usual / 1000):.3f}", end=", ")
print(f"a spike {way(spike):.3f}, the spike clipped {way(usual):.3f}")
assert abs(way(usual) - way(usual / 1000)) < 0.01
assert abs(way(spike) - way(usual)) > 0.1
