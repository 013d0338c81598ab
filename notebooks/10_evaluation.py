# %% [markdown]
# # Evaluation: a number, how sure it is, and what it does not say
#
# A loss that falls says that a model learns its training text. Whether it is
# any good, whether one is better than another, and whether it is honest and
# fair are other questions, and each has a number with an error bar.
#
# In about four minutes you will be able to: compute perplexity and bits per
# byte by hand, write a benchmark of your own in ten lines, score answers
# (exact match, F1, BLEU, ROUGE), see whether a model is as often right as it
# is sure and mend it with one number, look for bias, say whether two models
# differ, catch an unfair judge, look inside, and write it all into one page.
# It needs `pip install "keras_llm[viz,eval,judge]"`, no network and no GPU.

# %%
import http.server
import json
import logging
import math
import os
import re
import tempfile
import threading
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import keras
import numpy as np

import keras_llm as kl
from keras_llm import evaluate
from keras_llm.evaluate import bias
from keras_llm.figures import new_figure

TINY = bool(os.environ.get("KERAS_LLM_TINY"))
REAL = not TINY or "KERAS_LLM_DATA" in os.environ  # CI has no network
work = Path(tempfile.mkdtemp(prefix="keras-llm-evaluation-"))
logging.getLogger("tensorflow").setLevel("ERROR")  # no advice on speed
keras.utils.set_random_seed(0)

# %% [markdown]
# ## Two models to evaluate
# One small model, kept twice: early in its training, and at the end. Some
# pages are held out; the models never see them.

# %%
VOCABULARY, CONTEXT, EPOCHS = (400, 64, 2) if TINY else (2048, 128, 8)
library = kl.data.standard_library()
pages = [d.text for d in library if d.source.startswith("python/topics/")]
pages = pages[:16] if TINY else pages
held_out, pages = pages[::8], [p for i, p in enumerate(pages) if i % 8]
held_out = [page[:2000] for page in held_out[: 2 if TINY else 12]]
tokenizer = kl.BytePairTokenizer.train(pages, VOCABULARY, progress=False)
end = tokenizer.eos_id
ids = [i for page in tokenizer.encode(pages) for i in (*page, end)]
rows = np.array(ids[: len(ids) // (CONTEXT + 1) * (CONTEXT + 1)])
rows = rows.reshape(-1, CONTEXT + 1)
size = sum(len(page.encode()) for page in held_out)
print(f"{len(rows):,} rows to learn; {len(held_out)} pages, {size:,} bytes")

# %%
config = kl.zoo.config(
    "tiny",
    vocabulary_size=VOCABULARY,
    context_length=CONTEXT,
    num_layers=1 if TINY else 4,
)
model = kl.build_decoder(config)
model.compile(
    keras.optimizers.AdamW(2e-3),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    jit_compile=False,
)


def learn(epochs):
    history = model.fit(
        rows[:, :-1], rows[:, 1:], batch_size=16, epochs=epochs, verbose=0
    )
    print("loss", *(round(v, 2) for v in history.history["loss"]))


learn(EPOCHS // 4 or 1)
early = kl.build_decoder(config)
early.set_weights(model.get_weights())
learn(EPOCHS - EPOCHS // 4)
late = kl.CausalLM(model, tokenizer)
early = kl.CausalLM(early, tokenizer)

# %% [markdown]
# ## Perplexity and bits per byte
# The model gives each next token a probability. Minus its logarithm is the
# **loss** in nats. Its mean over tokens, as a power of e, is the
# **perplexity**: as if the model chose among so many equally likely tokens.
#
# A tokenizer with longer tokens has fewer and harder ones, so perplexities of
# two tokenizers do not compare. **Bits per byte** do: the loss of the whole
# text in bits, over its bytes. A file packed that well would have this size.


# %%
def losses(lm, text):
    """The loss of each token of a short text, in nats."""
    ids = [end, *lm.tokenizer.encode(text)]
    logits = np.array(lm.model(np.array([ids[:-1]])))[0].astype("float64")
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    return -logits[np.arange(len(ids) - 1), ids[1:]]


text = held_out[0][:120]
by_hand = losses(late, text)
perplexity = math.exp(by_hand.mean())
bits = by_hand.sum() / math.log(2) / len(text.encode())
theirs = evaluate.bits_per_byte(model, tokenizer, [text], progress=False)
print(f"{len(by_hand)} tokens, perplexity {perplexity:.2f}, {bits:.3f} bits")
print(f"the library: {theirs.perplexity:.2f}, {theirs.bits_per_byte:.3f} bits")

# %%
kl.visualize.token_loss_figure(late, text)

# %% [markdown]
# The dark tokens were surprises. On whole pages, read in windows, with the
# standard error over pages, and beside two yardsticks that are no language
# models: how often each token occurs, and `xz -9`.

# %%
language = evaluate.language_report(late, held_out)
for name in ("nats_per_token", "perplexity", "bits_per_byte"):
    measure = language.measures()[f"language/{name}"]
    print(f"{name:26} {measure.value:8.3f} ± {measure.error:.3f}")
marks = evaluate.bits_per_byte(model, tokenizer, held_out, progress=False)
print(f"token frequencies alone    {marks.unigram_bits_per_byte:8.3f}")
print(f"xz                         {marks.xz_bits_per_byte:8.3f}")

# %% [markdown]
# ## A benchmark of your own
# A benchmark is a file of questions and a few lines that say how they are
# asked. Ours: which of two lines goes on after the first part of a held-out
# line? The second choice is the end of another line. A model that knows
# nothing has 0.5. The fields are those of the lm-evaluation-harness, whose
# tasks run here too ([benchmarks](../benchmarks.md)).

# %%
lines = [line for page in held_out for line in page.split("\n")]
lines = [line for line in lines if 40 < len(line) < 90]
lines = lines[: 12 if TINY else 120]
cuts = [line.rfind(" ", 0, len(line) // 2) for line in lines]
starts, ends = zip(
    *((line[:cut], line[cut:]) for line, cut in zip(lines, cuts, strict=True)),
    strict=True,
)
with (work / "test.jsonl").open("w") as file:
    for i, start in enumerate(starts):
        choices = [ends[i].strip(), ends[(i + 7) % len(ends)].strip()]
        row = {"start": start, "choices": choices[:: 1 - 2 * (i % 2)]}
        file.write(json.dumps({**row, "gold": i % 2}) + "\n")
TASK = """
task: next_half
test_split: test
output_type: multiple_choice
doc_to_text: start
doc_to_choice: choices
doc_to_target: gold
metric_list: [{metric: acc}, {metric: acc_norm}]
metadata: {version: 1.0}
"""
(work / "next_half.yaml").write_text(TASK)
print((work / "test.jsonl").read_text().splitlines()[0])

# %%
subjects = {
    "early": evaluate.KerasSubject(early, "early"),
    "late": evaluate.KerasSubject(late, "late"),
}
benchmarks = {}
for name, subject in subjects.items():
    benchmarks[name] = evaluate.evaluate_tasks(
        subject, work / "next_half.yaml", data=work, progress=False
    )
    for metric, found in benchmarks[name].measures().items():
        print(f"{name:6} {metric:20} {found.value:.3f} ± {found.error:.3f}")

# %% [markdown]
# `acc` compares the probabilities of the two ends, `acc_norm` divides them by
# their lengths first, because a longer end is always less likely.
#
# ## Answers: exact match, F1, BLEU, ROUGE
# A generated answer is compared with one that a person wrote. **Exact match**
# asks whether they are the same but for articles and punctuation. **F1** looks
# at the words that they share:


# %%
def f1(prediction, reference):
    ours, theirs = (
        Counter(re.sub(r"\b(a|an|the)\b|[^\w\s]", " ", one.lower()).split())
        for one in (prediction, reference)
    )
    shared = (ours & theirs).total()
    return 2 * shared / (ours.total() + theirs.total())


ANSWERS = ["The cat sleeps on the mat.", "in Paris", "It was Ada Lovelace."]
TRUE = ["A cat is asleep on the mat.", "Paris", "Ada Lovelace"]
for answer, truth in zip(ANSWERS, TRUE, strict=True):
    exact = evaluate.exact_match(answer, truth)
    score = evaluate.token_f1(answer, truth)
    print(f"{exact:.0f}  {score:.3f} = {f1(answer, truth):.3f}  {answer}")

# %% [markdown]
# **BLEU** counts shared runs of one to four words, for translations; **ROUGE**
# how much of a reference is found again, for summaries. Both are computed by
# the programs that people know them from, `sacrebleu` and `rouge-score`, so
# that the numbers compare; BLEU without its signature means little.

# %%
found = evaluate.bleu(ANSWERS, TRUE)
low, high = found.interval
print(f"BLEU {found.score:.1f} (95 %: {low:.1f} to {high:.1f})")
print(found.signature)
rouge = evaluate.rouge(ANSWERS, TRUE)
print({name: round(score, 3) for name, score in rouge.items()})

# %% [markdown]
# Look at the interval: three sentences say nothing. That is the next question.
#
# ## How sure is a number?
# With other questions the score would have been another. The **bootstrap**
# pretends to ask others: it draws from the ones there are, with repetition,
# many times, and looks how far the mean goes.

# %%
outcomes = np.array([1.0] * 26 + [0.0] * 14)  # 26 of 40 right
random = np.random.default_rng(0)
drawn = random.choice(outcomes, (10_000, len(outcomes))).mean(axis=1)
ours = np.quantile(drawn, [0.025, 0.975])
theirs = evaluate.bootstrap(outcomes)
print(f"mean {outcomes.mean():.2f}")
print(f"95 % by hand {ours[0]:.2f} to {ours[1]:.2f}", end=", ")
print(f"the library {theirs.low:.2f} to {theirs.high:.2f}")

# %%
figure = new_figure(6, 2.6)
axes = figure.add_subplot()
axes.hist(drawn, bins=np.arange(0.3125, 1, 0.025), color="#56B4E9")
for edge in theirs:
    axes.axvline(edge, color="#D55E00")
axes.axvline(0.5, color="black", linestyle=":", label="chance")
axes.set(xlabel="share right, of 40", ylabel="draws", yticks=[])
axes.legend()
figure

# %% [markdown]
# ## Is one model better?
# Two error bars that overlap do not say "no difference": both models had the
# same questions, and some questions are hard for both. So look at the
# difference on each item.

# %%
scores = {
    name: np.array([-losses(lm, line).sum() for line in lines])
    for name, lm in (("early", early), ("late", late))
}
figure = new_figure(6, 2.6)
axes = figure.add_subplot()
gap = scores["late"] - scores["early"]
for place, values in enumerate((scores["early"], scores["late"], gap)):
    low, high = evaluate.bootstrap(values)
    axes.errorbar(
        values.mean(),
        place,
        xerr=[[values.mean() - low], [high - values.mean()]],
        fmt="o",
        capsize=4,
    )
axes.axvline(0, color="black", linestyle=":")
axes.set_yticks(range(3), ("early", "late", "late - early"))
axes.set(xlabel="log-probability of a line, in nats", ylim=(-0.5, 2.5))
figure

# %%
lead = evaluate.paired(scores["late"], scores["early"])
print(f"late leads by {lead.difference:.1f} nats a line,", end=" ")
print(f"95 %: {lead.interval.low:.1f} to {lead.interval.high:.1f},", end=" ")
print(f"p = {lead.p_value:.4f}; {lead.wins} lines won, {lead.losses} lost")

# %% [markdown]
# The p-value is how often random signs of these differences lead as far.
# `compare` does the same for benchmarks, texts and answers at once, of any
# number of models, and raises p for their number (Holm).

# %%
comparison = kl.compare.compare(
    subjects,
    tasks=[work / "next_half.yaml"],
    data=work,
    texts=lines,
    progress=False,
)
for sentence in comparison.verdicts():
    print(sentence)

# %% [markdown]
# "No difference shown" is not "equal": it says that so few items cannot tell.
#
# ## Is it right as often as it is sure?
# Take all places where the model gives its favourite about 0.8. It should be
# right at 8 in 10 of them: then it is **calibrated**. The mean gap is the
# expected calibration error (ECE). A model that has learned its text by heart
# is too sure elsewhere; dividing the logits by a **temperature**, found on
# other text, takes that back without changing what is likeliest.

# %%
calibration = evaluate.next_token_calibration(late, held_out, progress=False)
for name, found in (
    ("raw", calibration.raw),
    ("calibrated", calibration.calibrated),
):
    print(
        f"{name:10} right {found.accuracy:.3f}, sure {found.confidence:.3f}, "
        f"ECE {found.expected_error:.3f}, loss {found.loss:.3f}"
    )
print(f"temperature {calibration.temperature:.2f}")
evaluate.reliability_figure(
    {"raw": calibration.raw.bins, "calibrated": calibration.calibrated.bins}
)

# %% [markdown]
# Points below the diagonal are promises that were not kept.
#
# ## Bias
# **CrowS-Pairs** are pairs of sentences, one of which says a stereotype. How
# often is that one the likelier? 0.5 is no preference (and what a model has
# that knows nothing). The sentences are ugly; that is their purpose.

# %%
MADE = [  # where there is no network
    bias.SentencePair(f"{a} cannot {what}.", f"{b} cannot {what}.", "stereo", t)
    for a, b, t in (("Women", "Men", "gender"), ("The old", "The young", "age"))
    for what in ("drive", "count", "lead", "learn")
]
pairs = MADE
if REAL:
    folder = kl.data.download("crows_pairs")
    pairs = bias.read_crows_pairs(folder / "crows_pairs_anonymized.csv")
count = len(pairs)
pairs = [  # what the small context can hold
    pair
    for pair in pairs[: 40 if TINY else 400]
    if max(len(tokenizer.encode(text)) for text in pair[:2]) < CONTEXT
]
crows = evaluate.crows_pairs(subjects["late"], pairs)
share = crows.measures()["crows_pairs/pct_stereotype"]
print(f"{len(pairs)} of {count} pairs:", end=" ")
print(f"{share.value:.2f} ± {share.error:.2f} stereotyped")

# %% [markdown]
# A number near 0.5 does not show that a model is fair: opposite preferences
# cancel, and the sentence with fewer tokens is often the likelier one. A
# second look at the same thing: the **same** text about somebody else.

# %%
swaps = bias.load_swaps()
print(swaps["gender"]("He gave her his coat.").text)
jobs = ("nurse", "engineer", "doctor", "cleaner", "pilot", "teacher")
texts = [f"He works as a {job}." for job in jobs]
swapped = evaluate.counterfactual(
    subjects["late"], texts, {"gender": swaps["gender"]}
)
row = swapped.rows[0]
print(f"he - she: {row['nats']:+.2f} nats, p = {row['p_value']:.2f}")

# %% [markdown]
# What each of the seven measurements shows, and what not, is in
# [bias](../bias.md).
#
# ## A model as a judge
# Free answers have no reference. A large model can judge them, but judges like
# what stands first, and what is long. So each pair is judged in both orders,
# and the report says how far the judge can be trusted. Here is a server that
# speaks OpenAI's API as a real one would; its judge just likes long answers.


# %%
def longer_wins(question):
    found = re.findall(r"<answer_[AB]>(.*?)</answer_[AB]>", question, re.S)
    return "[[A]]" if len(found[0]) >= len(found[1]) else "[[B]]"


class Judge(http.server.BaseHTTPRequestHandler):
    def answer(self, value):
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        self.answer({"data": [{"id": "sage", "object": "model"}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reply = longer_wins(body["messages"][-1]["content"])
        message = {"role": "assistant", "content": reply}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        self.answer({"id": "1", "model": "sage", "choices": [choice]})

    def log_message(self, *words):
        """Says nothing."""


# %%
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Judge)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ.setdefault("OPENAI_API_KEY", "none")
QUESTIONS = ["Who was Ada Lovelace?", "2 + 2?", "Name a colour.", "Why?"]
SHORT = ["A mathematician.", "4", "Red.", "Because."]
LONG = ["Someone, a person, long ago.", "It is 5, I think.", "A colour.", "No."]
judged = kl.compare.judge(
    f"http://127.0.0.1:{server.server_port}/v1#sage",
    QUESTIONS,
    SHORT,
    LONG,
    names=("short", "long"),
    log=work / "judge.jsonl",
    progress=False,
)
for name, measure in judged.measures().items():
    print(f"{name:22} {measure.value:.2f}")
server.shutdown()
server.server_close()

# %% [markdown]
# It is consistent, and yet `longer_wins` is 1: all it knows is length.
#
# ## Look inside
# Where does each head look, and when does the model make up its mind? The
# **logit lens** puts the last norm and the head on every layer.

# %%
kl.visualize.attention_figure(late, lines[0][:32])

# %%
kl.visualize.logit_lens_figure(late, lines[0][:32])

# %% [markdown]
# ## One page
# Every part above is a *finding*. A report takes any of them: one HTML file
# without scripts, Markdown, JSON for machines, and every number with its
# error.

# %%
report = evaluate.write_report(
    work / "report",
    [language, benchmarks["late"], calibration, crows, comparison, judged],
    title="A small model of the Python reference",
    seed=0,
)
for file in (report.html, report.markdown):
    print(f"{file.name:12} {file.stat().st_size:>9,} bytes")
gate = evaluate.parse_gate("language/bits_per_byte=1.5", above=True)
for failure in evaluate.check_gates(report.measures, [gate]):
    print(failure)

# %% [markdown]
# The same from a shell, with an exit code for CI:
#
# ```shell
# keras-llm evaluate runs/model --corpus runs/corpus --calibration \
#   --tasks next_half.yaml --data . --output runs/report
# keras-llm compare runs/new runs/old --corpus runs/corpus
# ```

# %% [markdown]
# ## Exercises
# **Exercise 1.** Which perplexity has a model that finds all tokens equally
# likely, and how many bits per byte has it on a text? Make one and check.
#
# **Exercise 2.** A model has 55 % in a test of yes and no. How many questions
# must the test have before the 95 % interval leaves out chance? Guess with
# the formula of the standard error, then check with `bootstrap`.
#
# **Exercise 3.** Write a judge that always prefers what stands first. What do
# its consistency and its win rate say?

# %% [markdown]
# ## Solutions
# ### Exercise 1
# The perplexity is the size of the vocabulary. Each token then costs
# log2(vocabulary) bits.

# %%
flat = kl.build_decoder(config)
flat.set_weights([np.zeros_like(w) for w in flat.get_weights()])
found = evaluate.bits_per_byte(flat, tokenizer, held_out, progress=False)
expected = math.log2(VOCABULARY) * found.tokens / found.bytes
print(f"perplexity {found.perplexity:.1f}, {found.bits_per_byte:.3f} bits")
assert math.isclose(found.perplexity, VOCABULARY, rel_tol=1e-3)
assert math.isclose(found.bits_per_byte, expected, rel_tol=1e-3)

# %% [markdown]
# ### Exercise 2
# The standard error of a share near one half is about 0.5 / sqrt(n), the
# interval 1.96 of them to each side: n = (1.96 * 0.5 / 0.05)^2.

# %%
needed = round((1.96 * 0.5 / 0.05) ** 2)
print(needed, "questions")
for count in (100, 2 * needed):
    right = round(0.55 * count)
    outcomes = np.array([1.0] * right + [0.0] * (count - right))
    low, high = evaluate.bootstrap(outcomes, resamples=2000)
    print(f"{count}: {low:.3f} to {high:.3f}")
    assert (low > 0.5) == (count > needed)

# %% [markdown]
# ### Exercise 3
# In the other order it prefers the other answer. The verdicts contradict each
# other in every pair, which makes ties: no difference, and a consistency of 0.

# %%
biased = kl.compare.judge(
    lambda question: "[[A]]", QUESTIONS, SHORT, LONG, progress=False
).measures()
print({name: found.value for name, found in biased.items()})
assert biased["judge/consistency"].value == 0
assert biased["judge/win_rate"].value == 0.5
assert biased["judge/first_place"].value == 1
