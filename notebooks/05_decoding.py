# %% [markdown]
# # Decoding, from scores to text, fast
#
# A model gives a score to every token that could come next. What makes a text
# of that is not the model but a loop around it: pick one, append it, ask again.
#
# The cells run in about five minutes on two cores; then you will be able to:
# write that loop, say what temperature, top-k, top-p, min-p and a penalty do to
# the probabilities and see it, stop and stream a text, repeat a random one
# exactly, build the cache of keys and values by hand, measure why it is fast,
# and compute the memory it takes with grouped heads and windows. It needs
# matplotlib (`pip install "keras_llm[viz]"`), no data and no GPU.

# %%
import keyword
import os
import re
import time
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import keras
import numpy as np
import tensorflow as tf
from keras import ops
from matplotlib.colors import ListedColormap

import keras_llm as kl
from keras_llm.estimate import flops_per_token, kv_cache_bytes
from keras_llm.figures import new_figure

TINY = bool(os.environ.get("KERAS_LLM_TINY"))
keras.utils.set_random_seed(0)

# %% [markdown]
# ## A small model that knows a little
# Two or three minutes of training on some of Python's language reference, which
# comes with every Python: the pages on statements. The model will know them
# partly by heart, and nothing else: its texts make little sense, and some of
# its words are broken. Its probabilities are real, and they are what this
# chapter is about.

# %%
VOCABULARY, CONTEXT, EPOCHS = (400, 64, 2) if TINY else (1024, 128, 30)
WIDTH = 64 if TINY else 192
library = kl.data.standard_library()
names = (*keyword.kwlist, "assignment", "compound", "execmodel", "exprlists")
names = {f"python/topics/{name}" for name in (*names, "function", "naming")}
pages = [page.text for page in library if page.source in names]
pages = [re.sub(r"[-+*=^~|]{3,}\n?", "", page) for page in pages]  # lines drawn
pages = pages[:12] if TINY else pages
tokenizer = kl.BytePairTokenizer.train(pages, VOCABULARY, progress=False)
end = tokenizer.eos_id
ids = [i for page in tokenizer.encode(pages) for i in (*page, end)]
print(f"{len(pages)} pages, {len(ids):,} tokens")

# %%
config = kl.zoo.config(
    "tiny",
    vocabulary_size=VOCABULARY,
    context_length=CONTEXT,
    num_layers=1 if TINY else 4,
    hidden_dim=WIDTH,
    num_heads=WIDTH // 32,
    mlp_dim=3 * WIDTH,
)
model, early = kl.build_decoder(config), kl.build_decoder(config)
count = len(ids) // (CONTEXT + 1)
steps = EPOCHS * -(-count // 8)
model.compile(
    keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(3e-3, steps)),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    jit_compile=False,
)
losses, random = [], np.random.default_rng(0)
for epoch in range(EPOCHS):
    start = random.integers(len(ids))  # cut elsewhere each time
    rows = np.roll(ids, -start)[: count * (CONTEXT + 1)]
    rows = rows.reshape(-1, CONTEXT + 1)
    history = model.fit(rows[:, :-1], rows[:, 1:], batch_size=8, verbose=0)
    losses += history.history["loss"]
    if epoch == EPOCHS // 4:
        early.set_weights(model.get_weights())
print("loss", *(round(loss, 2) for loss in losses[:: max(1, EPOCHS // 8)]))
lm = kl.CausalLM(model, tokenizer, starts=False)
early = kl.CausalLM(early, tokenizer, starts=False)

# %% [markdown]
# ## The loop
# The scores (**logits**) at the last place are for the next token. Take the
# highest one: that is **greedy**. `generate` does the same.


# %%
def next_logits(ids):
    return np.array(model(np.array([ids]))[0, -1])


def greedy(ids, count):
    for _ in range(count):
        ids = [*ids, int(next_logits(ids).argmax())]
    return ids


PROMPT = 'The "for" statement is used to'
prompt = tokenizer.encode(PROMPT)
new = greedy(prompt, 24)[len(prompt) :]
print(repr(tokenizer.decode(new)))
text = lm.generate(PROMPT, max_new_tokens=24)
print("generate says the same:", text == tokenizer.decode(new))

# %% [markdown]
# The page goes on with "iterate over the elements of a sequence": a model this
# small does not find its way from a prompt to the page it comes from.
#
# Greedy is right for a question with one answer. For a longer text it is dull:
# small models string together pieces that they know by heart, or run in
# circles, as a phrase that is there once is likely to come again.

# %%
print(lm.generate(PROMPT, max_new_tokens=100))

# %% [markdown]
# ## Chance
# So we draw, with the probabilities that a softmax makes of the scores. Nine
# words with the scores of chapter 5 of the book ([Raschka, *Build a Large
# Language Model (From Scratch)*](../book.md)), for what follows "every effort
# moves you", drawn a thousand times. The book counted 582 forward, 343 toward,
# 73 closer, 2 inches.

# %%
words = "closer every effort forward inches moves pizza toward you".split()
scores = np.array([4.51, 0.89, -1.90, 6.75, 1.63, -1.62, -1.89, 6.28, 1.79])


def softmax(scores):
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def draw(probabilities, random):
    """The first token at which the sum passes a random number."""
    return int(np.searchsorted(probabilities.cumsum(), random.random()))


random = np.random.default_rng(123)
drawn = [words[draw(softmax(scores), random)] for _ in range(1_000)]
print({word: drawn.count(word) for word in words if word in drawn})

# %% [markdown]
# **Temperature** divides the scores first. Below 1 the likely ones gain, above
# 1 the unlikely ones. The book drew pizza 32 times in a thousand at 5, and
# forward 985 times at 0.1.

# %%
temperatures = (0.1, 1, 5)
figure = new_figure(7, 2.8)
axes = figure.subplots()
for i, temperature in enumerate(temperatures):
    shares = softmax(scores / temperature)
    print(f"{temperature}: forward {shares[3]:.1%}, pizza {shares[6]:.1%}")
    places = np.arange(len(words)) + 0.27 * (i - 1)
    axes.bar(places, shares, 0.25, label=f"temperature {temperature}")
axes.set_xticks(range(len(words)), words, rotation=30)
axes.set_ylabel("probability")
axes.legend()
figure

# %% [markdown]
# ## Three filters
# Most tokens have next to no probability each, and together they have a fair
# share. One of them, drawn by bad luck, spoils the text. Filters remove the
# tail: **top-k** keeps the k likeliest; **top-p** the likeliest that together
# reach p, so few where the model is sure and many where it is not; **min-p**
# those that have at least a share of the best one's probability.


# %%
def scaled(kept):
    return kept / kept.sum()


def top_k(p, k):
    return scaled(np.where(p >= np.sort(p)[-k], p, 0))


def top_p(p, most):
    order = np.argsort(-p)
    before = p[order].cumsum() - p[order]
    kept = np.zeros_like(p)
    kept[order[before < most]] = p[order[before < most]]
    return scaled(kept)


def min_p(p, share):
    return scaled(np.where(p >= share * p.max(), p, 0))


three = top_k(softmax(scores), 3)
print("top-k 3:", {words[i]: f"{three[i]:.4f}" for i in np.flatnonzero(three)})

# %% [markdown]
# The book's three are 0.5775, 0.3610 and 0.0615. The library's filters on
# probabilities of our model:

# %%
p = softmax(next_logits(prompt).astype("float64"))
for name, by_hand, value in (
    ("top_k", top_k, 5),
    ("top_p", top_p, 0.8),
    ("min_p", min_p, 0.1),
):
    settings = kl.GenerationSettings(temperature=1, **{name: value})
    stages = kl.visualize.sampling_stages(lm, settings, PROMPT)
    theirs, mine = stages[-1].probabilities, by_hand(p, value)
    print(f"{name} {value}: {(theirs > 0).sum()} tokens are left,", end=" ")
    print("equal:", np.allclose(theirs, mine, atol=1e-5))

# %% [markdown]
# All in a row, in the order in which they are applied. A cross is a token that
# can no longer be drawn. Not every stage does much: the penalty touches tokens
# that are in the prompt, and a filter may find that those before it have left
# nothing to remove.

# %%
settings = kl.GenerationSettings(
    repetition_penalty=1.3, temperature=0.8, top_k=12, top_p=0.9, min_p=0.2
)
kl.visualize.sampling_figure(lm, settings, PROMPT)

# %%
for temperature in (0.3, 0.8, 2.0):
    text = lm.generate(PROMPT, max_new_tokens=30, temperature=temperature)
    print(f"{temperature}: {text!r}")
text = lm.generate(PROMPT, max_new_tokens=30, temperature=2.0, min_p=0.2)
print(f"2.0 and min-p: {text!r}")

# %% [markdown]
# The higher the temperature, the less is left of words and lines; at 2.0 even
# characters may break, where half of one is drawn. With min-p only what is
# likely enough can be drawn at 2.0, too. That words break at 0.3 is the model's
# fault and not that of the loop.
#
# ## A penalty against circles
# The **repetition penalty** makes tokens that are already there less likely,
# prompt included. We ask the model of an early epoch, which runs in circles:
# how many of all runs of four tokens are new ones?


# %%
def share_of_new(text):
    ids = tokenizer.encode(PROMPT + text)
    fours = [tuple(ids[i : i + 4]) for i in range(len(ids) - 3)]
    return len(set(fours)) / len(fours)


for penalty in (1.0, 1.1, 1.3, 2.0):
    text = early.generate(PROMPT, max_new_tokens=90, repetition_penalty=penalty)
    print(f"penalty {penalty}: {share_of_new(text):4.0%} new, {text[-48:]!r}")

# %% [markdown]
# A small penalty breaks the circles. A large one breaks the text, too: the
# model may not even say "the" again, and takes what is left; or it ends,
# because the end is a token that was not there yet.
#
# ## Where a text ends
# At a token that means the end (`end_ids`), at the most tokens you allow, or
# before a **stop string**. A stop string can begin in one token and end in
# another; so it is looked for in the text and not in ids. Here it is a word of
# the text itself.

# %%
print("ends:", [tokenizer.decode([i]) for i in lm.end_ids])
print("with ", repr(lm.generate(PROMPT, max_new_tokens=40)))
parts = lm.generate(PROMPT, max_new_tokens=40).split()
word = parts[len(parts) // 2]
print("until", word, repr(lm.generate(PROMPT, max_new_tokens=40, stop=word)))

# %% [markdown]
# ## Streaming
# The same text piece by piece, as it is made. Every few tokens the compiled
# loop hands over what it has, so a piece is more than one token; the end of a
# piece is held back while it could be half a character or the beginning of a
# stop string.

# %%
pieces = list(lm.stream(PROMPT, max_new_tokens=40, temperature=0.7, seed=3))
print("|".join(pieces))
whole = lm.generate(PROMPT, max_new_tokens=40, temperature=0.7, seed=3)
print("joined, what generate returns:", "".join(pieces) == whole)

# %% [markdown]
# ## Chance that repeats
# Random numbers come from the seed alone. The same seed gives the same text,
# and row i of a batch draws from `seed + i`, whoever is in the batch with it:
# a text does not change because a server was busy.

# %%
chance = {"max_new_tokens": 20, "temperature": 1.0, "top_p": 0.9}
alone = lm.generate(PROMPT, seed=8, **chance)
again = lm.generate(PROMPT, seed=8, **chance)
other = lm.generate(PROMPT, seed=9, **chance)
_, in_a_batch = lm.generate(["A list of", PROMPT], seed=7, **chance)
print("the same seed, the same text:", alone == again)
print("the same beside a text of another length:", alone == in_a_batch)
print("another seed, another text:", alone != other)

# %% [markdown]
# ## Why is the loop slow?
# Look at `greedy` again: for each new token the whole text goes through the
# model. But a token sees only what came before it. So whatever is appended,
# keys and values of the earlier tokens stay what they were, but for rounding.
# Here are keys of the last layer, after reading all but one token and after
# reading all. (A **slot** is the place of one token in the cache; slots not
# used yet are zero.)

# %%
step = kl.decoder_step(model)


def read(ids, slots=32):
    """Reads ids into an empty cache: logits and the cache."""
    caches = kl.layers.new_cache(model.config, 1, slots)
    places = ops.arange(len(ids), dtype="int32")[None]
    return step(ops.array([ids]), places, caches)


_, before = read(prompt[:-1])
_, after = read(prompt)
size = len(prompt) - 1
same = np.abs(before[-2][:, :, :size] - after[-2][:, :, :size]).max()
print("keys", after[-2].shape, "(batch, heads, slots, channels)")
print(f"largest change of an earlier key: {same:.0e}")

# %% [markdown]
# ## The cache by hand
# So we keep them. `decoder_step` is one function, new tokens, their places and
# the cache in, logits and the cache out: many tokens to read the prompt, then
# one at a time. Everything that generates is this loop: `generate`, the
# server, the file on a phone ([how the cache works](../cache.md)).


# %%
def greedy_cached(ids, count):
    ids = list(ids)
    logits, caches = read(ids, slots=len(ids) + count)
    for _ in range(count - 1):
        ids.append(int(logits[0, -1].numpy().argmax()))
        place = ops.array([[len(ids) - 1]])
        logits, caches = step(ops.array([ids[-1:]]), place, caches)
    return [*ids, int(logits[0, -1].numpy().argmax())]


print("the same tokens:", greedy_cached(prompt, 24) == greedy(prompt, 24))

# %% [markdown]
# In a picture: the slots from left to right, the calls of `step` from top to
# bottom. The first call reads the whole prompt; every other one writes one
# slot, and reads those before it.

# %%
CALLS = 6
texts = [tokenizer.decode([i]) for i in greedy(prompt, CALLS)]
state = np.zeros((CALLS, len(texts)))  # empty
for call in range(CALLS):
    state[call, : len(prompt) + call] = 1  # kept from the calls before
    state[call, len(prompt) + call - 1 if call else 0 : len(prompt) + call] = 2
figure = new_figure(8, 2.6)
axes = figure.subplots()
colours = ListedColormap(["white", "#CFE5F3", "#0072B2"])
axes.pcolormesh(state, cmap=colours, edgecolors="gray", linewidth=0.5)
axes.invert_yaxis()
axes.set_xticks(np.arange(len(texts)) + 0.5, map(repr, texts), rotation=60)
axes.set_yticks(np.arange(CALLS) + 0.5, range(1, CALLS + 1))
axes.set(ylabel="call", title="dark: written in this call; light: kept")
figure

# %% [markdown]
# ## What it saves
# Operations first, for a model of GPT-2's size. Without a cache, token number
# n costs a pass over n tokens; with it, one token that looks back at n.

# %%
gpt2 = kl.zoo.config("gpt2")
lengths = np.array([1, 64, 128, 256, 512, 1024])
with_cache = np.array([flops_per_token(gpt2, int(n)) for n in lengths])
without = lengths * [flops_per_token(gpt2, int(n) // 2) for n in lengths]
for n, few, many in zip(lengths, with_cache, without, strict=True):
    print(f"token {n:5}: {many / 1e9:7.2f} GFLOP, with a cache", end=" ")
    print(f"{few / 1e9:.2f}, {many / few:4.0f} times less")

# %% [markdown]
# And the time, measured here on a smaller decoder, both ways compiled. A step
# reads all weights from memory, however little it computes; so the gain in
# time is less than in operations.

# %%
LAYERS, WIDTH, LONGEST = (2, 64, 128) if TINY else (6, 384, 1024)
config = kl.DecoderConfig(
    vocabulary_size=1_000,
    context_length=LONGEST,
    num_layers=LAYERS,
    hidden_dim=WIDTH,
    num_heads=WIDTH // 32,
    mlp_dim=4 * WIDTH,
)
timed = kl.build_decoder(config)
print(f"{timed.count_params():,} parameters, {os.cpu_count()} cores")
one_step = tf.function(kl.decoder_step(timed))
whole_pass = tf.function(timed)


def best_times(functions, seconds, least=3):
    """Each function's fastest call, in seconds.

    They take turns, so that what else the machine does slows all of them; the
    first call of each compiles and does not count.
    """
    for function in functions:
        function()
    best, calls = [float("inf")] * len(functions), 0
    until = time.perf_counter() + seconds
    while calls < least or time.perf_counter() < until:
        for i, function in enumerate(functions):
            start = time.perf_counter()
            function()
            best[i] = min(best[i], time.perf_counter() - start)
        calls += 1
    return best


# %%
measured = [LONGEST // 2**n for n in range(4, -1, -1)]
slow, fast = [], []
for n in measured:
    text = tf.ones((1, n), tf.int32)
    one, place = text[:, :1], text[:, :1] * (n - 1)
    caches = kl.layers.new_cache(config, 1, n)
    both = partial(whole_pass, text), partial(one_step, one, place, caches)
    both = best_times(both, seconds=0.2 if TINY else 5)
    for times, best in zip((slow, fast), both, strict=True):
        times.append(1000 * best)
    print(f"token {n:5}: {slow[-1]:6.1f} ms, with a cache {fast[-1]:5.1f} ms")
print(f"at the longest {slow[-1] / fast[-1]:.0f} times as fast")

# %%
figure = new_figure(8, 3.2)
left, right = figure.subplots(1, 2)
left.loglog(lengths, without / 1e9, "s-", label="without")
left.loglog(lengths, with_cache / 1e9, "o-", label="with a cache")
left.set(xlabel="token", ylabel="GFLOP", title="GPT-2: operations of a token")
right.loglog(measured, slow, "s-", label="without")
right.loglog(measured, fast, "o-", label="with a cache")
right.set(xlabel="token", ylabel="ms", title="measured: time of a token")
for axes in (left, right):
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend()
figure

# %% [markdown]
# A whole text of 200 tokens: the book measured 27 tokens a second without and
# 144 with a cache, 5 times as fast, with GPT-2's 124 million parameters on a
# Mac mini. The library compiles the loop too, and writes the cache in place.

# %%
COUNT, ROUNDS = (64, 1) if TINY else (200, 3)
fresh = kl.CausalLM(timed, kl.BytePairTokenizer.train(pages[:5], 1_000))
fresh = fresh.replace(end_ids=())  # untrained: it would end anywhere
start_ids = fresh.encode_prompt("Hello, I am")
any_length = tf.function(timed, [tf.TensorSpec([1, None], tf.int32)])


def without_cache():
    ids = list(start_ids)
    for _ in range(COUNT):
        ids.append(int(any_length(tf.constant([ids]))[0, -1].numpy().argmax()))
    return fresh.decode(ids[-COUNT:])


def with_library():
    return fresh.generate("Hello, I am", max_new_tokens=COUNT)


# %%
print("the same text:", without_cache() == with_library())
slow, fast = best_times((without_cache, with_library), 0, ROUNDS)
print(f"without {COUNT / slow:.0f} tokens/s", end=", ")
print(f"with a cache {COUNT / fast:.0f}: {slow / fast:.1f} times as fast")

# %% [markdown]
# Only the ratio compares with the book's: this is another model on another
# machine. And it is one for this length; the longer the text, the higher.

# %% [markdown]
# ## What it costs
# Memory: a key and a value for each head, layer and token. A model of 7
# billion parameters (32 layers, 32 heads of 128) that holds 32,768 tokens,
# beside what the book's estimators say (chapter 4, bonus):

# %%
large = kl.DecoderConfig(
    vocabulary_size=32_000,
    context_length=32_768,
    num_layers=32,
    hidden_dim=4_096,
    num_heads=32,
    mlp_dim=11_008,
)
groups = large.replace(num_kv_heads=8)
windows = {"pattern": "LLLLLG", "window": 1_024}  # L sees 1,024, G all
for name, one, book in (
    ("a key and a value for each head (MHA)", large, 17.18),
    ("for groups of four heads (GQA)", groups, 4.29),
    ("MHA, five of six layers see 1,024", large.replace(**windows), 3.14),
    ("GQA, five of six layers see 1,024", groups.replace(**windows), 0.78),
):
    size = kv_cache_bytes(one, 32_768, rolling=True) / 1e9
    print(f"{name:38} {size:5.2f} GB, book {book}")

# %%
kl.visualize.cache_figure(groups, window=1_024)

# %% [markdown]
# Groups take a quarter, at every length; MQA has one key head for all, and
# takes a 32nd. A window bounds what its layers keep: the line flattens until
# the one layer in six that sees everything dominates. (This library's cache
# keeps a slot for every token in windowed layers, too, which is simpler; what
# you see is what such a design can save. MLA keeps one latent vector instead;
# it is not built here.)
#
# ## Exercises
# **Exercise 1.** Temperature 0 is greedy. Find three other settings that make
# any sampling greedy, whatever the temperature and the seed.
#
# **Exercise 2.** Llama 3.2 1B has 16 layers, 8 key-value heads of 64, and
# keeps the cache in bfloat16. How many tokens fit into 1 GB? How many would, if
# each of its 32 heads had keys and values of its own?
#
# **Exercise 3.** Greedy takes the best token now and may miss the best text. A
# **beam search** keeps the `width` likeliest texts at each step. Write it, show
# that width 1 is greedy, and that no two tokens are likelier than those it
# finds with a width as large as the vocabulary.

# %% [markdown]
# ## Solutions
# ### Exercise 1
# One candidate is left by top-k 1, by the smallest top-p, and by min-p 1.

# %%
expected = lm.generate(PROMPT, max_new_tokens=16)
for setting in ({"top_k": 1}, {"top_p": 1e-9}, {"min_p": 1.0}):
    text = lm.generate(
        PROMPT, max_new_tokens=16, temperature=1.7, seed=11, **setting
    )
    print(setting, text == expected)
    assert text == expected

# %% [markdown]
# ### Exercise 2
# Two numbers (key and value) of two bytes, for each layer, head and channel.

# %%
llama = kl.zoo.config("llama-3.2-1b")
for heads in (8, 32):
    bytes_a_token = 2 * 2 * 16 * heads * 64
    one = llama.replace(num_kv_heads=heads)
    assert kv_cache_bytes(one, 1_000) == 1_000 * bytes_a_token
    print(f"{heads} heads: {10**9 // bytes_a_token:,} tokens")

# %% [markdown]
# ### Exercise 3
# Probabilities multiply, so their logarithms add up. With the whole vocabulary
# kept after the first token, all pairs are compared.


# %%
def beam_search(ids, count, width):
    """The likeliest continuation that is found, and its log-probability."""
    rows, totals = np.array([ids]), np.zeros(1)
    for _ in range(count):
        logits = np.array(model(rows)[:, -1])
        found = totals[:, None] + np.array(ops.log_softmax(logits))
        best = np.argsort(-found.ravel(), kind="stable")[:width]
        row, token = np.divmod(best, found.shape[1])
        rows = np.concatenate([rows[row], token[:, None]], axis=1)
        totals = found.ravel()[best]
    return rows[0, len(ids) :].tolist(), float(totals[0])


narrow, _ = beam_search(prompt, 12, width=1)
assert narrow == greedy(prompt, 12)[len(prompt) :]
found = {w: beam_search(prompt, 2, w) for w in (1, 4, VOCABULARY)}
assert found[VOCABULARY][1] >= found[1][1] - 1e-4
assert found[VOCABULARY][1] >= found[4][1] - 1e-4

# %% [markdown]
# Over more tokens a beam is no proof, but mostly finds what is likelier:

# %%
for width in (1, 4, 16):
    ids, total = beam_search(prompt, 12, width)
    print(f"{width:3}: {np.exp(total):.1e} {tokenizer.decode(ids)!r}")
