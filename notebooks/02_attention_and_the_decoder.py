# %% [markdown]
# # Attention, and the decoder from small pieces
#
# A decoder looks at the words so far and says which one comes next. Here each
# of its parts is written by hand in about ten lines of `keras.ops`, then
# replaced by the library's layer, and the two are shown to be equal.
#
# The cells run in under half a minute on two cores; then you will be able to:
# compute attention with nothing but a softmax and two products, say what
# queries, keys, values, the causal mask, heads, rotary positions, norms, the
# MLP and shortcuts are for, put them together into a decoder, and count the
# parameters of any GPT-2. It needs Keras and matplotlib
# (`pip install "keras_llm[viz]"`), no data and no GPU.

# %%
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import keras
import numpy as np
from keras import ops

import keras_llm as kl
from keras_llm import layers
from keras_llm.figures import new_figure

TINY = bool(os.environ.get("KERAS_LLM_TINY"))
keras.utils.set_random_seed(0)


def same(ours, theirs, what):
    """Says how far two results are apart; they must be equal."""
    difference = np.abs(np.array(ours) - np.array(theirs)).max()
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    print(f"{what}: equal, largest difference {difference:.0e}")


# %% [markdown]
# ## Attention is an average
# Six words, each a vector of three numbers (an embedding: a row of a table,
# looked up by the token's id). A word should know about the others, so it
# becomes an average of all. Whom to listen to, the words say themselves: the
# more alike two vectors are (their product), the more weight. A softmax makes
# the weights positive, with sum 1. The vectors here are random: whom a word
# listens to means nothing yet.

# %%
words = ["Your", "journey", "starts", "with", "one", "step"]
x = np.random.default_rng(1).normal(size=(6, 3)).astype("float32")
scores = x @ x.T
weights = ops.softmax(scores, axis=-1)
context = weights @ x
print("sums of the rows:", np.array(ops.sum(weights, axis=-1)).round(4))
print("'journey' listens to:", np.array(weights[1]).round(2))


# %%
def heat(maps, titles):
    """Where each word (row) looks (column), a panel each."""
    figure = new_figure(3.5 * len(maps), 3.4)
    for place, (values, title) in enumerate(zip(maps, titles, strict=True), 1):
        axes = figure.add_subplot(1, len(maps), place)
        axes.imshow(values, cmap="Blues", vmin=0, vmax=1)
        axes.set_title(title, fontsize=10)
        axes.set(xlabel="looks at", ylabel="word")
        axes.set_xticks(range(len(words)), words, rotation=60)
        axes.set_yticks(range(len(words)), words)
    return figure


heat([weights], ["who listens to whom"])

# %% [markdown]
# ## Queries, keys and values
# Being alike is not the same as being useful: a verb looks for its subject,
# not for other verbs. So each vector is seen through three learned matrices:
# as a **query** (what I look for), a **key** (what I am found by) and a
# **value** (what I hand over). The scores are divided by the root of the width,
# or the softmax of a wide model would nearly always choose a single word.

# %%
WIDTH = 3
random = np.random.default_rng(2)
w_query, w_key, w_value = random.normal(size=(3, 3, WIDTH)).astype("float32")


def attention(x, mask=0.0):
    query, key, value = x @ w_query, x @ w_key, x @ w_value
    scores = query @ key.T / WIDTH**0.5 + mask
    weights = ops.softmax(scores, axis=-1)
    return weights, weights @ value


# %% [markdown]
# ## The causal mask
# The model will be asked for the next word at every place at once. A word that
# could see the next one would just copy it. So everything to the right gets
# the score minus infinity, which the softmax turns to zero; what is left of a
# row still has the sum 1.

# %%
causal = np.triu(np.full((6, 6), -np.inf, "float32"), 1)
free, _ = attention(x)
masked, context = attention(x, causal)
heat([free, masked], ["sees everything", "sees what came before"])

# %% [markdown]
# ## Several heads
# One average per word is little. **Heads** are several attentions side by side
# on slices of the width, put together again by an output matrix. It is still
# one product: the slices are an axis of their own.
#
# Ours is `GroupedQueryAttention`: as many key heads as query heads is the
# multi-head attention of GPT-2. Fewer is what Llama 3 does, which saves memory
# when text is generated ([chapter 05](05_decoding.md)).


# %%
def by_hand(x, layer, heads):
    """Multi-head attention of (batch, time, width), with a layer's weights."""
    batch, time, width = x.shape

    def split(dense):
        values = ops.matmul(x, dense.kernel)
        values = ops.reshape(values, (batch, time, heads, width // heads))
        return ops.transpose(values, (0, 2, 1, 3))

    query, key, value = map(split, (layer.query, layer.key, layer.value))
    scores = query @ ops.transpose(key, (0, 1, 3, 2))
    scores = scores / (width // heads) ** 0.5
    scores = scores + np.triu(np.full((time, time), -np.inf), 1)
    mixed = ops.softmax(scores, axis=-1) @ value
    mixed = ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), x.shape)
    return ops.matmul(mixed, layer.output_projection.kernel)


batch = keras.random.normal((2, 6, 16))
layer = layers.GroupedQueryAttention(num_heads=4)
theirs = layer(batch)
same(by_hand(batch, layer, heads=4), theirs, "attention with four heads")

# %% [markdown]
# In training, some of the weights may be dropped at random, so that no word
# relies on a single other one. Here each is dropped with a chance of one half,
# with the six words from above, and a word may lose all it has. What stays is
# doubled, so that the mean is the same. (The colours end at 1.)

# %%
dropping = layers.Dropout(0.5)
dropped = dropping(masked, training=True)
heat([masked, np.minimum(dropped, 1)], ["all weights", "half of them dropped"])

# %% [markdown]
# ## Where am I?
# An average does not know the order of words: shuffle what came before, and
# nothing changes.

# %%
shuffled = x[[3, 0, 4, 2, 1, 5]]
same(attention(shuffled, causal)[1][5], context[5], "'step', others shuffled")

# %% [markdown]
# So the order must be put into the vectors. GPT-2 adds a learned vector for
# each position. Later models *rotate* queries and keys: each pair of channels
# turns by an angle that grows with the position, fast pairs and slow ones. For
# the product of a query and a key it then counts how far apart they are, but
# not where they are.


# %%
def rotate(x, theta=10_000.0):
    """Turns each pair (channel, channel + half) of (time, channels)."""
    time, channels = x.shape
    half = channels // 2
    speeds = theta ** -(np.arange(half) / half)
    angles = np.arange(time)[:, None] * speeds
    cos, sin = np.cos(angles), np.sin(angles)
    left, right = x[:, :half], x[:, half:]
    parts = [left * cos - right * sin, right * cos + left * sin]
    return np.concatenate(parts, axis=1).astype(x.dtype)


channels, time = 16, 32
heads = np.random.default_rng(3).normal(size=(1, time, 1, channels))
rotary = layers.RotaryEmbedding(channels)
cos, sin = rotary(ops.expand_dims(ops.arange(time), 0))
ours = rotate(heads[0, :, 0].astype("float32"))
theirs = layers.rotate(ops.cast(heads, "float32"), cos, sin)
same(ours, theirs[0, :, 0], "rotary positions")

# %%
one = np.ones((time, channels), "float32")
turned = rotate(one)
figure = new_figure(8, 3)
axes = figure.add_subplot(1, 2, 1)
for pair in (0, 2, 4):
    axes.plot(turned[:, pair], label=f"pair {pair}")
axes.set(xlabel="position", title="fast and slow channels", ylabel="value")
axes.legend(loc="lower left", ncols=3, bbox_to_anchor=(0, 1.1), fontsize=8)
axes = figure.add_subplot(1, 2, 2)
axes.plot(turned @ turned[0], label="from position 0")
axes.plot(range(-8, 24), turned @ turned[8], "--", label="from position 8")
axes.set(xlabel="distance", title="two equal vectors", ylabel="product")
axes.legend(loc="lower left", ncols=2, bbox_to_anchor=(0, 1.1), fontsize=8)
figure

# %% [markdown]
# On the left, one channel of three pairs: all begin as 1 and turn at their own
# speed. On the right, the same vector at two places, rotated at each, and the
# product of the two: where both curves are drawn they are one, so only the
# distance counts.
#
# ## Norms keep the numbers in hand
# Dozens of layers add to the same vector; without a norm it would grow and the
# softmax would freeze. **LayerNorm** (GPT-2) takes off the mean and divides by
# the deviation; **RMSNorm** (Llama) only divides by the root mean square.


# %%
def layer_norm(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(
        x.var(-1, keepdims=True) + 1e-5
    )


def rms_norm(x):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)


wide = np.random.default_rng(4).normal(3.0, 5.0, (2, 6, 16)).astype("float32")
theirs = keras.layers.LayerNormalization(epsilon=1e-5)(wide)
same(layer_norm(wide), theirs, "LayerNorm")
same(rms_norm(wide), keras.layers.RMSNormalization(epsilon=1e-5)(wide), "RMS")

# %% [markdown]
# ## The MLP thinks about one word at a time
# After words have talked to each other, each is worked on alone: wider (four
# times in GPT-2), through a curve that is not a line, and back. GPT-2's curve
# is GELU. Llama has a second matrix whose result, through the curve SiLU, is a
# **gate**: what comes through the first is multiplied by it (SwiGLU).


# %%
def gelu_mlp(x, layer):
    inner = x @ layer.up.kernel
    cubic = inner + 0.044715 * inner**3
    curve = 0.5 * inner * (1 + ops.tanh((2 / np.pi) ** 0.5 * cubic))
    return curve @ layer.down.kernel


def swiglu_mlp(x, layer):
    gate, up = x @ layer.gate.kernel, x @ layer.up.kernel
    silu = gate * ops.sigmoid(gate)
    return (silu * up) @ layer.down.kernel


plain, gated = layers.MLP(64, "gelu"), layers.MLP(64, "swiglu")
theirs = plain(batch), gated(batch)
same(gelu_mlp(batch, plain), theirs[0], "GELU MLP")
same(swiglu_mlp(batch, gated), theirs[1], "SwiGLU MLP")

# %%
line = np.linspace(-4, 4, 161)
figure = new_figure(6, 3)
axes = figure.add_subplot()
for name, style in (("relu", "k:"), ("gelu", "-"), ("silu", "--")):
    curve = getattr(keras.activations, name)
    axes.plot(line, curve(line), style, label=name)
axes.set(xlabel="into the curve", ylabel="out of it")
axes.legend()
figure

# %% [markdown]
# Old networks used ReLU, which cuts off what is negative. GELU and SiLU do
# nearly that, but without a corner, and a little that is negative gets through.
#
# ## Shortcuts let the error through
# Each part *adds* to its input instead of replacing it. That is not for the
# forward way but for the way back. Training tells each layer how the loss
# changes with it, the **gradient**, and computes that from the last layer to
# the first. Twelve layers, with and without shortcuts, and how large the
# gradient is at the input of each:


# %%
def gradients(shortcut):
    import tensorflow as tf

    keras.utils.set_random_seed(5)
    stack = [keras.layers.Dense(16, activation="gelu") for _ in range(12)]
    x = keras.random.normal((8, 16), seed=5)
    goal = keras.random.normal((8, 16), seed=6)
    inputs = []
    with tf.GradientTape() as tape:
        tape.watch(x)
        for one in stack:
            inputs.append(x)
            x = one(x) + x if shortcut else one(x)
        loss = ops.mean(x * goal)
    return [float(ops.mean(ops.abs(g))) for g in tape.gradient(loss, inputs)]


without, with_them = gradients(False), gradients(True)
figure = new_figure(6, 3)
axes = figure.add_subplot()
axes.semilogy(range(1, 13), with_them, "o-", label="with shortcuts")
axes.semilogy(range(1, 13), without, "s-", label="without")
axes.set(xlabel="layer", ylabel="mean size of the gradient")
axes.set_xticks(range(1, 13))
axes.legend()
figure

# %%
for name, sizes in (("with shortcuts", with_them), ("without", without)):
    print(f"{name:14} first layer {sizes[0]:.1e}, last {sizes[-1]:.1e}")

# %% [markdown]
# Read the figure from right to left. Without shortcuts each layer hands on only
# a part, and after twelve of them hardly anything is left for the first. With
# shortcuts the sum hands on everything, and each layer adds something.
#
# ## A block, and a decoder
# Norm, attention, add; norm, MLP, add: that is a block. A decoder is an
# embedding, some blocks, a last norm, and the embedding once more, the other
# way round, for a score of every token. With the weights of a small Llama of
# ours, by hand:

# %%
config = kl.DecoderConfig(
    vocabulary_size=100,
    context_length=32,
    num_layers=2,
    hidden_dim=32,
    num_heads=2,
    mlp_dim=64,
)
model = kl.build_decoder(config)


def turned_heads(dense, x, heads):
    """(time, width) -> rotated (heads, time, channels)."""
    values = np.array(x @ dense.kernel).reshape(len(x), heads, -1)
    return np.stack([rotate(values[:, head]) for head in range(heads)])


def attend(x, layer, heads=2):
    query = turned_heads(layer.query, x, heads)
    key = turned_heads(layer.key, x, heads)
    value = np.array(x @ layer.value.kernel).reshape(len(x), heads, -1)
    scores = query @ key.transpose(0, 2, 1) / query.shape[-1] ** 0.5
    scores += np.triu(np.full((len(x), len(x)), -np.inf, "float32"), 1)
    mixed = np.array(ops.softmax(scores)) @ value.transpose(1, 0, 2)
    mixed = mixed.transpose(1, 0, 2).reshape(len(x), -1)
    return np.array(mixed @ layer.output_projection.kernel)


def decoder(ids):
    table = model.get_layer("token_embedding").embeddings.numpy()
    x = table[ids]
    for number in range(config.num_layers):
        block = model.get_layer(f"block_{number}")
        x = x + attend(rms_norm(x), block.attention)
        x = x + np.array(swiglu_mlp(rms_norm(x), block.mlp))
    return rms_norm(x) @ table.T


ids = np.random.default_rng(6).integers(0, 100, 20)
same(decoder(ids), model(ids[None])[0], "a whole decoder, 40 lines of ours")

# %% [markdown]
# A norm has a gain for each channel; it is 1 in a new model, so we left it out.
# `build_decoder` gives a plain functional `keras.Model`. Its inputs beside the
# tokens are optional: `segments` say which tokens belong to the same text, for
# rows of several texts, and `positions` where a token stands in its text
# ([chapter 03](03_data.md)); left out, `positions_or_count` just counts.
# `mask_G` is the causal mask and `rotary` the angles, made once for all blocks.
# (G is for global: sees all that came before.)

# %%
for layer in model.layers:
    print(f"{layer.name:20} {layer.count_params():>6,}")

# %% [markdown]
# ## How large is GPT-2?
# The same builder with another `DecoderConfig` is GPT-2. Its published name
# says 124 million, because the output matrix *is* the embedding (they are
# **tied**). Chapter 4 of the book ([Raschka, *Build a Large Language Model
# (From Scratch)*](../book.md)) first keeps two matrices and counts 163,009,536
# parameters, and 124,412,160 once the second is taken off. There, queries, keys
# and values have no bias (768 * 3 * 12 = 27,648 numbers); in the published
# model they do.

# %%
count = kl.estimate.count_parameters
for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"):
    tied = count(kl.zoo.config(name)).total
    untied = count(kl.zoo.config(name, tie_embeddings=False)).total
    print(f"{name:12} {tied:>13,} as published, {untied:>13,} untied")
book = kl.zoo.config("gpt2", tie_embeddings=False, bias="all")
print(f"as in the book {count(book).total - 27_648:,}")

# %% [markdown]
# ## What does a new model know?
# Nothing: every token is about as likely as any other, so its loss is the
# logarithm of their number. A first loss far from it is a defect, not bad luck.

# %%
vocabulary = 1_000 if TINY else 50_257
new = kl.build_decoder(
    kl.zoo.config("tiny", vocabulary_size=vocabulary, context_length=64)
)
rows = np.random.default_rng(7).integers(0, vocabulary, (4, 65))
logits = new(rows[:, :-1])
loss = keras.losses.sparse_categorical_crossentropy(
    rows[:, 1:], logits, from_logits=True
)
print(f"first loss {float(ops.mean(loss)):.2f}", end=", ")
print(f"ln({vocabulary:,}) = {np.log(vocabulary):.2f}")

# %% [markdown]
# ## Where does a trained model look?
# `keras_llm.visualize` draws the same maps for any model. The small Llama from
# above learns for a few seconds from rows of eight random tokens that come
# again and again. Every row is new, so that none can be learned by heart. The
# first eight tokens cannot be foreseen, all others can: no model gets below a
# loss of ln(99) for the seven guesses after the first token, and 0 for the 25
# others.


# %%
def repeating(count):
    eight = random.integers(1, 100, (count, 8))
    return np.tile(eight, (1, 5))[:, :33]


steps = 60 if TINY else 400
learned, fresh = repeating(steps * 32), repeating(64)
model.compile(
    keras.optimizers.Adam(3e-3),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
)
model.fit(learned[:, :-1], learned[:, 1:], batch_size=32, verbose=0)
loss = model.evaluate(fresh[:, :-1], fresh[:, 1:], verbose=0)
print(f"loss of new rows {loss:.2f}, at best {7 / 32 * np.log(99):.2f}")
kl.visualize.attention_figure(model, fresh[0, :20])

# %% [markdown]
# The figure shows the last block. From the eighth token on there is a stripe:
# each token looks seven places to the left, where the one stands that it has to
# say next. Before, there is nothing to copy, and the looks go anywhere. Nobody
# told the model how long the pattern is.

# %% [markdown]
# ## Exercises
# **Exercise 1.** How many parameters does one layer of attention have in
# GPT-2 (width 768, with biases), and how many its MLP? Which is larger?
#
# **Exercise 2.** Grouped-query attention with 12 query heads and 4 key heads:
# what share of the cache of keys and values is saved, and how many parameters
# fewer does a layer of width 768 have? Check it with the library's layer.
#
# **Exercise 3.** A **window** lets a word see only the last few. Change the
# mask by hand so that a word sees itself and the two before it, and show that
# the library's layer with `window=3` gives the same.

# %% [markdown]
# ## Solutions
# ### Exercise 1
# Attention has four matrices of width x width, the MLP two of width x 4 width:
# twice as many.

# %%
by_hand_attention = 4 * (768 * 768 + 768)
by_hand_mlp = 768 * 3072 + 3072 + 3072 * 768 + 768
attention_layer = layers.GroupedQueryAttention(12, bias="all")
mlp_layer = layers.MLP(3072, "gelu", use_bias=True)
attention_layer.build((None, None, 768))
mlp_layer.build((None, None, 768))
print(f"attention {by_hand_attention:,}, MLP {by_hand_mlp:,}")
assert attention_layer.count_params() == by_hand_attention
assert mlp_layer.count_params() == by_hand_mlp

# %% [markdown]
# ### Exercise 2
# Keys and values shrink to a third, so two thirds of the cache are saved. Two
# matrices have 256 columns instead of 768.

# %%
many, few = (layers.GroupedQueryAttention(12, kv) for kv in (12, 4))
for one in (many, few):
    one.build((None, None, 768))
saved = many.count_params() - few.count_params()
print(f"{saved:,} parameters fewer, 2/3 of the cache saved")
assert saved == 2 * 768 * (768 - 256)

# %% [markdown]
# ### Exercise 3
# What lies three or more to the left becomes minus infinity, too.

# %%
narrow = layers.GroupedQueryAttention(num_heads=1, window=3)
theirs = narrow(batch)
far = np.tril(np.full((6, 6), -np.inf), -3)
query, key, value = (
    np.array(batch @ dense.kernel)
    for dense in (narrow.query, narrow.key, narrow.value)
)
root = 4  # of the width, 16
scores = query @ key.transpose(0, 2, 1) / root + causal + far
mixed = np.array(ops.softmax(scores)) @ value
ours = mixed @ np.array(narrow.output_projection.kernel)
same(ours, theirs, "a window of three")
assert np.allclose(ours, theirs, atol=1e-4)
