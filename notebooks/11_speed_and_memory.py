# %% [markdown]
# # Speed and memory: every lever measured
#
# A training step has a cost in time and one in bytes. There are levers for
# both, and each costs something else. Here they are explained, drawn, and
# pulled one after the other on this machine.
#
# The cells run in about five minutes on two cores; then you will be able to:
# say what fills the memory of a training run, explain mixed precision, sliced
# losses, accumulation and remat by a few lines each, read a table of what each
# lever does to speed and memory, say which to pull first, and train on two
# devices with the numbers of one. It needs matplotlib
# (`pip install "keras_llm[viz]"`), no data and no GPU.
#
# The book ([Raschka, *Build a Large Language Model (From
# Scratch)*](../book.md)) makes ten changes to train faster on a GPU. Three of
# them, bfloat16, a compiler and the size of the batch, are here, and beside
# them the levers for memory.

# %%
import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import keras
import numpy as np
import tensorflow as tf

import keras_llm as kl
from keras_llm.estimate_setup import Setup
from keras_llm.figures import new_figure
from keras_llm.visualize import memory_figure, memory_parts

TINY = bool(os.environ.get("KERAS_LLM_TINY"))
work = Path(tempfile.mkdtemp(prefix="keras-llm-speed-"))
logging.getLogger("tensorflow").setLevel("ERROR")  # no lines on its devices
cpu = tf.config.list_physical_devices("CPU")[0]  # two devices for later
two_devices = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two_devices)

# %% [markdown]
# ## What fills the memory
# Weights; a gradient for each; two moments for each in AdamW; what the forward
# pass keeps for the way back (**activations**); and the logits: a number for
# each token *and* each entry of the vocabulary. Estimates for GPT-2 with 8 rows
# of 1,024 tokens, and with the levers of this chapter, one on top of the other:

# %%
gpt2 = kl.zoo.config("gpt2")
rows = {"batch_size": 8, "loss_chunk": None}
setups = {
    "float32": Setup(**rows, precision="float32"),
    "mixed bfloat16": Setup(**rows),
    "+ loss in slices": Setup(batch_size=8, loss_chunk=512),
    "+ 4 micro-batches": Setup(batch_size=8, loss_chunk=512, accumulate=4),
    "+ remat": Setup(batch_size=8, loss_chunk=512, accumulate=4, remat=True),
}
for name, setup in setups.items():
    total = sum(memory_parts(gpt2, setup).values())
    print(f"{name:18} {total / 1e9:5.1f} GB")
memory_figure(gpt2, setups)

# %% [markdown]
# *Working* is what comes and goes within a step, such as weights in bfloat16.
# One part *grows* with micro-batches: of the gradients there are three sets at
# a time, the sum so far, the newest, and the new sum.
#
# ## Mixed precision
# bfloat16 has the range of float32 with 8 binary digits instead of 24: half the
# bytes, and on hardware that multiplies it, a multiple of the speed. The
# products of a step stand that well. The *weights* do not: a small update of a
# weight would be rounded away. So weights, moments and sums stay in float32,
# which is what "mixed" says.

# %%
rounded = tf.constant(1.0, tf.bfloat16)
for _ in range(1000):
    rounded += tf.constant(0.001, tf.bfloat16)
exact = np.float32(1.0)
for _ in range(1000):
    exact += np.float32(0.001)
print(f"1 + 1,000 times 0.001 in float32: {exact:.3f}", end=", ")
print(f"in bfloat16: {float(rounded):.3f}")

# %% [markdown]
# Does this machine gain from it? Processors that multiply bfloat16 say so among
# their flags; that is where `choose_precision` looks. A large product shows it.

# %%
about = Path("/proc/cpuinfo")  # on Linux
flags = set(about.read_text().split()) if about.is_file() else set()
units = sorted(flags & {"avx512_bf16", "amx_bf16"})
print("units for bfloat16:", *units or ["none"])
if not TINY:
    for dtype in ("float32", "bfloat16"):
        peak = kl.train.measured_peak(dtype)
        print(f"{dtype:8} {peak / 1e9:6.0f} billion operations a second")
print("choose_precision:", kl.train.choose_precision())

# %% [markdown]
# With such a unit the second number is the larger one. Without one it is the
# smaller: each product is translated to float32 and back.
#
# ## The loss in slices
# The logits of 8 rows of 1,024 tokens over 50,257 entries are 1.6 GB in
# float32. Their gradient is as large, and the loss holds more between the two:
# at its fullest a step has about three such tensors (the estimates above count
# 3.2). But a token's loss needs its own logits only. So: some tokens at a time,
# loss *and* gradients, then forget the logits. Nothing is computed twice. By
# hand:


# %%
def loss_and_gradient(hidden, head, targets):
    """Summed cross-entropy of hidden @ head, and the gradients of both."""
    logits = hidden @ head
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    odds /= odds.sum(-1, keepdims=True)
    places = np.arange(len(targets))
    loss = -np.log(odds[places, targets]).sum()
    odds[places, targets] -= 1  # now the gradient of the logits
    return loss, odds @ head.T, hidden.T @ odds


random = np.random.default_rng(0)
hidden, head = random.normal(size=(64, 16)), random.normal(size=(16, 500))
targets = random.integers(0, 500, 64)
whole = loss_and_gradient(hidden, head, targets)
slices = [
    loss_and_gradient(hidden[at : at + 8], head, targets[at : at + 8])
    for at in range(0, 64, 8)
]
of_hidden = np.concatenate([part[1] for part in slices])  # each has its own
of_head = sum(part[2] for part in slices)  # all have the same
print(f"whole {whole[0]:.6f}, in slices {sum(p[0] for p in slices):.6f}")
for name, one, other in (
    ("hidden", whole[1], of_hidden),
    ("head", whole[2], of_head),
):
    print(f"largest difference for {name}: {np.abs(one - other).max():.0e}")

# %% [markdown]
# ## Accumulation
# A batch in parts: the gradients of **micro-batches** are added up, then comes
# one update. Activations are there for one part only. It is the same as the
# whole batch if *sums* are added and divided by the tokens of all. Averaging
# the parts' means is wrong as soon as one has more padding than another, and
# many trainers do that.


# %%
def gradient_of(inputs, truth, weight, counts):
    """Gradient of the summed squared error, and the number of what counts."""
    wrong = (inputs @ weight - truth) * counts
    return 2 * inputs.T @ wrong, counts.sum()


inputs, truth = random.normal(size=(12, 3)), random.normal(size=12)
weight, counts = random.normal(size=3), np.ones(12)
counts[7:] = 0  # padding, nearly all of it in the second half
total, number = gradient_of(inputs, truth, weight, counts)
parts = [
    gradient_of(inputs[part], truth[part], weight, counts[part])
    for part in (slice(0, 6), slice(6, 12))
]
print("whole batch  ", (total / number).round(4))
print("sums added   ", (sum(p[0] for p in parts) / number).round(4))
print("mean of means", np.mean([p[0] / p[1] for p in parts], axis=0).round(4))

# %% [markdown]
# ## Remat
# **Rematerialization** forgets the activations of a block and computes them
# again when the gradient comes by: one more forward pass, about a third more
# work, for a memory that hardly grows with the number of blocks. By hand,
# twelve layers in blocks of four:


# %%
def forward(states, matrices):
    """What goes into each layer, and what comes out of the last."""
    kept = [states]
    for matrix in matrices:
        kept.append(np.tanh(kept[-1] @ matrix))
    return kept


def backward(kept, matrices, gradient):
    """The gradient of the input, and those of the matrices."""
    found = []
    for at in reversed(range(len(matrices))):
        gradient = gradient * (1 - kept[at + 1] ** 2)
        found.insert(0, kept[at].T @ gradient)
        gradient = gradient @ matrices[at].T
    return gradient, found


matrices = random.normal(size=(12, 16, 16)) / 4
kept = forward(random.normal(size=(32, 16)), matrices)
gradient = last = np.ones_like(kept[0])
_, whole = backward(kept, matrices, last)
inputs, again = kept[::4], []  # what goes into a block; the rest is forgotten
for at in (8, 4, 0):
    block = matrices[at : at + 4]
    here = forward(inputs[at // 4], block)  # computed again
    gradient, parts = backward(here, block, gradient)
    again = parts + again
apart = max(np.abs(a - b).max() for a, b in zip(whole, again, strict=True))
print(f"all kept: {sum(one.size for one in kept):,} numbers", end=", ")
most = sum(one.size for one in inputs) + sum(one.size for one in here[1:])
print(f"at most with remat: {most:,}, gradients apart: {apart:.0e}")

# %% [markdown]
# Estimates for GPT-2 with more and more blocks:

# %%
depths = np.array([2, 4, 8, 12, 24, 36])
figure = new_figure(6, 3)
axes = figure.add_subplot()
for remat in (False, True):
    setup = Setup(batch_size=8, loss_chunk=512, remat=remat)
    configs = [gpt2.replace(num_layers=int(depth)) for depth in depths]
    gb = [memory_parts(c, setup)["activations"] / 1e9 for c in configs]
    label = "computed again" if remat else "kept"
    axes.plot(depths, gb, "o-", label=label)
axes.set(xlabel="blocks", ylabel="activations in GB, estimated")
axes.legend()
figure

# %% [markdown]
# ## Measuring
# Now the real step. Two rules make the numbers honest. Memory that a process
# once used is not given back, so each lever needs a **process of its own**. And
# others may work on this machine, so we count **processor time**, not the time
# on the clock: tokens per second of a processor core that was really ours.
#
# This is the script: a small GPT-2 form with a large vocabulary, random tokens,
# a step to compile, and some that count. They are few, so differences of speed
# below about 5 % are noise.

# %%
script = work / "lever.py"
script.write_text("""
import json, resource, sys, time
import keras, numpy as np
import keras_llm as kl

given = json.loads(sys.argv[1])
steps, rows, length = given.pop("steps"), given["batch_size"], 128
config = kl.DecoderConfig(
    vocabulary_size=given.pop("vocabulary"), context_length=length,
    num_layers=given.pop("layers"), hidden_dim=given.pop("width"), num_heads=4,
    norm="layer", mlp="gelu", bias="all", rope=None)
keras.utils.set_random_seed(0)
model = kl.build_decoder(
    config, dtype=given.pop("dtype"), remat=given.pop("remat", False))
tokens = np.random.default_rng(0).integers(
    0, config.vocabulary_size, (rows * steps, length + 1))
data = kl.data.ArrayRows(
    *kl.data.training_arrays(tokens, np.ones_like(tokens)))

class Clock(keras.callbacks.Callback):
    times = []
    def on_train_batch_end(self, batch, logs=None):
        float(logs["loss"])  # waits for the step
        self.times.append(time.process_time())

report = kl.train.fit(model, data, steps=steps, callbacks=[Clock()],
                      log_every=steps, validate_every=steps,
                      checkpoint_every=steps, sample_every=steps, **given)
done = steps - steps // len(Clock.times)  # the first execution compiled
seconds = Clock.times[-1] - Clock.times[0]
print(json.dumps({"tokens": done * rows * length / seconds,
                  "memory": report.peak_memory, "loss": report.loss}))
""")
SIZE = {"vocabulary": 1_000, "width": 32} if TINY else {}
BASE = {
    "vocabulary": 50_257,
    "width": 128,
    "layers": 2,
    "batch_size": 8,
    "steps": 6,
    "dtype": "float32",
    "loss_chunk": None,
}


def pull(**lever):
    """Trains with a lever in a process of its own."""
    given = json.dumps({**BASE, **SIZE, **lever})
    done = subprocess.run(
        [sys.executable, str(script), given],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


# %%
levers = {
    "float32": {},
    "loss_chunk": {"loss_chunk": 256},
    "accumulate=4": {"accumulate": 4},
    "remat": {"remat": True},
    "jit (XLA)": {"jit": True},
    "steps_per_execution=3": {"steps_per_execution": 3},
    "bfloat16 state": {"optimizer_state": "bfloat16"},
    "2 rows, not 8": {"batch_size": 2},
    "bfloat16": {"dtype": "mixed_bfloat16"},
}
if TINY:
    levers = {"float32": {}}


def table(found):
    """A line for each run; the first is what the others are compared with."""
    base = next(iter(found.values()))
    print("                       tokens/s of a core     memory    loss")
    for name, one in found.items():
        speed = one["tokens"] / base["tokens"]
        print(f"{name:22} {one['tokens']:8,.0f} {speed:5.2f} x", end="")
        print(f" {one['memory'] / 1e6:9,.0f} MB {one['loss']:8.4f}")


found = {name: pull(**lever) for name, lever in levers.items()}
table(found)

# %%
figure = new_figure(8, 3.8)
for place, (key, title) in enumerate(
    {"tokens": "tokens per second of a core", "memory": "memory in GB"}.items()
):
    axes = figure.add_subplot(1, 2, place + 1)
    values = [one[key] for one in found.values()]
    if key == "memory":
        values = [value / 1e9 for value in values]
    colors = ["#555555"] + ["#0072B2", "#009E73"][place : place + 1] * 20
    bars = axes.barh(range(len(values)), values, color=colors[: len(values)])
    labels = axes.bar_label(
        bars, fmt=("{:,.0f}", "{:.2f}")[place], fontsize=8, padding=2
    )
    for label in labels:
        label.set_bbox({"color": "white", "pad": 0.5})  # over the dotted line
    axes.margins(x=0.15)
    axes.axvline(values[0], color="#555555", linestyle=":")
    axes.set_yticks(range(len(found)), list(found) if place == 0 else [])
    axes.invert_yaxis()
    axes.set_title(title, fontsize=10)
figure

# %% [markdown]
# Memory is of the whole process; Python, TensorFlow and the compiled step are
# hundreds of MB of it. What the table says:
#
# - **loss_chunk** and **accumulate** take off the most of the levers that leave
#   the batch as it is: the vocabulary is large, and they hold the logits of a
#   part of the tokens at a time. `loss_chunk` is on by default where logits are
#   large. `accumulate` costs speed here, where a part has 256 tokens; with
#   larger parts it is nearly free.
# - **remat** does nothing to see: two blocks are little beside the logits.
#   Below it has something to save.
# - **XLA** (`jit`) takes memory and gains little or nothing on a CPU.
#   `jit="auto"` measures whether it pays on your machine.
# - **steps_per_execution** saves the look from Python between two steps, which
#   is nothing for steps as long as these.
# - **bfloat16 state** halves the moments between steps, but here it *costs*
#   memory and time: without XLA the update makes float32 copies of them. It
#   pays where XLA compiles the update, as on JAX.
# - **2 rows** take the least memory, and lose speed: the update of all weights
#   costs the same for any batch, and few tokens pay for it.
# - **bfloat16** pays where the processor multiplies it: compare the two
#   products measured above. It saves no memory here, either: it halves
#   activations, which are little, while the loss is computed in float32.
#
# What this page does not show of them, [Speed and memory](../speed.md) does.
#
# Now remat where it has something to save: twelve blocks, 32 rows, and a small
# vocabulary.

# %%
deep = {"vocabulary": 1_000, "layers": 2 if TINY else 12, "batch_size": 32}
sides = (True,) if TINY else (False, True)
table({f"remat={on}": pull(**deep, remat=on) for on in sides})

# %% [markdown]
# Here activations are what is large: remat takes off much of what the process
# holds beyond TensorFlow itself, and costs up to a third more time.
#
# ## Is the same thing learned?
# The losses in the tables are those of a few steps on random tokens, which
# cannot be learned. A better test: a tiny model and a sentence that it can
# learn by heart, 40 steps under each lever that leaves the batch as it is.

# %%
SENTENCE = b"Speed and memory are bought, but never with what is learned. "
letters = np.resize(np.frombuffer(SENTENCE, "uint8"), (64, 65)).astype("int32")
taught = kl.data.ArrayRows(
    *kl.data.training_arrays(letters, np.ones_like(letters))
)
little = kl.zoo.config(
    "tiny", vocabulary_size=256, context_length=64, num_layers=1
)
steps = 8 if TINY else 40


def learned(dtype="float32", remat=False, **lever):
    keras.utils.set_random_seed(0)
    learner = kl.build_decoder(little, dtype=dtype, remat=remat)
    lever = {"loss_chunk": None, "log_every": 4, "batch_size": 8, **lever}
    return kl.train.fit(learner, taught, steps=steps, **lever).loss


alike = {
    "float32": {},
    "loss_chunk": {"loss_chunk": 64},
    "accumulate=4": {"accumulate": 4},
    "remat": {"remat": True},
    "jit (XLA)": {"jit": True},
    "steps_per_execution=4": {"steps_per_execution": 4},
    "bfloat16 state": {"optimizer_state": "bfloat16"},
    "bfloat16": {"dtype": "mixed_bfloat16"},
}
if TINY:
    alike = {name: alike[name] for name in ("float32", "accumulate=4")}
print(f"loss after {steps} steps")
for name, lever in alike.items():
    print(f"{name:22} {learned(**lever):.4f}")

# %% [markdown]
# In float32 all end at the same loss but for rounding. With bfloat16, in the
# products or in the moments, the digits behind differ.
#
# So: precision by the hardware, then, out of memory, `loss_chunk`,
# `accumulate`, `remat`, in this order. [Speed and memory](../speed.md) has
# larger runs, and those of KerasHub and PyTorch beside ours.
#
# ## Estimated before, measured after
# `keras-llm estimate` said beforehand what each would take. The whole process,
# measured against estimated:

# %%
config = kl.DecoderConfig(
    vocabulary_size=BASE["vocabulary"],
    context_length=128,
    num_layers=2,
    hidden_dim=BASE["width"],
    num_heads=4,
    norm="layer",
    mlp="gelu",
    bias="all",
    rope=None,
)
plans = {
    "float32": Setup(batch_size=8, precision="float32", loss_chunk=None),
    "loss_chunk": Setup(batch_size=8, precision="float32", loss_chunk=256),
    "accumulate=4": Setup(
        batch_size=8, precision="float32", loss_chunk=None, accumulate=4
    ),
    "bfloat16": Setup(batch_size=8, loss_chunk=None),
}
for name, setup in plans.items():
    estimate = sum(memory_parts(config, setup, host=True).values())
    measured = found.get(name, {}).get("memory", 0)
    if measured and not TINY:
        print(f"{name:22} estimated {estimate / 1e9:.2f} GB", end=", ")
        print(f"measured {measured / 1e9:.2f} GB")
memory_figure(config, plans, host=True)

# %% [markdown]
# *Framework* is what Python, TensorFlow and the compiled step take. Leave some
# room: an estimate can be a tenth too low or more, as that of `accumulate` was
# on our machine.
#
# ## Two devices, one result
# With several devices each computes a part of the batch, and gradients are
# summed before the update: `mirrored` on TensorFlow, `data_parallel`, `fsdp`
# and `model_parallel` on JAX. Here the processor is split into two devices.
# That gives no speed, there is only one processor; it shows that the numbers
# are the same but for rounding, which in Keras' own `fit` with clipping or
# padding they are not.

# %%
tokens = random.integers(0, 500, (64, 33))
segments = np.ones_like(tokens)
segments[::3, 20:] = 0  # padding in every third row
packed = kl.data.ArrayRows(*kl.data.training_arrays(tokens, segments))
small = kl.zoo.config(
    "tiny", vocabulary_size=500, context_length=32, num_layers=1
)


def trained(distribution):
    keras.utils.set_random_seed(1)
    with distribution.scope():
        model = kl.build_decoder(small)
    report = kl.train.fit(
        model, packed, steps=8, batch_size=8, log_every=8, learning_rate=1e-2
    )
    return report.loss, model.get_weights()


alone, weights = trained(kl.train.distribution("single"))
pair = kl.train.distribution("mirrored", devices=["CPU:0", "CPU:1"])
together, shared = trained(pair)
apart = max(np.abs(a - b).max() for a, b in zip(weights, shared, strict=True))
print(f"{pair.replicas} devices: loss {together:.6f}, one: {alone:.6f}")
print(f"largest difference of a weight: {apart:.0e}")

# %% [markdown]
# ## Exercises
# **Exercise 1.** How many bytes of weights, gradients and AdamW's moments does
# GPT-2 have in training? How many with moments in bfloat16? Compare with
# `memory_parts`.
#
# **Exercise 2.** Logits of how many tokens fit into 128 MiB in float32, with
# GPT-2's vocabulary? Into how many slices is a batch of 8 rows of 1,024 cut?
#
# **Exercise 3.** A thousand times 0.001 was lost in bfloat16. Round up or down
# *by chance* instead, up the more often the nearer it is, and add again.

# %% [markdown]
# ## Solutions
# ### Exercise 1
# Four bytes of weight, four of gradient, eight of moments a parameter; four of
# moments in bfloat16.

# %%
parameters = kl.estimate.count_parameters(gpt2).total
for state, moments in (("float32", 8), ("bfloat16", 4)):
    held = memory_parts(gpt2, Setup(optimizer_state=state))
    names = ("weights", "gradients", "optimizer")
    print({k: f"{held[k] / parameters:.2f} bytes" for k in names})
    assert abs(held["weights"] / parameters - 4) < 0.01
    assert abs(held["optimizer"] / parameters - moments) < 0.01

# %% [markdown]
# ### Exercise 2
# 2**27 bytes are 2**25 logits of four bytes: that is the rule of
# `loss_chunk="auto"`.

# %%
tokens_in_slice = 2**25 // 50_257
slices = -(-8 * 1024 // tokens_in_slice)
print(f"{tokens_in_slice} tokens, {slices} slices")
assert tokens_in_slice * 50_257 * 4 <= 128 * 2**20
assert (tokens_in_slice + 1) * 50_257 * 4 > 128 * 2**20 and slices == 13

# %% [markdown]
# ### Exercise 3
# bfloat16 is the upper half of a float32. Add a random number to the lower half
# before cutting it off: it carries over as often as it should. That is how
# `optimizer_state="bfloat16"` rounds.


# %%
def by_chance(value):
    bits = np.float32(value).view(np.uint32)
    bits = np.uint32(bits + np.uint32(random.integers(0, 2**16)))
    return (bits & np.uint32(0xFFFF0000)).view(np.float32)


value = np.float32(1.0)
for _ in range(1000):
    value = by_chance(value + np.float32(0.001))
print(f"by chance {value:.3f}, to the nearest {float(rounded):.3f}")
assert 1.7 < value < 2.3
