# %% [markdown]
# # Published weights, and from GPT to Llama part by part
#
# A published model is a folder. Three things matter in it: the settings, the
# tensors with their names, and the tokenizer; the rest says how to chat and
# how to draw tokens. Whoever can read the names has the model.
#
# The cells run in about four minutes on two cores; then you will be able to:
# open such a folder and say what each tensor is, load GPT-2, Llama and Qwen
# and prove that the logits are right, turn a GPT into a Llama one part at a
# time, swap a part of a trained model and heal it, stretch its context, give
# it new tokens, and say what memory all this takes. It needs matplotlib
# (`pip install "keras_llm[viz]"`), no network and no GPU: the weights here are
# random, their files are real.

# %%
import importlib.util
import os
import tempfile
import tracemalloc
import warnings
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
import keras
import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

import keras_llm as kl
from keras_llm.estimate import (
    count_parameters,
    kv_cache_bytes,
    weight_bytes,
)
from keras_llm.figures import new_figure

TINY = bool(os.environ.get("KERAS_LLM_TINY"))
work = Path(tempfile.mkdtemp(prefix="keras-llm-weights-"))
warnings.filterwarnings("ignore", "IProgress")  # of bars, by transformers
keras.utils.set_random_seed(0)


def same(ours, theirs, what):
    """Says how far two results are apart; they must be equal."""
    ours, theirs = map(keras.ops.convert_to_numpy, (ours, theirs))
    difference = np.abs(ours - theirs).max()
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    print(f"{what}: equal, largest difference {difference:.0e}")


# %% [markdown]
# ## Three folders
# GPT-2, Llama and Qwen3, as small as can be, in the very form in which the
# large ones are published. `export.hugging_face` writes it; the last section
# says how the real ones come from the network.

# %%
library = kl.data.standard_library()
pages = [d.text for d in library if d.source.startswith("python/topics/")]
pages = pages[:12] if TINY else pages
tokenizer = kl.BytePairTokenizer.train(pages, 512, progress=False)
SIZE = {
    "vocabulary_size": tokenizer.vocabulary_size,
    "context_length": 64,
    "num_layers": 2,
    "hidden_dim": 64,
    "num_heads": 4,
}
GPT2 = kl.DecoderConfig(**SIZE, norm="layer", mlp="gelu", bias="all", rope=None)
LLAMA = kl.DecoderConfig(**SIZE, num_kv_heads=2)
QWEN3 = kl.DecoderConfig(**SIZE, num_kv_heads=2, qk_norm="head")
written = {}
for name, config in (("gpt2", GPT2), ("llama", LLAMA), ("qwen3", QWEN3)):
    written[name] = kl.CausalLM(kl.build_decoder(config), tokenizer)
    report = kl.export.hugging_face(written[name], work / name, family=name)
    print(f"{name:6} {report.tensors} tensors, {report.bytes:,} bytes")

# %%
for file in sorted((work / "llama").iterdir()):
    print(f"{file.stat().st_size:>9,}  {file.name}")
print((work / "llama" / "config.json").read_text()[:350], "...")

# %% [markdown]
# ## Load, and prove it
# `zoo.load` takes such a folder, finds the family in `config.json`, and gives
# a `CausalLM`: weights, tokenizer and settings in one.

# %%
ids = np.random.default_rng(1).integers(0, 512, (2, 32))
for name, lm in written.items():
    loaded = kl.zoo.load(work / name)
    same(lm.model(ids), loaded.model(ids), f"{name:6} loaded")

# %% [markdown]
# That only says that we read what we write. The yardstick is the authors'
# code. Where `transformers` and `torch` are installed, they open our folder,
# and we open the one that they write.

# %%
THERE = all(map(importlib.util.find_spec, ("transformers", "torch")))
if THERE:
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    for name in written:
        theirs = transformers.AutoModelForCausalLM.from_pretrained(work / name)
        theirs.save_pretrained(work / f"{name}-theirs")
        with torch.no_grad():
            logits = theirs(torch.tensor(ids)).logits.numpy()
        same(written[name].model(ids), logits, f"{name:6} in transformers")
        back = kl.zoo.load_hugging_face(work / f"{name}-theirs")
        same(back(ids), logits, f"{name:6} written by transformers")
else:
    print("Without transformers and torch there is nothing to compare with.")

# %% [markdown]
# `tests/test_parity.py` does the same with every family of the zoo.
#
# ## What the tensors are called
# A family is a table of names: theirs on the left, ours on the right. Here is
# one block of each.


# %%
def names_of(family):
    """Their name of each tensor of block 0, with shape and ours."""
    table = kl.zoo.find_family(family).weights
    rows = {f"{table.prefix}{r.theirs}": r for r in table.rows}
    rows |= {r.theirs: r for r in table.rows}
    with safe_open(work / family / "model.safetensors", "numpy") as file:
        for name in sorted(file.keys()):
            row = rows.get(name.replace(".0.", ".{i}."))
            if ".0." in name and row is not None:
                ours = [path.split("/", 1)[1] for path in row.ours]
                yield name, file.get_slice(name).get_shape(), ours


for family in ("gpt2", "llama"):
    print(f"\n{family}")
    for name, shape, ours in names_of(family):
        print(f"{name:48} {shape!s:10} {', '.join(ours)}")

# %% [markdown]
# Two things to see. GPT-2 keeps queries, keys and values in one matrix,
# `c_attn`; and Llama's matrices are (outputs, inputs), the other way round
# than Keras has them. By hand:

# %%
gpt2 = load_file(work / "gpt2" / "model.safetensors")
fused = gpt2["transformer.h.0.attn.c_attn.weight"]
attention = written["gpt2"].model.get_layer("block_0").attention
for theirs, ours in zip(
    np.split(fused, 3, axis=1),
    (attention.query, attention.key, attention.value),
    strict=True,
):
    same(theirs, ours.kernel, f"a third of {fused.shape}")
llama = load_file(work / "llama" / "model.safetensors")
query = written["llama"].model.get_layer("block_0").attention.query
theirs = llama["model.layers.0.self_attn.q_proj.weight"]
same(theirs.T, query.kernel, "q_proj, transposed")

# %% [markdown]
# ## From GPT to Llama
# Both are the same decoder with other parts. Here they are exchanged one at a
# time at the size of GPT-2 (124 million), and after each we ask which of four
# families can express such a model in its `config.json`.

# %%
STEPS = {
    "GPT-2": {},
    "RMS norms": {"norm": "rms"},
    "no biases": {"bias": "none"},
    "rotary positions": {"rope": kl.Rope()},
    "SwiGLU": {"mlp": "swiglu", "mlp_dim": None},
    "4 key-value heads": {"num_kv_heads": 4},
}


def steps(config):
    """The config after each step."""
    for name, change in STEPS.items():
        config = config.replace(**change)
        yield name, config


def families_of(config):
    """The families that can express a config."""
    found = []
    for name in ("gpt2", "llama", "qwen2", "qwen3"):
        try:
            kl.zoo.find_family(name).to_hugging_face(config)
            found.append(name)
        except kl.InputError:
            continue
    return found


sizes, caches = {}, {}
for name, config in steps(kl.zoo.config("gpt2", dropout=0.0)):
    sizes[name] = count_parameters(config).total
    caches[name] = kv_cache_bytes(config, 1024) / 1e6
    print(
        f"{name:17} {sizes[name]:>11,} parameters, {caches[name]:4.1f} MB of "
        f"cache (bfloat16), family: {', '.join(families_of(config)) or 'none'}"
    )

# %%
names = list(sizes)
saved = [sizes[a] - sizes[b] for a, b in pairwise(names)]
figure = new_figure(9, 3)
axes = figure.add_subplot(1, 2, 1)
bars = axes.barh(names[1:], saved, color="#0072B2")
axes.bar_label(bars, [f" {count:,}" for count in saved], fontsize=8)
axes.set_xscale("symlog", linthresh=1e4)  # a logarithm has no place for 0
axes.set(xlim=(0, 1e9), xlabel="parameters", title="saved by each step")
axes.invert_yaxis()
axes = figure.add_subplot(1, 2, 2)
bars = axes.barh(names, list(caches.values()), color="#E69F00")
axes.bar_label(bars, [f" {size:.1f}" for size in caches.values()], fontsize=8)
axes.set(xlim=(0, 45), xlabel="MB", title="cache of 1,024 tokens")
axes.invert_yaxis()
figure

# %% [markdown]
# SwiGLU has three matrices instead of two, and is made narrower by a third: at
# this size not a parameter more or less. (The width is rounded up to a
# multiple of 64, so that a small model gets a few more.) Only three of the six
# have a name: the first is a GPT-2, the last two are Llamas. A mixture that no
# family has is no mistake: `build_decoder` builds all of them, only
# `transformers` would not know it.
#
# The book ([Raschka, *Build a Large Language Model (From
# Scratch)*](../book.md)) walks the same way to Llama 2, Llama 3, Llama 3.2 and
# Qwen3 (chapter 5, bonus material) and counts 6,738,415,616, 8,030,261,248,
# 1,235,814,400 and 596,049,920 parameters. With the head counted apart from the
# embedding it says 1,498,482,688 and 751,632,384 for the last two.

# %%
for name in ("llama-2-7b", "llama-3-8b", "llama-3.2-1b", "qwen3-0.6b"):
    tied = count_parameters(kl.zoo.config(name)).total
    untied = count_parameters(kl.zoo.config(name, tie_embeddings=False)).total
    print(f"{name:13} {tied:>13,}, with a head of its own {untied:>13,}")

# %% [markdown]
# ## Do the parts matter?
# Each mixture learns from the same pages for the same number of steps, and
# that three times, from other random weights in another order. ± is the
# standard deviation of the three.

# %%
CONTEXT, ROUNDS = SIZE["context_length"], 1 if TINY else 4
SEEDS = (3,) if TINY else (3, 4, 5)
ROW, LONG = CONTEXT + 1, 4 * CONTEXT + 4
stream = [i for page in tokenizer.encode(pages) for i in page]
parts = np.array(stream[: len(stream) // LONG * LONG]).reshape(-1, LONG)
np.random.default_rng(2).shuffle(parts)
held_out, parts = parts[:32], parts[32 : 48 if TINY else 280]
rows = parts.reshape(-1, ROW)


def losses_of(model, rows):
    """The loss of each token, (rows, places)."""
    return keras.losses.sparse_categorical_crossentropy(
        rows[:, 1:], model(rows[:, :-1]), from_logits=True
    ).numpy()


def learn(model, rounds=ROUNDS, rate=3e-3, rows=rows):
    """Trains a little, on 1,024 tokens a step."""
    model.compile(
        keras.optimizers.AdamW(rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    model.fit(
        *(rows[:, :-1], rows[:, 1:]),
        batch_size=1024 // (rows.shape[1] - 1),
        epochs=rounds,
        verbose=0,
    )
    return model


def loss_of(model):
    """The mean loss of rows that were not learned."""
    return float(losses_of(model, held_out.reshape(-1, ROW)).mean())


# %%
models = {}
for name, config in steps(GPT2):
    if TINY and name != "SwiGLU":
        continue
    if name == "4 key-value heads":
        name, config = "2 key-value heads", config.replace(num_kv_heads=2)
    losses = []
    for seed in SEEDS:
        keras.utils.set_random_seed(seed)
        models[name] = learn(kl.build_decoder(config))
        losses.append(loss_of(models[name]))
    print(
        f"{name:17} {count_parameters(config).total:,} parameters, loss "
        f"{np.mean(losses):.3f} ± {np.std(losses):.3f}"
    )

# %% [markdown]
# Rotary positions make the largest difference, probably as a table of positions
# has to be learned first; SwiGLU helps, too (with a few parameters more here,
# as said above). Differences of the size of ± are luck, as those between the
# first three are, and none of this says much about large models: after so few
# steps the order is that of who learns fastest, not of who gets furthest. What
# it does show is that every mixture is a model that learns, without another
# line of code.
#
# ## Swap a part and keep the rest
# A trained model with four key-value heads becomes one with two: the average
# of two neighbours makes one (Ainslie et al., 2023). The rest is copied. It
# loses something, and a little training brings most of it back. To be fair, the
# whole model trains on for as long.

# %%
whole = models["SwiGLU"]
fewer = kl.build_decoder(whole.config.replace(num_kv_heads=2))


def pooled(kernel, heads=4, groups=2):
    """(width, heads * channels) -> the mean of neighbouring heads."""
    width, channels = kernel.shape[0], kernel.shape[1] // heads
    parts = kernel.reshape(width, groups, heads // groups, channels)
    return parts.mean(axis=2).reshape(width, groups * channels)


for old, new in zip(whole.weights, fewer.weights, strict=True):
    value = old.numpy()
    new.assign(value if value.shape == new.shape else pooled(value))
print(f"{loss_of(whole):.3f}  four key-value heads")
print(f"{loss_of(fewer):.3f}  averaged to two")

# %%
more = 1 if TINY else 2
for model, what in ((fewer, "two, healed for"), (whole, "all four, also")):
    learn(model, more, rate=1e-3)
    print(f"{loss_of(model):.3f}  {what} {more} rounds more")

# %% [markdown]
# ## A longer context
# Rotary positions turn each pair of channels at its own speed. Beyond the
# length of its training a model sees angles that it has never seen. **Scaling**
# slows the pairs down so that a longer text has the old angles: all of them
# (linear), or only the slow ones, because fast pairs tell neighbours apart
# (Llama 3.1, YaRN). Here a Llama that was trained on 2,048 tokens shall read
# four times as many.

# %%
base = kl.zoo.config("llama-3.2-1b", context_length=8192, rope=kl.Rope())


def scaled(before):
    """Ropes for four times as many tokens as before."""
    longer = {"factor": 4.0, "original_context": before}
    return {
        "none": kl.Rope(),
        "linear": kl.Rope(scaling="linear", factor=4.0),
        "llama3": kl.Rope(scaling="llama3", **longer),
        "yarn": kl.Rope(scaling="yarn", **longer),
    }


kl.visualize.rotary_figure(
    {name: base.replace(rope=rope) for name, rope in scaled(2048).items()}
)

# %% [markdown]
# Above: the cosine of each pair's angle at 256 positions. Below: after how many
# tokens a pair has turned once. Pairs over the dashed line never did so in
# training: from there on every further token brings new angles. These pairs
# all three kinds slow down by four, so that at the right they lie on each
# other; at the left only linear is off the line of no scaling.
#
# Does it help? The model of above has learned rows of 64 tokens. We copy its
# weights into decoders for 256 and look at the loss at the places that it knows
# and at those behind, first as copied, then after one round on rows of 256.

# %%
long_rows = held_out[:, : 4 * CONTEXT + 1]
for name, rope in scaled(CONTEXT).items():
    if TINY and name != "yarn":
        continue
    config = whole.config.replace(context_length=4 * CONTEXT, rope=rope)
    stretched = kl.build_decoder(config)
    stretched.set_weights(whole.get_weights())
    print(f"{name:6}", end="")
    for when in ("copied", "trained"):
        if when == "trained":
            learn(stretched, 1, 1e-3, parts[:, : 4 * CONTEXT + 1])
        near, far = np.split(losses_of(stretched, long_rows), [CONTEXT], axis=1)
        print(f"  {when}: 0-63 {near.mean():.3f}", end=", ")
        print(f"64-255 {far.mean():.3f}", end="")
    print()

# %% [markdown]
# As copied, the model without scaling gets worse behind the places that it
# knows. Linear scaling makes all places foreign, the known ones too: fast pairs
# no longer tell neighbours apart as they did. Keeping the fast pairs costs
# little near by and wins far off. A round on long rows helps all of them, and
# far places become easier than near ones: more text stands before them. After
# it the model without scaling is not far behind the best, and linear is last:
# at this size the training matters more than the scaling, and both together are
# best by little. So long contexts are made in two steps: a scaling, and a
# little training with it.
#
# Llama 3.1 and 3.2 were published with such a scaling; it comes along in the
# config. Angles depend on the scaling and on the place, not on
# `context_length`: a shorter one changes no logits, it only makes caches
# smaller.

# %%
rope = kl.zoo.config("llama-3.2-1b").rope
print(rope.scaling, rope.theta, rope.factor, rope.original_context)
llama3 = kl.Rope(scaling="llama3", factor=4.0, original_context=16)
model = kl.build_decoder(LLAMA.replace(rope=llama3))
kl.export.hugging_face(kl.CausalLM(model, tokenizer), work / "scaled")
for length in (64, 32):
    short = kl.zoo.load(work / "scaled", context_length=length)
    same(model(ids), short.model(ids), f"llama3 scaling, context of {length}")

# %% [markdown]
# ## More tokens
# Say you want to mark notes. Two tokens get the next free ids, and the
# embedding gets two rows, each the mean of all others: so the new ids are
# about as likely as the average one, and the old ids keep their logits. A text
# that spells a marker does not become one unless you allow it: otherwise
# whoever writes to your model could write its markers.

# %%
NEW = ["<|note|>", "<|end_note|>"]
old = written["llama"]
extended = old.tokenizer.with_tokens(NEW)
larger = kl.resize_embedding(old.model, extended.vocabulary_size)
marked = "<|note|>tea<|end_note|>"
spelled = extended.encode(marked, disallowed_special=())
print("spelled out:", [extended.decode([i]) for i in spelled])
print("allowed:    ", extended.encode(marked, allowed_special="all"))
print(f"{old.model.count_params():,} -> {larger.count_params():,} parameters")
size = old.config.vocabulary_size
same(larger(ids)[..., :size], old.model(ids), "logits of the old ids")

# %%
kl.CausalLM(larger, extended).save(work / "extended")
again = kl.CausalLM.load(work / "extended")
print(again.tokenizer.special_tokens)

# %% [markdown]
# ## What loading takes
# The plain way holds all tensors and the model at once. `zoo.load` makes the
# variables empty and reads one tensor after the other. Measured is what Python
# and NumPy hold **besides** the model's variables, at the worst moment.

# %%
big = LLAMA.replace(
    vocabulary_size=4096,
    num_layers=2 if TINY else 8,
    hidden_dim=256,
    head_dim=None,
    mlp_dim=None,
)
kl.zoo.save_hugging_face(kl.build_decoder(big), work / "big", "llama")
bytes_of_file = (work / "big" / "model.safetensors").stat().st_size


def at_once():
    tensors = load_file(work / "big" / "model.safetensors")
    return kl.build_decoder(big), tensors  # both are there before copying


def one_by_one():
    return kl.zoo.load_hugging_face(work / "big")


peaks = {}
for way in (at_once, one_by_one):
    tracemalloc.start()
    way()
    peaks[way.__name__] = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"{way.__name__:11} {peaks[way.__name__] / 1e6:5.1f} MB besides")
table = big.vocabulary_size * big.hidden_dim * 4
print(f"the file has {bytes_of_file / 1e6:.1f} MB, ", end="")
print(f"its largest tensor (the token table) {table / 1e6:.1f} MB")

# %% [markdown]
# At once costs the whole file beside the model, one by one two or three times
# the largest tensor (as read, as it is put into its variable, and what else is
# there), however many layers there are.
#
# And before any download, what the real ones will hold, in GB:

# %%
print(" " * 14, *(f"{dtype:>9}" for dtype in ("float32", "bfloat16", "int8")))
for name in ("gpt2", "llama-3.2-1b", "qwen3-0.6b", "llama-3-8b"):
    config = kl.zoo.config(name)
    held = (weight_bytes(config, d) for d in ("float32", "bfloat16", "int8"))
    print(f"{name:14}", *(f"{size / 1e9:9.2f}" for size in held))

# %% [markdown]
# ## With the network
# Everything above works with the published weights; only the name changes.
# They are downloaded once, into the usual cache, with their hashes checked.
#
# ```shell
# pip install "keras_llm[hub]"
# keras-llm info qwen3-0.6b          # what it takes, before any download
# keras-llm generate "Every effort moves you" --model gpt2
# keras-llm chat Qwen/Qwen3-0.6B
# ```
#
# ```python
# lm = kl.zoo.load("gpt2")
# lm = kl.zoo.load("Qwen/Qwen3-0.6B", dtype="bfloat16", context_length=2048)
# lm = kl.zoo.load("llama-3.2-1b")   # after you accepted its licence on the hub
# ```
#
# [The zoo](../zoo.md) lists every preset with its size and licence, and
# [Add a family](13_add_a_family.md) is about those that are not there.

# %% [markdown]
# ## Exercises
# **Exercise 1.** Qwen2 is a Llama whose queries, keys and values have a bias.
# How many numbers are that in Qwen2 0.5B (24 layers, width 896, 14 heads, 2
# key heads)? Check it with `count_parameters`.
#
# **Exercise 2.** Which field must change in `LLAMA` so that the family `qwen3`
# can express it and `llama` cannot? And how many parameters does it add?
#
# **Exercise 3.** Load the attention of GPT-2's second block by hand into a new
# `GroupedQueryAttention`, biases included, and show that it computes what the
# model's own does.

# %% [markdown]
# ## Solutions
# ### Exercise 1
# A bias for each output: 14 query heads, 2 key heads and 2 value heads, all of
# 64 channels.

# %%
with_bias = kl.zoo.config("qwen2-0.5b")
by_hand = 24 * (14 + 2 + 2) * (896 // 14)
without = with_bias.replace(bias="none")
counted = count_parameters(with_bias).total - count_parameters(without).total
print(f"{by_hand:,} by hand, {counted:,} counted")
assert by_hand == counted

# %% [markdown]
# ### Exercise 2
# The norm of queries and keys: a gain for each channel of a head, shared by
# all heads, for queries and for keys.

# %%
changed = LLAMA.replace(qk_norm="head")
more = count_parameters(changed).total - count_parameters(LLAMA).total
print("before:", families_of(LLAMA), "and after:", families_of(changed))
print(f"{more} parameters more")
assert families_of(changed) == ["qwen3"] and "llama" in families_of(LLAMA)
assert more == LLAMA.num_layers * 2 * LLAMA.head_dim

# %% [markdown]
# ### Exercise 3
# Thirds of `c_attn`, and `c_proj` as it is.

# %%
at = "transformer.h.1.attn"
mine = kl.layers.GroupedQueryAttention(num_heads=4, bias="all")
mine.build((None, None, 64))
parts = zip(
    np.split(gpt2[f"{at}.c_attn.weight"], 3, axis=1),
    np.split(gpt2[f"{at}.c_attn.bias"], 3),
    (mine.query, mine.key, mine.value),
    strict=True,
)
for kernel, bias, dense in parts:
    dense.kernel.assign(kernel)
    dense.bias.assign(bias)
mine.output_projection.kernel.assign(gpt2[f"{at}.c_proj.weight"])
mine.output_projection.bias.assign(gpt2[f"{at}.c_proj.bias"])
x = keras.random.normal((2, 16, 64), seed=4)
theirs = written["gpt2"].model.get_layer("block_1").attention
same(mine(x), theirs(x), "attention by hand")
assert np.allclose(mine(x), theirs(x), atol=1e-4)
