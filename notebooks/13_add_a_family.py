# %% [markdown]
# # Add a family of models in one file
#
# Somebody publishes a decoder with names and habits of its own: here "Lark",
# which does not exist. Teaching it to the library takes no new layer and no
# new loader, only data: its config keys, its weight names, its tokenizer, its
# chat format, its sizes. The reference to all of it is
# [Add a family](../add_a_family.md).
#
# The cells run in about half a minute on two cores; then you will be able to:
# describe a published architecture as one table of names, load its files and
# prove by its formulas that the logits are right, write the files back
# unchanged, train the model and give it away with its tokenizer, and say what
# the library refuses. It needs nothing that is not installed with it, no
# network and no GPU.

# %%
import dataclasses
import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import numpy as np
from safetensors.numpy import load_file, save_file

import keras_llm as kl
from keras_llm import tune
from keras_llm.weights import TRANSPOSED, Row, WeightTable, load_safetensors
from keras_llm.zoo import common

TINY = bool(os.environ.get("KERAS_LLM_TINY"))
LAYERS, WIDTH = (2, 32) if TINY else (4, 128)
HEADS, KV_HEADS, INNER, VOCABULARY = 4, 2, 3 * WIDTH, 300
work = Path(tempfile.mkdtemp(prefix="keras-llm-family-"))

# %% [markdown]
# ## What was published
# A folder with `config.json` and `model.safetensors`. Queries, keys and values
# are one tensor, gate and up of the MLP another, and there are norms on the
# heads of queries and keys.

# %%
published = {
    "model_type": "lark",
    "architectures": ["LarkForCausalLM"],
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 64,
    "num_hidden_layers": LAYERS,
    "hidden_size": WIDTH,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "intermediate_size": INNER,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "rope_theta": 1000.0,
    "song": "high",
}
head_dim = WIDTH // HEADS
shapes = {
    "lark.words.weight": (VOCABULARY, WIDTH),
    "lark.norm.weight": (WIDTH,),
}
for i in range(LAYERS):
    at = f"lark.layers.{i}"
    shapes |= {
        f"{at}.norm_1.weight": (WIDTH,),
        f"{at}.qkv.weight": ((HEADS + 2 * KV_HEADS) * head_dim, WIDTH),
        f"{at}.norm_q.weight": (head_dim,),
        f"{at}.norm_k.weight": (head_dim,),
        f"{at}.out.weight": (WIDTH, WIDTH),
        f"{at}.norm_2.weight": (WIDTH,),
        f"{at}.gate_up.weight": (2 * INNER, WIDTH),
        f"{at}.down.weight": (WIDTH, INNER),
    }
random = np.random.default_rng(0)
tensors = {
    name: random.normal(1.0 if "norm" in name else 0.0, 0.2, shape).astype("f4")
    for name, shape in shapes.items()
}
(work / "lark").mkdir()
(work / "lark" / "config.json").write_text(json.dumps(published))
save_file(tensors, work / "lark" / "model.safetensors")

# %% [markdown]
# The library does not know it, and says so before it reads a single tensor.

# %%
try:
    kl.zoo.load_hugging_face(work / "lark")
except kl.InputError as error:
    print(error)

# %% [markdown]
# ## What the names are here
# Every decoder of this library has the same variables under the same names;
# which of them a model has follows from its `DecoderConfig`. One block of a
# model such as Lark:

# %%
config = kl.zoo.config(
    "tiny",
    vocabulary_size=VOCABULARY,
    num_layers=1,
    hidden_dim=WIDTH,
    num_heads=HEADS,
    num_kv_heads=KV_HEADS,
    mlp_dim=INNER,
    qk_norm="head",
)
for weight in kl.build_decoder(config).weights:
    print(f"{weight.path:35} {tuple(weight.shape)}")

# %% [markdown]
# Their `gate_up` is (2 x 384, 128) at full size, our `gate` and `up` are
# (128, 384) each: PyTorch keeps a matrix as (outputs, inputs), Keras as
# (inputs, outputs). Such a row of the table is `TRANSPOSED`.
#
# ## The family
# The next cell is the file. In the library it would be `zoo/lark.py`, which the
# zoo finds by itself; here it is registered for this process.
#
# - `rules` understand the keys of its config. What most models share is in
#   `zoo/common.py`. A key of its own that is one field would be a `Setting`.
# - `constants` are the fields of `DecoderConfig` that no key states.
# - `weights` name its tensors. A `Row` is one tensor of theirs and the
#   variables of ours in it, side by side if there are several; `{i}` is the
#   number of the block. `common.dense` gives two rows, for a matrix and its
#   bias. Lark has no biases, so there is no variable for the second: it is
#   skipped.
# - `tokenizer` says where a text is split before pairs of bytes are merged,
#   and which tokens start and end a text.
# - `fixed` are keys that are understood at one value only; `unused` are keys
#   that change no logits. Any other key is refused by name.

# %%
HERE, OURS = "lark.layers.{i}", "block_{i}"
attention = [f"{OURS}/attention/{part}" for part in ("query", "key", "value")]
LARK = kl.zoo.Family(
    name="lark",
    model_type="lark",
    architecture="LarkForCausalLM",
    constants={"norm": "rms", "qk_norm": "head", "tie_embeddings": True},
    rules=(
        *common.LLAMA_LIKE,
        common.SWIGLU,
        kl.zoo.RopeRule(),
    ),
    weights=WeightTable(
        rows=(
            Row("lark.words.weight", ("token_embedding/embeddings",)),
            Row(
                f"{HERE}.qkv.weight",
                tuple(f"{path}/kernel" for path in attention),
                TRANSPOSED,
            ),
            *common.dense(f"{HERE}.out", f"{OURS}/attention/output"),
            *common.dense(
                f"{HERE}.gate_up", f"{OURS}/mlp/gate", f"{OURS}/mlp/up"
            ),
            *common.dense(f"{HERE}.down", f"{OURS}/mlp/down"),
            *common.norms(
                {
                    f"{HERE}.norm_1": f"{OURS}/attention_norm",
                    f"{HERE}.norm_2": f"{OURS}/mlp_norm",
                    f"{HERE}.norm_q": f"{OURS}/attention/query_norm",
                    f"{HERE}.norm_k": f"{OURS}/attention/key_norm",
                    "lark.norm": "final_norm",
                }
            ),
        ),
    ),
    tokenizer=kl.zoo.TokenizerRule(
        pattern="gpt2", bos="<|endoftext|>", eos="<|endoftext|>"
    ),
    chat="keras_llm",
    fixed={"song": "high"},
    presets=common.sizes(
        {
            "vocabulary_size": VOCABULARY,
            "context_length": 64,
            "norm_eps": 1e-5,
            "qk_norm": "head",
            "rope": kl.Rope(theta=1000.0),
        },
        ("num_layers", "hidden_dim", "num_heads", "num_kv_heads", "mlp_dim"),
        {
            "lark-egg": (
                "nobody/lark-egg",
                LAYERS,
                WIDTH,
                HEADS,
                KV_HEADS,
                INNER,
            )
        },
        license="cc0-1.0",
    ),
)
kl.zoo.register(LARK)
print(kl.zoo.find_family("lark").model_type, "lark-egg" in kl.zoo.list())

# %% [markdown]
# ## Is it right?
# The model that loads must compute what the authors' code computes. Their code
# would be the yardstick (`tests/test_parity.py` compares every family with
# `transformers`); Lark has none, so here is its paper in NumPy.
#
# Mind the small print. Lark turns the first half of a head's channels against
# the second; other families turn neighbouring channels (GPT-J). The weights of
# both have the same names and shapes, so both load: only the logits tell.


# %%
def norm(x: np.ndarray, name: str) -> np.ndarray:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * tensors[name]


def turned(x: np.ndarray) -> np.ndarray:
    """Rotary positions of (time, heads, dim)."""
    half = x.shape[-1] // 2
    speed = 1000.0 ** -(np.arange(half) / half)
    angle = np.arange(len(x))[:, None, None] * speed
    a, b, cos, sin = x[..., :half], x[..., half:], np.cos(angle), np.sin(angle)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def attend(x: np.ndarray, at: str) -> np.ndarray:
    qkv = x @ tensors[f"{at}.qkv.weight"].T
    qkv = qkv.reshape(len(x), HEADS + 2 * KV_HEADS, head_dim)
    q, k, v = np.split(qkv, [HEADS, HEADS + KV_HEADS], axis=1)
    q = turned(norm(q, f"{at}.norm_q.weight"))
    k = turned(norm(k, f"{at}.norm_k.weight"))
    k, v = (np.repeat(part, HEADS // KV_HEADS, axis=1) for part in (k, v))
    scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(head_dim)
    scores += np.triu(np.full(scores.shape[1:], -np.inf), 1)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    mixed = np.einsum("hqk,khd->qhd", weights, v).reshape(len(x), WIDTH)
    return mixed @ tensors[f"{at}.out.weight"].T


def feed(x: np.ndarray, at: str) -> np.ndarray:
    gate, up = np.split(x @ tensors[f"{at}.gate_up.weight"].T, 2, axis=-1)
    return (gate / (1 + np.exp(-gate)) * up) @ tensors[f"{at}.down.weight"].T


def lark(ids: list[int]) -> np.ndarray:
    x = tensors["lark.words.weight"][ids]
    for layer in range(LAYERS):
        at = f"lark.layers.{layer}"
        x = x + attend(norm(x, f"{at}.norm_1.weight"), at)
        x = x + feed(norm(x, f"{at}.norm_2.weight"), at)
    return norm(x, "lark.norm.weight") @ tensors["lark.words.weight"].T


# %%
model = kl.zoo.load_hugging_face(work / "lark")
ids = random.integers(0, VOCABULARY, 20).tolist()
logits, expected = np.asarray(model(np.array([ids])))[0], lark(ids)
np.testing.assert_allclose(logits, expected, atol=1e-4)
print(f"largest difference of a logit: {np.abs(logits - expected).max():.1e}")
print("the preset:", model.config == kl.zoo.config("lark-egg"))

# %% [markdown]
# What would a mistake look like? Gate and up have the same shape, so a table
# that names them in the wrong order loads without a complaint:


# %%
def confused(row: Row) -> Row:
    if "gate_up" not in row.theirs:
        return row
    return dataclasses.replace(row, ours=row.ours[::-1])


table = WeightTable(rows=tuple(confused(row) for row in LARK.weights.rows))
wrong = kl.build_decoder(model.config)
load_safetensors(wrong, work / "lark", table)
difference = np.abs(np.asarray(wrong(np.array([ids])))[0] - expected).max()
print(f"loaded, and the logits are off by up to {difference:.1f}")
assert difference > 0.1

# %% [markdown]
# That is why a family is not done when it loads, but when its logits are
# compared with somebody else's.

# %% [markdown]
# ## And back
# The same table writes: every tensor comes out as it went in, byte for byte.

# %%
kl.zoo.save_hugging_face(model, work / "back", "lark")
back = load_file(work / "back" / "model.safetensors")
np.testing.assert_equal(back, tensors)
print(len(back), "tensors are what they were")

# %% [markdown]
# ## It learns to sing
# The random weights were never trained. So Lark gets a tokenizer by the
# family's rule and learns two lines of Shakespeare (*Cymbeline*, act 2, scene
# 3) by heart. From here on it is a model like any other; chapter
# [08](08_instructions.md) explains `tune.chat`.

# %%
VERSE = "Hark, hark! the lark at heaven's gate sings,\nAnd Phoebus 'gins arise."
rule = LARK.tokenizer
tokenizer = kl.BytePairTokenizer.train(
    [VERSE],
    VOCABULARY,
    pattern=rule.pattern,
    bos=rule.bos,
    eos=rule.eos,
    progress=False,
)
lm = kl.CausalLM(model, tokenizer, chat=LARK.chat)
talk = tune.Conversation(tune.exchange("Sing!", VERSE))
print(lm.chat_template.render(talk.messages))
print("before:", repr("".join(lm.chat("Sing!", max_new_tokens=12))))

# %%
report = tune.chat(
    lm,
    [talk] * 100,
    validation=[talk],
    epochs=4,
    batch_size=4,
    learning_rate=2e-3,
    samples=0,
)
print(report.table())
print("after: ", repr("".join(lm.chat("Sing!"))))

# %% [markdown]
# Now give it away as it came: `export.hugging_face` writes the tensors under
# Lark's names, the config with Lark's keys, the tokenizer and the chat
# template. `zoo.load` reads such a folder, and finds the family by its
# `model_type`.

# %%
kl.export.hugging_face(lm, work / "singer", family="lark")
print(*sorted(path.name for path in (work / "singer").iterdir()))
written = json.loads((work / "singer" / "config.json").read_text())
print({key: written[key] for key in ("model_type", "vocab_size")})
sung = "".join(kl.zoo.load(work / "singer").chat("Sing!"))
print(sung)
assert sung == "".join(lm.chat("Sing!"))

# %% [markdown]
# ## Exercises
# **Exercise 1.** The authors publish a Lark with `"song": "low"`, which turns
# its attention around and which we do not know. What does loading it say, and
# which line of the family makes it so?
#
# **Exercise 2.** A download broke off: `model.safetensors` lacks the last
# `down.weight`. Does a model with random numbers in that place come out?
#
# **Exercise 3.** `lark-hen` has twice the width, heads and MLP of `lark-egg`.
# Count its parameters with pen and paper, then build it without a file.

# %% [markdown]
# ## Solutions
# ### Exercise 1
# `fixed` says that "high" is the only song we understand. A key that changes
# logits must be refused by name, or the model would load and be wrong.

# %%
(work / "low").mkdir()
config = json.dumps(published | {"song": "low"})
(work / "low" / "config.json").write_text(config)
save_file(tensors, work / "low" / "model.safetensors")
try:
    kl.zoo.load_hugging_face(work / "low")
    refused = ""
except kl.InputError as error:
    refused = str(error)
print(refused)
assert "song" in refused and "low" in refused

# %% [markdown]
# ### Exercise 2
# No: names are matched both ways, and what is missing is said.

# %%
(work / "half").mkdir()
(work / "half" / "config.json").write_text(json.dumps(published))
last = f"lark.layers.{LAYERS - 1}.down.weight"
some = {name: value for name, value in tensors.items() if name != last}
save_file(some, work / "half" / "model.safetensors")
try:
    kl.zoo.load_hugging_face(work / "half")
    refused = ""
except kl.InputError as error:
    refused = str(error)
print(refused.replace(f"{work}/", ""))
assert last in refused

# %% [markdown]
# ### Exercise 3
# Each layer has queries and outputs of width x width, keys and values of half
# of that (half as many heads), three matrices of the MLP, two norms, and two
# norms of a head. The embedding is also the output layer.

# %%
wide, inner = 2 * WIDTH, 2 * INNER
hen = kl.zoo.config(
    "lark-egg",
    hidden_dim=wide,
    num_heads=2 * HEADS,
    num_kv_heads=2 * KV_HEADS,
    mlp_dim=inner,
)
layer = 3 * wide**2 + 3 * wide * inner + 2 * wide + 2 * head_dim
by_hand = VOCABULARY * wide + LAYERS * layer + wide
counted = kl.build_decoder(hen).count_params()
print(f"{by_hand:,} by hand, {counted:,} counted")
assert by_hand == counted
