# %% [markdown]
# # A language model of your own, from raw text to a file for phones
#
# The seven verbs of the library, a cell each: curate, tokenize, pack, train,
# evaluate, export, serve. The [chapters](01_tokenizer.md) take them apart.
#
# Open `notebooks/00_tour.ipynb` in Jupyter or VS Code, or run
# `python notebooks/00_tour.py`. It needs no network: the text is the
# documentation and source of your Python. The cells run in about three minutes
# on two cores. With `KERAS_LLM_TINY=1`, 20 steps are trained instead of 400.

# %%
import math
import os
import tempfile
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import keras_llm as kl

TINY = bool(os.environ.get("KERAS_LLM_TINY"))
CONTEXT, STEPS = (64, 20) if TINY else (256, 400)
work = Path(tempfile.mkdtemp(prefix="keras-llm-tour-"))

# %% [markdown]
# ## Curate
# Every document that is dropped is counted with its reason, and some are held
# out: the model never sees them, so that they can say how good it is.

# %%
report = kl.data.curate(kl.data.standard_library(), work / "corpus")
print(report.train.documents, "documents,", report.train.bytes, "bytes")
texts = [d.text for d in kl.data.read_corpus(work / "corpus")]
heldout = [d.text for d in kl.data.read_corpus(work / "corpus", "heldout")]

# %% [markdown]
# ## Tokenize
# A text becomes the numbers of its pieces, the tokens. The tokenizer is a Keras
# layer. The same ids come out on the host, in a
# `tf.data` pipeline, and inside the graph that will be served.

# %%
tokenizer = kl.BytePairTokenizer.train(texts, vocabulary_size=4096)
ids = tokenizer.encode("def add(a, b):\n    return a + b")
print(ids)
print([tokenizer.decode([i]) for i in ids])

# %% [markdown]
# ## Pack
# A model reads rows of one length. Documents share rows without seeing each
# other: `segments` keeps them apart, and 0 is padding.

# %%
kl.data.pack_corpus(work / "corpus", tokenizer, work / "rows", CONTEXT)
rows = kl.data.open_rows(work / "rows")
segments = (rows[i]["segments"].ravel() for i in range(len(rows)))
shared = next(one for one in segments if one.max() > 1)
print(len(rows), "rows; tokens of each document in one of them:")
print(Counter(f"document {n}" if n else "padding" for n in shared.tolist()))

# %% [markdown]
# ## Train
# The decoder is a functional `keras.Model`; `fit` is `model.fit` with what a
# language model needs around it.

# %%
config = kl.zoo.config(
    "tiny", vocabulary_size=tokenizer.vocabulary_size, context_length=CONTEXT
)
model = kl.build_decoder(config)
print(f"{len(model.layers)} layers, {model.count_params():,} parameters")
trained = kl.train.fit(
    model,
    rows,
    validation_rows=kl.data.open_rows(work / "rows", "heldout"),
    steps=STEPS,
    batch_size=8,
    learning_rate=3e-3,
    out=work / "run",
)
print(f"{trained.tokens:,} tokens in {trained.steps} steps;", end=" ")
print(f"loss {trained.loss:.2f}, of held-out rows", end=" ")
print(f"{trained.validation_loss:.2f}, before training about", end=" ")
print(f"{math.log(tokenizer.vocabulary_size):.2f}")

# %% [markdown]
# ## Evaluate
# How many bits would the model need to store a byte of held-out text? That
# does not depend on the tokenizer. Beside it stand what the best model without
# context and what the compressor `xz -9` need for the same bytes.

# %%
lm = kl.CausalLM(model, tokenizer)
bits = kl.evaluate.bits_per_byte(model, tokenizer, heldout[: 3 if TINY else 12])
print(f"bits per byte: {bits.bits_per_byte:.2f}; without context", end=" ")
print(f"{bits.unigram_bits_per_byte:.2f}, xz {bits.xz_bits_per_byte:.2f}")
for piece in lm.stream("def ", max_new_tokens=40, temperature=0.7, seed=1):
    print(piece, end="")
print()

# %% [markdown]
# The model is better than one without context. But `xz` still beats it, and
# what it writes after `def ` is no code: 400 steps are few. [Train on my
# texts](../train_my_texts.md) goes on from here.
#
# ## Export
# A SavedModel from text to text, and a bundle for phones; each is run and
# compared with Keras before it is kept.

# %%
served = kl.export.saved_model(lm, work / "served", max_new_tokens=16)
print(f"SavedModel: {served.size / 1e6:.1f} MB, equal text: {served.equal}")
bundle = kl.export.litert(lm, work / "model.litertlm", quantization="int8")
print(f"for phones: {bundle.bytes / 1e6:.1f} MB,", end=" ")
print(f"{bundle.ratio:.1f} times smaller than in float32,", end=" ")
print(f"{bundle.delta_nats:+.4f} nats per token against Keras")

# %% [markdown]
# ## Serve
# This cell could be another machine: it needs TensorFlow and nothing else. The
# answers take the most likely token each time, and a model that has learned so
# little repeats itself.

# %%
import tensorflow as tf  # noqa: E402

loaded = tf.saved_model.load(served.path)
answer = loaded.signatures["serving_default"](
    prompt=tf.constant(["def ", "The "])
)
print([text.decode() for text in answer["text"].numpy()])
