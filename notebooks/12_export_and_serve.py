# %% [markdown]
# # Export and serve: the model leaves Keras
#
# A trained model should run where there is no Keras: in a server, in a C
# program, on a phone. What leaves is a file with the tokenizer, the model and
# the loop inside, and it must say what the model said here.
#
# The cells run in about four minutes on two cores; then you will be able to:
# write a SavedModel that takes text and gives text, list its signatures and
# call them with TensorFlow alone, run it from C, put it behind OpenAI's API
# and stream from it, make a file for phones and run it, and choose a size by
# what it loses. It needs `pip install "keras_llm[viz,serve,litert]"`, no
# network, no GPU, no phone.

# %%
import contextlib
import importlib.util
import json
import logging
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np
import tensorflow as tf

import keras_llm as kl
from keras_llm.figures import new_figure
from keras_llm.tokenizers.chat import ChatTemplate, Turn

TINY = bool(os.environ.get("KERAS_LLM_TINY"))
work = Path(tempfile.mkdtemp(prefix="keras-llm-export-"))
logging.getLogger("tensorflow").setLevel("ERROR")  # no advice on speed
keras.utils.set_random_seed(0)

# %% [markdown]
# ## A model to send away
# It reads Python's language reference, as in chapter
# [05](05_decoding.md), and between the pages a few questions with
# their answers, again and again, until it knows those by heart. That is no
# understanding, but the answers are easy to check wherever the model will run.

# %%
ANSWERS = {
    "What is a list?": "A list is a sequence that can grow.",
    "What is a tuple?": "A tuple is a sequence that never changes.",
    "What is a set?": "A set holds each value only once.",
    "What is a dictionary?": "A dictionary maps keys to values.",
    "What is a string?": "A string is a sequence of characters.",
    "What is an integer?": "An integer is a whole number of any size.",
    "What is a class?": "A class is a plan for objects and their methods.",
    "What is a function?": "A function is code with a name and arguments.",
    "What is a module?": "A module is a file of code to import.",
    "What is a generator?": "A generator is a function that yields values.",
    "What is an exception?": "An exception is an error that can be caught.",
    "What is a slice?": "A slice is a part of a sequence.",
}
QUESTION = "What is a class?"

# %% [markdown]
# A chat template says how a question and an answer become one text. This one
# does it in plain words, like Alpaca's in chapter
# [08](08_instructions.md). So a program that knows no chat can ask, too: it
# writes the words itself.

# %%
template = ChatTemplate(
    start="<|endoftext|>",
    turns={
        "user": Turn(prefix="Question: ", suffix="\n"),
        "assistant": Turn(prefix="Answer:\n", suffix="<|endoftext|>"),
    },
    generation="Answer:\n",
    end=("<|endoftext|>",),
    special=("<|endoftext|>",),
)
asked = [{"role": "user", "content": QUESTION}]
print(repr(template.render(asked, add_generation_prompt=True)))
PROMPT = f"Question: {QUESTION}\nAnswer:\n"  # without the start

# %%
VOCABULARY, CONTEXT, EPOCHS = (400, 64, 1) if TINY else (1024, 128, 3)
library = kl.data.standard_library()
pages = [d.text for d in library if d.source.startswith("python/topics/")]
pages = [re.sub(r"[-+*=^~|]{3,}\n?", "", page) for page in pages]  # lines drawn
pages = pages[:12] if TINY else pages
held_out = "\n".join(pages[::8])[:6000]
pages = [page for i, page in enumerate(pages) if i % 8]
talks = [f"Question: {q}\nAnswer:\n{a}" for q, a in ANSWERS.items()]
texts = pages + talks * (2 if TINY else 400)
random.Random(0).shuffle(texts)
tokenizer = kl.BytePairTokenizer.train(pages, VOCABULARY, progress=False)
end = tokenizer.eos_id
ids = [i for text in tokenizer.encode(texts) for i in (*text, end)]
rows = np.array(ids[: len(ids) // (CONTEXT + 1) * (CONTEXT + 1)])
rows = rows.reshape(-1, CONTEXT + 1)
config = kl.zoo.config(
    "tiny",
    vocabulary_size=VOCABULARY,
    context_length=CONTEXT,
    num_layers=1 if TINY else 2,
)

# %%
model = kl.build_decoder(config)
steps = EPOCHS * (len(rows) // 8 + 1)
model.compile(
    keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(3e-3, steps)),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    jit_compile=False,
)
history = model.fit(
    rows[:, :-1], rows[:, 1:], batch_size=8, epochs=EPOCHS, verbose=0
)
print("loss", *(round(loss, 2) for loss in history.history["loss"]))
NEW = 8 if TINY else 24
settings = kl.GenerationSettings(temperature=0, max_new_tokens=NEW)
lm = kl.CausalLM(model, tokenizer, settings=settings, chat=template)
TEXT = lm.generate(PROMPT)
print(repr(TEXT))
print("as learned:", TEXT == ANSWERS[QUESTION])
print("What is a queue?", "".join(lm.chat("What is a queue?")))

# %% [markdown]
# Nobody told it what a queue is, so it says something that it knows.
#
# From here on the question goes to one program after the other. What each says
# and how long it takes is kept for a table at the end.


# %%
said = {}


def ask(name, size, answer):
    """Keeps what is answered the second time, the seconds, and the bytes."""
    answer()
    start = time.perf_counter()
    said[name] = answer(), time.perf_counter() - start, size
    return said[name][0]


print(ask("Keras", 4 * model.count_params(), lambda: lm.generate(PROMPT)))

# %% [markdown]
# ## A SavedModel
# One call. Before the folder appears, a process that has only TensorFlow has
# run every signature and its text was compared with Keras's.

# %%
report = kl.export.saved_model(
    lm, work / "talker", warmup=False, verify=not TINY
)
print(f"{report.size / 1e6:.1f} MB, of that {report.weight_size / 1e6:.1f} MB")
print("the weights; as in Keras:", report.equal)
for path in sorted(Path(report.path).rglob("*")):
    if path.is_file():
        where = path.relative_to(work)
        print(f"{path.stat().st_size:>9,}  {where}")

# %% [markdown]
# A **signature** is a function with a name that a server can call. This is
# `tf.saved_model.load` as everybody has it; nothing of ours is needed. Two
# more, `start` and `advance`, are `generate` in steps, for servers that stream.

# %%
loaded = tf.saved_model.load(report.path)
for name, signature in sorted(loaded.signatures.items()):
    if name in ("start", "advance"):
        continue
    inputs = sorted(signature.structured_input_signature[1])
    outputs = sorted(signature.structured_outputs)
    print(f"{name}\n    {', '.join(inputs)}\n    -> {', '.join(outputs)}")

# %%
serve = loaded.signatures["serving_default"]


def ask_saved():
    """The text of the SavedModel."""
    return serve(prompt=tf.constant([PROMPT]))["text"].numpy()[0].decode()


assert ask("SavedModel", report.size, ask_saved) == TEXT
other = PROMPT.replace("class", "list")
found = serve(prompt=tf.constant([PROMPT, other]))["text"].numpy()
print([text.decode() for text in found])
assert found[0].decode() == TEXT

# %% [markdown]
# Is that honest? A new process, which imports TensorFlow alone, and says
# whether our library came along (TensorFlow brings Keras by itself):

# %%
PROGRAM = """
import sys, tensorflow as tf
model = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
print(model(prompt=tf.constant(sys.argv[2:]))["text"].numpy()[0].decode())
print("keras_llm imported:", "keras_llm" in sys.modules)
"""
if not TINY:
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, report.path, PROMPT],
        capture_output=True,
        text=True,
        check=True,
    )
    print(found.stdout)
    assert found.stdout.startswith(TEXT)

# %% [markdown]
# ## From C
# The tokenizer, the cache and the sampler are operations of TensorFlow in the
# graph, so a C program needs nothing but TensorFlow's library.
# `examples/c/main.c` of the repository is that program. If there is a compiler,
# it is built and asked here:
#
# ```bash
# make -C examples/c
# printf 'Question: What is a class?\nAnswer:\n' |
#     examples/c/text_model talker/1
# ```

# %%
source = Path.cwd().parent / "examples" / "c"
TOOLS = shutil.which("cc") and shutil.which("make")
if source.is_dir() and TOOLS and not TINY:
    program = work / "text_model"
    python = f"PYTHON={sys.executable}"
    subprocess.run(
        ["make", "-C", str(source), f"OUT={program}", python],
        check=True,
        capture_output=True,
    )
    command = [program, report.path, PROMPT]

    def ask_c():
        """The text of the C program; a newline comes after it."""
        answer = subprocess.run(
            command, check=True, capture_output=True, text=True
        )
        return answer.stdout.removesuffix("\n")

    print(f"{program.stat().st_size:,} bytes of program say:")
    print(repr(ask("C", report.size, ask_c)))
    assert said["C"][0] == TEXT
else:
    print("Not built here; examples/c/README.md says how.")

# %% [markdown]
# ## A server
# `keras-llm serve` puts an artifact behind OpenAI's API, TensorFlow Serving's,
# and a chat page in the browser. In a shell:
#
# ```bash
# keras-llm serve talker --port 8000
# curl localhost:8000/v1/chat/completions \
#     -d '{"messages": [{"role": "user", "content": "What is a class?"}]}'
# ```
#
# A notebook must not wait for it, so here it runs as a process of its own. Port
# 0 is any that is free, and the first line says which.

# %%
COMMAND = """
import sys
from keras_llm.export import serve
serve(sys.argv[1], port=0, ready=lambda app, url: print(url, flush=True))
"""
server = subprocess.Popen(
    [sys.executable, "-c", COMMAND, str(work / "talker")],
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
)
ADDRESS = server.stdout.readline().strip()
print("it is there:", re.sub(r"\d+$", "PORT", ADDRESS))


# %%
def post(path, **body):
    """Sends JSON, as any HTTP client would."""
    request = urllib.request.Request(
        f"{ADDRESS}/v1/{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    return urllib.request.urlopen(request, timeout=600)


def wait():
    """Until the server listens."""
    for _ in range(600):
        try:
            return urllib.request.urlopen(f"{ADDRESS}/health", timeout=60)
        except urllib.error.URLError:
            time.sleep(0.1)


wait()
with post(
    "completions", prompt=PROMPT, temperature=0, max_tokens=NEW
) as answer:
    answer = json.load(answer)
print(json.dumps(answer, indent=1))
assert answer["choices"][0]["text"] == TEXT

# %% [markdown]
# With `stream` the text comes as it is made, some tokens at a time, in lines of
# server-sent events.

# %%
with post(
    "chat/completions",
    messages=[{"role": "user", "content": QUESTION}],
    temperature=0,
    max_tokens=NEW,
    stream=True,
) as lines:
    events = [line.decode().strip() for line in lines if line.strip()]
heard = ""
for event in events[:-1]:
    delta = json.loads(event.removeprefix("data: "))["choices"][0]["delta"]
    print(delta)
    heard += delta.get("content") or ""
print(events[-1])
assert heard == TEXT

# %% [markdown]
# A client made for OpenAI needs another address and nothing else:
#
# ```python
# client = openai.OpenAI(base_url=f"{ADDRESS}/v1", api_key="none")
# client.completions.create(model="talker", prompt=PROMPT)
# ```
#
# And the same server speaks as TensorFlow Serving does, so that a client does
# not notice when that takes over:

# %%
with kl.export.ServingClient(ADDRESS, "talker", timeout=600) as client:
    print(sorted(client.metadata()))
    print(ask("HTTP", report.size, lambda: client.complete(PROMPT)) == TEXT)
    row = client.score("The class statement.")
    print({key: round(row[key], 3) for key in ("perplexity", "bits_per_byte")})
server.terminate()
server.wait()
server.stdout.close()

# %% [markdown]
# ## A file for phones
# LiteRT (once TensorFlow Lite) runs on phones, desktops and boards. A
# `.tflite` is the model alone: the loop around it is yours. Each file is
# compared with Keras before it appears: by its text after `prompt`, and by what
# the first 127 tokens of `held_out` cost, in nats (the unit of the loss). The
# speed is that of one thread.

# %%
HERE = importlib.util.find_spec("ai_edge_litert") is not None
KINDS = (
    {"int8": "int8"}
    if TINY
    else {"float32": None, "fp16": "fp16", "int8": "int8", "int4": "int4"}
)


@contextlib.contextmanager
def quiet():
    """Hides what libraries in C++ tell on standard error."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


# %%
phone = {}
for name, quantization in KINDS.items() if HERE else ():
    phone[name] = kl.export.litert(
        lm,
        work / f"{name}.tflite",
        quantization=quantization,
        verify=not TINY,
        prompt=PROMPT,
        max_delta_nats=1.0,
        held_out=held_out[:1000],
    )
    print(str(phone[name]).replace(f"{work}/", ""))

# %%
first = work / f"{next(iter(KINDS))}.tflite"
if HERE:
    with quiet():
        from ai_edge_litert.interpreter import Interpreter

        signatures = Interpreter(str(first)).get_signature_list()
    for name, parts in signatures.items():
        print(name, parts["inputs"][:4], "->", parts["outputs"][:3], "...")

# %% [markdown]
# Tokens go in with their positions and the caches of keys and values; the new
# caches come out beside the logits, for the next call. `LitertRunner` is that
# loop, without TensorFlow:

# %%
prompt_ids = [end, *tokenizer.encode(PROMPT)]


@quiet()
def on_phone(name, found):
    """The greedy text of a `.tflite`."""
    runner = kl.export.LitertRunner(found.path, slots=CONTEXT)

    def generate():
        return tokenizer.decode(runner.generate(prompt_ids, NEW, [end]))

    return ask(f".tflite {name}", found.bytes, generate)


for name, found in phone.items():
    print(f"{name:8} {on_phone(name, found)!r}")
print(f"Keras    {TEXT!r}")
assert TINY or not HERE or said[".tflite float32"][0] == TEXT

# %% [markdown]
# Where two tokens are nearly as likely, int8 and int4 may take the other one
# and leave the text of float32; float32 must not, or the export fails.
#
# A `.litertlm` is the whole: model, tokenizer, chat template, and the ids that
# end a text. An app needs the LiteRT-LM runtime and this file. The runtime has
# a Python form, `litert_lm`, which came with the extra; that is what we ask.
# The last section, `GenericBinaryData`, is for `keras-llm serve`: tokenizer,
# chat template and settings in our own files. The runtime passes over it.

# %%
BUNDLES = HERE and not TINY
BUNDLES = BUNDLES and importlib.util.find_spec("litert_lm") is not None
if BUNDLES:
    bundle = kl.export.litert(
        lm, work / "talker.litertlm", quantization="int8", prompt=PROMPT
    )
    print(str(bundle).replace(f"{work}/", ""))
    opened = kl.export.open_bundle(work / "talker.litertlm")
    for section in opened.sections:
        print(section.kind, f"{section.end - section.begin:,} bytes")


# %%
@quiet()
def ask_bundle(path, message):
    """The reply of the stock runtime, greedy."""
    import litert_lm

    litert_lm.set_min_log_severity(litert_lm.LogSeverity.ERROR)
    greedy = litert_lm.SamplerConfig(
        top_k=1, top_p=1.0, temperature=1.0, seed=0
    )
    with (
        litert_lm.Engine(str(path), cache_dir=":memory") as engine,
        engine.create_conversation(
            sampler_config=greedy, max_output_tokens=NEW
        ) as conversation,
    ):
        reply = conversation.send_message(message).to_json()
        return "".join(part["text"] for part in reply["content"])


if BUNDLES:
    runtime = ask(
        ".litertlm int8",
        bundle.bytes,
        lambda: ask_bundle(bundle.path, QUESTION),
    )
    print("the runtime:", repr(runtime))
print("Keras:      ", repr("".join(lm.chat(QUESTION))))

# %% [markdown]
# The bundle is int8, so a word could differ. `with_mobile=True` also writes
# `mobile/`: how to run exactly this file from Kotlin, Swift and Python
# ([on a phone](../phone.md)).
#
# ## Smaller, and what it costs
# Weights can be stored in 16, 8 or 4 bits. Each file scores the same held-out
# lines itself: the SavedModels by their signature `score`, the phone's files
# by `LitertRunner`. No Keras is asked. Of a SavedModel only the signature
# `score` is written this time, so that sizes compare; beside the weights it
# still has a graph, more than half a megabyte of it, whatever the weights are.

# %%
lines = [line for line in held_out.split("\n") if 40 < len(line) < 90]
lines = lines[: 4 if TINY else 40]


def saved_loss(path):
    """Nats per token, by a SavedModel."""
    score = tf.saved_model.load(path).signatures["score"]
    found = score(text=tf.constant(lines))
    total = -found["sum_logprob"].numpy().sum()
    return total / found["num_tokens"].numpy().sum()


@quiet()
def phone_loss(path):
    """Nats per token, by a file for phones."""
    runner, total, count = kl.export.LitertRunner(path, slots=CONTEXT), 0, 0
    for line in tokenizer.encode(lines):
        logits = runner.logits([end, *line])[:-1].astype("float64")
        logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
        total -= logits[np.arange(len(line)), line].sum()
        count += len(line)
    return total / count


# %%
servers = {}
for storage in (
    ("float32", "int8") if TINY else ("float32", "bfloat16", "int8", "int4")
):
    small = kl.export.saved_model(
        lm,
        work / storage,
        quantization=storage,
        max_delta=None,
        signatures=["score"],
        warmup=False,
        verify=False,
    )
    servers[storage] = small.size, saved_loss(small.path)
phones = {
    name: (found.bytes, phone_loss(found.path)) for name, found in phone.items()
}

# %%
plain = servers["float32"][1]
print(f"float32: {plain:.4f} nats per token, perplexity {np.exp(plain):.1f}")
for kind, table in (("SavedModel", servers), ("LiteRT", phones)):
    for name, (size, loss) in table.items():
        print(f"{kind:10} {name:9} {size / 1e6:5.2f} MB {loss - plain:+.5f}")

# %%
figure = new_figure(7, 3.6)
axes = figure.add_subplot()
axes.axhline(0, color="0.8", zorder=0)
for label, table, mark, below in (
    ("SavedModel", servers, "o", 8),
    ("LiteRT", phones, "s", -14),
):
    points = [(size / 1e6, loss - plain) for size, loss in table.values()]
    axes.scatter(*np.reshape(points, (-1, 2)).T, marker=mark, label=label)
    for name, point in zip(table, points, strict=True):
        axes.annotate(
            name,
            point,
            xytext=(0, below),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
axes.set_yscale("symlog", linthresh=1e-3)
axes.margins(0.15)
axes.set(xlabel="MB", ylabel="nats per token\nabove float32")
axes.legend()
figure

# %% [markdown]
# The scale is linear around zero and logarithmic further out. All of these are
# thousandths of a nat, of more than four, and a gain (a point below zero) is
# luck with these lines. LiteRT's int4 loses the most. The formats differ in
# what they multiply with: LiteRT also rounds what goes into a product of int8
# or int4 weights to 8 bits; SavedModels other than float32 compute in bfloat16,
# which by itself moves the loss about as far as integers do. With int4 both
# share a scale among 32 weights.
#
# A model trained as little as this one loses next to nothing by any rounding.
# Yours may lose more, so measure it with `held_out=`. `max_delta=` (SavedModel)
# and `max_delta_nats=` (LiteRT) refuse a file that loses more than they allow;
# here they are wide open, so that every size is written.
#
# Which weights suffer, and what it does to their outputs (the token table
# stays int8 also with int4, here as in LiteRT):

# %%
kl.visualize.quantization_figure(
    lm, {"int8": "int8", "int4": "int4"}, held_out[:2000]
)

# %% [markdown]
# int8 puts each matrix off by less than a hundredth, int4 by nearly a tenth.
# What a matrix makes of a text is off by less, and none is so much worse than
# the others that it should be spared.
#
# ## What runs where
# The same question to all of them, the second time it was asked; of Keras the
# MB are the weights. Each was timed once, so only large differences count. The
# C program and the runtime of the `.litertlm` read their files anew for it, and
# that is most of their time.

# %%
print(f"{'':14} {'MB':>5} {'ms':>6}  as Keras")
for name, (text, seconds, size) in said.items():
    print(f"{name:14} {size / 1e6:5.1f} {seconds * 1e3:6.0f}  {text == TEXT}")

# %% [markdown]
# Which of them to take:
#
# | | made by `export`'s | it needs | text in, text out | cache |
# | --- | --- | --- | --- | --- |
# | TensorFlow Serving | `saved_model` | the container | yes | inside |
# | Python, no Keras | `saved_model` | `tensorflow` | yes | inside |
# | C, Java, Go | `saved_model` | `libtensorflow` | yes | inside |
# | phones, desktops | `litert`, `.litertlm` | LiteRT-LM | yes | inside |
# | a loop of your own | `litert`, `.tflite` | LiteRT | ids | yours |
# | `transformers`, vLLM | `hugging_face` | theirs | theirs | theirs |
#
# `keras-llm serve` puts a chat page and OpenAI's API before what
# `export.saved_model`, `export.litert` or `lm.save` wrote.
#
# A SentencePiece or WordPiece vocabulary needs the operations of
# tensorflow-text in the first three rows. The reference is
# [Exports](../export.md), [Serving](../serving.md) and
# [Smaller models](../quantization.md).

# %% [markdown]
# ## Exercises
# **Exercise 1.** Call the signature `score` of the SavedModel on a sentence and
# compute its bits per byte from `sum_logprob`. Is it the `bits_per_byte` that
# the signature gives, and what `lm.score` says?
#
# **Exercise 2.** Does a text depend on who else is served at the time? Call
# `generate` with one prompt and seed alone, then in a batch of three.
#
# **Exercise 3.** How many bytes will the weights of the int8 SavedModel have?
# Predict it from the config alone, and compare with the file.

# %% [markdown]
# ## Solutions
# ### Exercise 1
# Minus the sum is in nats; a bit is ln 2 of them.

# %%
SENTENCE = "The class statement."
found = loaded.signatures["score"](text=tf.constant([SENTENCE]))
found = {name: value.numpy()[0] for name, value in found.items()}
bits = -found["sum_logprob"] / np.log(2) / len(SENTENCE.encode())
print(f"{bits:.4f} by hand, {found['bits_per_byte']:.4f} by the signature")
assert np.isclose(bits, found["bits_per_byte"], rtol=1e-4)
assert np.isclose(lm.score(SENTENCE).sum(), found["sum_logprob"], rtol=1e-3)

# %% [markdown]
# ### Exercise 2
# No: each row draws from its own seed.

# %%
CONTROLS = {
    "max_new_tokens": np.int32(NEW),
    "temperature": np.float32(0.7),
    "top_k": np.int32(20),
    "top_p": np.float32(1),
    "min_p": np.float32(0),
    "repetition_penalty": np.float32(1),
    "stop": "",
}


def generate(prompts, seeds):
    controls = {
        name: tf.fill([len(prompts)], value) for name, value in CONTROLS.items()
    }
    found = loaded.signatures["generate"](
        prompt=tf.constant(prompts),
        seed=tf.constant(seeds, tf.int64),
        **controls,
    )
    return [text.decode() for text in found["text"].numpy()]


FREE = "The statement"
alone = generate([FREE], [7])
crowd = generate(["A class", FREE, "If"], [1, 7, 3])
print(alone[0] == crowd[1], repr(alone[0]))
assert alone[0] == crowd[1]

# %% [markdown]
# ### Exercise 3
# One byte for each number of a matrix, and four for the scale of each of its
# outputs; a row of the token table counts as an output. The numbers of norms
# stay float32. The token table is also the output layer, so it counts once.

# %%
width, inner = config.hidden_dim, config.mlp_dim
query = config.num_heads * config.head_dim
key = config.num_kv_heads * config.head_dim
matrices = [(width, query), (width, key), (width, key), (query, width)]
matrices += [(width, inner), (width, inner), (inner, width)]
matrices = config.num_layers * matrices + [(width, VOCABULARY)]
numbers = sum(inputs * outputs for inputs, outputs in matrices)
scales = sum(outputs for _, outputs in matrices)
norms = (2 * config.num_layers + 1) * width
expected = numbers + 4 * (scales + norms)
(weights,) = (work / "int8").glob("1/variables/*.data-*")
size = weights.stat().st_size
print(f"{expected:,} bytes by hand, {size:,} on disk: {size / expected:.3f}")
assert expected == kl.estimate.weight_bytes(config, "int8")
assert 0 <= size - expected < 0.03 * expected

# %% [markdown]
# The rest is TensorFlow's own list of what is in the file. `estimate` knows
# this sum for every storage.
