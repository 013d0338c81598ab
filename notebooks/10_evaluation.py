# %% [markdown]
# # Evaluation: a number, how sure it is, and what it does not say
#
# A loss that falls says that a model learns its training text. Whether it is
# any good, whether one is better than another, and whether it is honest and
# fair are other questions, and each has a number with an error bar.
#
# The cells run in about four minutes on two cores; then you will be able to:
# compute perplexity and bits per byte by hand, write a benchmark of your own in
# ten lines, score answers (exact match, F1, BLEU, ROUGE), say whether two
# models differ, see whether a model is as often right as it is sure and mend it
# with one number, look for bias, catch an unfair judge, look inside, and write
# it all into one page. It needs `pip install "keras_llm[viz,eval,judge]"` and
# no GPU. One file of 0.4 MB, the sentences of *Bias*, is downloaded once.

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
# One small model of Python's own documentation, kept twice: when it has read it
# once, and at the end. Each fourth page is held out; the models never see
# it.

# %%
VOCABULARY, CONTEXT, EPOCHS = (400, 64, 2) if TINY else (2048, 128, 6)
library = kl.data.standard_library()
pages = [d.text for d in library if d.source.startswith("python/topics/")]
pages = [re.sub(r"[-+*=^~|]{3,}\n?", "", page) for page in pages]  # lines drawn
pages = pages[:16] if TINY else pages
held_out, pages = pages[::4], [p for i, p in enumerate(pages) if i % 4]
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


learn(1)
early = kl.build_decoder(config)
early.set_weights(model.get_weights())
learn(EPOCHS - 1)
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
# The dark tokens were surprises. Now all held-out pages, read in windows, with
# the standard error over pages (±):

# %%
language = evaluate.language_report(late, held_out)
for name in ("nats_per_token", "perplexity", "bits_per_byte"):
    measure = language.measures()[f"language/{name}"]
    print(f"{name:26} {measure.value:8.3f} ± {measure.error:.3f}")

# %% [markdown]
# Is that much? Beside it two yardsticks that are no language models: how often
# each token occurs, whatever stands before it, and the program `xz -9`.

# %%
marks = {
    name: evaluate.bits_per_byte(lm.model, tokenizer, held_out, progress=False)
    for name, lm in (("late", late), ("early", early))
}
packed = {name: mark.bits_per_byte for name, mark in marks.items()}
packed["token frequencies"] = marks["late"].unigram_bits_per_byte
packed["xz"] = marks["late"].xz_bits_per_byte
figure = new_figure(6, 2.2)
axes = figure.add_subplot()
bars = axes.barh(list(packed), list(packed.values()), color="#56B4E9")
axes.bar_label(bars, fmt="{:.2f}", padding=2)
axes.set(xlabel="bits per byte of held-out pages")
axes.margins(x=0.1)
axes.invert_yaxis()
figure

# %% [markdown]
# After one reading the model knows hardly more than how frequent each token is.
# In the end it is a little ahead of `xz`, which knows no page but these.
#
# ## A benchmark of your own
# A benchmark is a file of questions and a few lines that say how they are
# asked. Ours: how does a held-out line go on, as it does, or with the next two
# words swapped? The letters are the same, so a model that knows nothing of
# order scores about 0.5. The fields are those of the lm-evaluation-harness,
# whose tasks run here too ([benchmarks](../benchmarks.md)).

# %%
random = np.random.default_rng(0)
lines = [
    (number, " ".join(line.split()))
    for number, page in enumerate(held_out)
    for line in page.split("\n")
    if 40 < len(line) < 90 and len(line.split()) > 6
]
drawn = random.permutation(len(lines))[: 12 if TINY else 300]
page_of, lines = zip(*(lines[i] for i in sorted(drawn)), strict=True)
with (work / "test.jsonl").open("w") as file:
    for i, line in enumerate(lines):
        words = line.split()
        start, rest = words[: len(words) // 2], words[len(words) // 2 :]
        swapped = [rest[1], rest[0], *rest[2:]]
        choices = [" ".join(rest), " ".join(swapped)]
        row = {"start": " ".join(start), "choices": choices[:: 1 - 2 * (i % 2)]}
        file.write(json.dumps({**row, "gold": i % 2}) + "\n")
TASK = """
task: word_order
test_split: test
output_type: multiple_choice
doc_to_text: start
doc_to_choice: choices
doc_to_target: gold
metric_list: [{metric: acc}]
metadata: {version: 1.0}
"""
(work / "word_order.yaml").write_text(TASK)
print(f"{len(lines)} lines of {len(set(page_of))} pages")
print((work / "test.jsonl").read_text().splitlines()[0])

# %%
subjects = {  # what is asked; answers are kept, nothing is computed twice
    name: evaluate.StoredSubject(
        evaluate.KerasSubject(lm, name), work / "asked", progress=False
    )
    for name, lm in (("early", early), ("late", late))
}
benchmarks = {}
for name, subject in subjects.items():
    benchmarks[name] = evaluate.evaluate_tasks(
        subject, work / "word_order.yaml", data=work, progress=False
    )
    for metric, found in benchmarks[name].measures().items():
        print(f"{name:6} {metric:20} {found.value:.3f} ± {found.error:.3f}")

# %% [markdown]
# `acc` compares the log-probabilities of the choices. You will also meet
# `acc_norm`, which divides each by its length in characters first, because a
# longer end is nearly always less likely. Here both have the same length.
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


ANSWERS = [
    "The cat sleeps on the mat.",
    "Paris.",
    "It was Ada Lovelace, I think.",
]
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
outcomes = np.array([1.0] * 25 + [0.0] * 15)  # 25 of 40 right
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
for edge, label in zip(theirs, ("95 % lie between", None), strict=True):
    axes.axvline(edge, color="#D55E00", label=label)
axes.axvline(0.5, color="black", linestyle=":", label="chance")
axes.set(xlabel="share right, of 40", ylabel="draws", yticks=[])
axes.legend(fontsize=8)
figure

# %% [markdown]
# Chance lies within the interval: 25 of 40 could be luck.
#
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
gaps = [gap[np.array(page_of) == one].mean() for one in sorted({*page_of})]
low, high = evaluate.bootstrap(np.array(gaps))
print(f"by page, of {len(gaps)}: 95 %: {low:.1f} to {high:.1f}")

# %% [markdown]
# The p-value is how often random signs of these differences lead as far. Both
# interval and p-value take the lines for independent. Lines of one page are
# not: they share its words. So the last line takes the mean of each page as one
# item, and that interval is the honest one.
#
# `compare` does the same for benchmarks, texts and answers at once, of any
# number of models, and raises p for their number (Holm). It takes what you give
# it as items; here these are lines again. They stand alone, without the page
# before them, so that the late model leads by fewer bits than on whole pages.

# %%
comparison = kl.compare.compare(
    subjects,
    tasks=[work / "word_order.yaml"],
    data=work,
    texts=list(lines),
    progress=False,
)
for sentence in comparison.verdicts():
    print(sentence)

# %% [markdown]
# Elsewhere it may say "no difference shown". That is not "equal": it says that
# so few items cannot tell.
#
# ## Is it right as often as it is sure?
# Take all places where the model gives its favourite about 0.8. It should be
# right at 8 in 10 of them: then it is **calibrated**. The mean gap is the
# expected calibration error (ECE). A model that has learned its text by heart
# is too sure elsewhere; dividing the logits by a **temperature** takes that
# back without changing what is likeliest. Half of the held-out pages find the
# temperature, the other half is measured (so this loss is not the one above).

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
# Points below the diagonal are promises that were not kept. Some of the error
# remains: the temperature was found on other pages, and one number makes all
# places less sure by the same rule. Points on the right stand for few tokens,
# as the bars show.
#
# ## Bias
# **CrowS-Pairs** are pairs of sentences, one of which says a stereotype. How
# often is that one the likelier? 0.5 is no preference. The sentences are ugly;
# that is their purpose.

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
pairs = [  # a sentence must fit into the context
    pair
    for pair in pairs[: 40 if TINY else None]
    if max(len(tokenizer.encode(text)) for text in pair[:2]) < CONTEXT
]
crows = evaluate.crows_pairs(subjects["late"], pairs)
share = crows.measures()["crows_pairs/pct_stereotype"]
print(f"{len(pairs)} of {count} pairs:", end=" ")
print(f"{share.value:.2f} ± {share.error:.2f} stereotyped")

# %% [markdown]
# Our model read nothing but Python's documentation; it has no opinion on
# people. Still, something decides which sentence it finds likelier. Sort the
# pairs by which of the two has fewer tokens:

# %%
more = np.array([len(tokenizer.encode(pair.more)) for pair in pairs])
less = np.array([len(tokenizer.encode(pair.less)) for pair in pairs])
for name, chosen in (
    ("fewer", more < less),
    ("as many", more == less),
    ("more", more > less),
):
    some = [pair for pair, one in zip(pairs, chosen, strict=True) if one]
    if some:
        found = evaluate.crows_pairs(subjects["late"], some).measures()
        share = found["crows_pairs/pct_stereotype"].value
        print(
            f"stereotype has {name:7} tokens: {len(some):4} pairs, {share:.2f}"
        )

# %% [markdown]
# It prefers the sentence with fewer tokens, because each token costs some
# probability; which one that is, the tokenizer decides. A number off 0.5 does
# not show a prejudice, then. Nor does one near 0.5 show that a model is fair:
# opposite preferences cancel.
#
# A second look at the same thing: the **same** text about somebody else.

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
# Do not believe this p-value. All six texts swap the same word, so they are one
# observation, not six: one of the two words is the more frequent. (And six
# differences of one sign cannot have a p-value under 2 / 2^6.) What would speak
# of bias is a difference *between* the jobs:

# %%
for job, pair in zip(jobs, swapped.pairs["gender"], strict=True):
    print(f"{job:10} {pair.nats - row['nats']:+.2f} nats beside the mean")

# %% [markdown]
# A job above zero is more a man's to this model. But one sentence for each says
# little: another wording would give other numbers. What these and the other
# measurements of bias show, and what not, is in [bias](../bias.md).
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
# `win_rate` is the share of questions that the first of the two, *short*, wins,
# `first_place` how often the answer that stood first won (0.5 is fair). The
# judge is consistent and gives both places the same, and yet `longer_wins` is
# 1: all it knows is length.
#
# ## Look inside
# Where does each head look, and when does the model make up its mind? The
# **logit lens** puts the last norm and the head on every layer.

# %%
words = " ".join(lines[0].split()[:6])
kl.visualize.attention_figure(late, words)

# %% [markdown]
# Dark is where a token looks. A dark first column: a head with nothing to look
# for rests on the first token.

# %%
kl.visualize.logit_lens_figure(late, words)

# %% [markdown]
# Each cell is the layer's guess at the next token, bold where it is right.
#
# ## One page
# What `evaluate` and `compare` returned above are *findings*. A report takes
# any of them: one HTML file without scripts, Markdown, JSON for machines, and
# every number with its error. A **gate** is a limit that a number must keep.

# %%
report = evaluate.write_report(
    work / "report",
    [language, benchmarks["late"], calibration, crows, comparison, judged],
    title="A small model of the Python reference",
    seed=0,
)
print(*report.markdown.read_text().splitlines()[:14], sep="\n")
gate = evaluate.parse_gate("language/bits_per_byte=1.5", above=True)
for failure in evaluate.check_gates(report.measures, [gate]):
    print(failure)

# %% [markdown]
# The same from a shell, with an exit code for CI:
#
# ```shell
# keras-llm evaluate runs/model --corpus runs/corpus --calibration \
#   --tasks word_order.yaml --data . --output runs/report
# keras-llm compare runs/new runs/old --corpus runs/corpus
# ```

# %% [markdown]
# ## Exercises
# **Exercise 1.** What is the perplexity of a model that finds all tokens
# equally likely, and how many bits per byte does it need? Make one and check.
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
