# %% [markdown]
# # Data: from messy files to rows
#
# A model is what it has read. Here a small messy corpus is cleaned, with every
# drop accounted for, and packed into the rows that training reads.
#
# The cells run in under half a minute on two cores; then you will be able to:
# curate a corpus and read the report, explain how near duplicates are found
# among millions of texts, hold texts out so that none leaks, say what tokens,
# segments, positions and weights of a row are, show that documents in one row
# do not disturb each other, resume the order of the rows at any step, and mix
# sources. It needs matplotlib (`pip install "keras_llm[viz]"`); books and
# GPT-2's vocabulary are downloaded on first use.

# %%
import itertools
import json
import os
import re
import tempfile
import zlib
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import numpy as np

import keras_llm as kl
from keras_llm.data import Document
from keras_llm.figures import new_figure
from keras_llm.tokenizers import HostTokenizer

TINY = bool(os.environ.get("KERAS_LLM_TINY"))
REAL = not TINY or "KERAS_LLM_DATA" in os.environ  # CI has no network
work = Path(tempfile.mkdtemp(prefix="keras-llm-data-"))

# %% [markdown]
# ## Reading
# A file is bytes. Which letters they stand for is its **encoding**, and old
# files do not say it. A file in the wrong encoding is an error, because it
# would be garbage in the corpus. Say the right one where you know it.
# `encoding="detect"` guesses from how frequent which bytes are, and from two
# sentences it may guess wrong: it takes a page or more.

# %%
letter = (
    "Le garçon de café a posé une crème brûlée à côté de la fenêtre. "
    "L'été dernier, nous étions déjà là, très heureux, près de la forêt."
)
(work / "letter.txt").write_bytes(letter.encode("latin-1"))
try:
    list(kl.data.read_documents(work / "letter.txt"))
except kl.InputError as error:
    print(str(error).replace(str(work), "..."))
for encoding in ("latin-1", "detect"):
    reader = kl.data.read_documents(work / "letter.txt", encoding=encoding)
    (read,) = reader
    print(
        f"{encoding}: right: {read.text == letter}", dict(reader.counts.found)
    )

# %% [markdown]
# Two books of Project Gutenberg, one of them not in UTF-8. What is detected is
# `cp1252`, Microsoft's encoding: Latin-1 with some more letters. Each book has
# a header and a licence that a model should not learn by heart; the step
# `gutenberg` knows them. A step takes documents, hands some on and counts what
# it did.

# %%
if REAL:
    folder = kl.data.download("gutenberg")
    names = ["Alice*", "*Holmes*"]
    files = [path for name in names for path in folder.glob(name)]
    reader = kl.data.read_documents(*files, encoding="detect")
    books = list(reader)
    print(dict(reader.counts.found))
else:
    books = list(itertools.islice(kl.data.standard_library(), 60))
counts = kl.data.Counts("gutenberg")
texts = list(kl.data.gutenberg()(books, counts))
print(f"{counts.bytes_in:,} bytes, {counts.bytes_out:,} left", end=" ")
print(dict(counts.changed))

# %% [markdown]
# ## A mess of known size
# Real corpora do not say what is wrong with them. So we cut the books into
# pages and plant defects among them, to see which are found: copies, copies
# with some words changed, letters read in the wrong encoding (**mojibake**),
# markup, cookie notices, addresses of people, and scraps.

# %%
random = np.random.default_rng(0)
split = kl.data.split_long(1500)
cut = split(texts, kl.data.Counts("split"))
pages = [one.text.strip() for one in cut if len(one.text) > 600]
pages = list(dict.fromkeys(pages))[: 120 if TINY else 400]
PLANTED = 8 if TINY else 25


def changed(text, share):
    """The text with a share of its words replaced by other words of it."""
    parts = re.split(r"(\s+)", text)  # words, and what is between them
    words = parts[::2]
    for place in random.choice(len(words), int(share * len(words))):
        words[place] = random.choice(words)
    parts[::2] = words
    return "".join(parts)


# %%
mail = "\nWrite to ann.lee@example.org or call +49 30 901820."
plants = {
    "copy": lambda text: text,
    "near copy": lambda text: changed(text, 0.02),
    "mojibake": lambda text: f"“Café” – {text}".encode().decode(
        "cp1252", "replace"
    ),
    "markup": lambda text: f"<p>{text}</p><script>track()</script>",
    "boilerplate": lambda text: f"We use cookies.\n{text}\nRead more...",
    "personal": lambda text: text + mail,
    "scrap": lambda text: text[:80],
}
mess = [Document(text, f"page/{i}") for i, text in enumerate(pages)]
chosen = random.choice(len(pages), (len(plants), PLANTED), replace=False)
for (kind, spoil), numbers in zip(plants.items(), chosen, strict=True):
    for i in numbers:
        spoiled = Document(spoil(pages[i]), f"{kind}/{i}")
        if "copy" in kind or kind == "scrap":
            mess.append(spoiled)
        else:
            mess[i] = spoiled
print(len(mess), Counter(one.source.split("/")[0] for one in mess))
near = next(one for one in mess if one.source.startswith("near copy"))
original = pages[int(near.source.split("/")[1])]
both = zip(original.split(), near.text.split(), strict=True)
swaps = [f"{before} -> {after}" for before, after in both if before != after]
print("one near copy:", ", ".join(swaps))

# %% [markdown]
# ## Curating
# The steps in order: repair letters, remove what is no text, then drop what is
# too short, copied or nearly copied, then hide people.

# %%
steps = [
    kl.data.repair(),
    kl.data.html_leftovers(),
    kl.data.boilerplate_lines(),
    kl.data.minimum_length(200),
    kl.data.exact_duplicates(),
    kl.data.near_duplicates(0.7),
    kl.data.privacy(),
]
report = kl.data.curate(mess, work / "corpus", heldout=0.05, steps=steps)


def notes(one):
    """Why a step dropped or changed documents, and how many."""
    why = one.dropped or one.changed
    return ", ".join(f"{number} {reason}" for reason, number in why.items())


for one in report.steps:
    counted = f"{one.documents_in} in, {one.documents_out} out"
    print(f"{one.step:18} {counted}: {notes(one)}")


# %%
def funnel(steps):
    """Documents that are left after each step, and why the others went."""
    figure = new_figure(8, 3.6)
    axes = figure.add_subplot()
    for row, one in enumerate(steps):
        lost = one.documents_in - one.documents_out
        axes.barh(row, one.documents_out, color="#0072B2")
        axes.barh(row, lost, left=one.documents_out, color="#D55E00")
        axes.text(5, row, notes(one), color="white", va="center", fontsize=8)
    axes.set_yticks(range(len(steps)), [one.step for one in steps])
    axes.invert_yaxis()
    axes.set_xlabel("documents: kept in blue, dropped in red")
    return figure


funnel(report.steps)

# %% [markdown]
# The last step drops nothing. It counts each kind of thing that it hid, so that
# a page with an email address and a phone number is counted twice.
#
# Nothing goes silently: `rejects.jsonl` has each dropped document with its step
# and reason. Because we planted the defects, we can count what was found.

# %%
lines = (work / "corpus" / "rejects.jsonl").read_text("utf-8").splitlines()
rejects = [json.loads(line) for line in lines]
kept = {
    one.source: one.text
    for side in ("train", "heldout")
    for one in kl.data.read_corpus(work / "corpus", side)
}
for kind in ("copy", "near copy", "scrap"):
    gone = sum(one["source"].startswith(f"{kind}/") for one in rejects)
    print(f"{kind:12} {gone} of {PLANTED} dropped")
traces = {
    "mojibake": "Ã|â€",
    "markup": "</?p>|script",
    "boilerplate": "cookies|Read more",
    "personal": "ann.lee|901820",
}
for kind, trace in traces.items():
    left = [s for s, text in kept.items() if re.search(trace, text)]
    print(f"{kind:12} {sum(s.startswith(kind) for s in left)} left")
innocent = [one for one in rejects if one["source"].startswith("page/")]
print("pages without a defect that were dropped:", len(innocent))
clean = {f"page/{i}": text for i, text in enumerate(pages)}
altered = [s for s in kept if kept[s] != clean.get(s, kept[s])]
print("pages without a defect that were changed:", len(altered))
print(*report.steps[-1].samples.get("street", []), sep="\n")

# %% [markdown]
# Cleaning has a price. If a page without a defect is dropped, it is the later
# of two near copies. And Sherlock Holmes gives addresses of nobody alive, but a
# rule cannot know that: they were hidden, too. (In the report, the letters of
# what is found are stars.) So read what a step did before you trust it.
#
# ## Near copies: Jaccard
# How alike are two texts? Take all runs of five words of each. The **Jaccard
# index** is how many they share, divided by how many there are in either: 1
# for the same text, 0 for strangers. One changed word spoils five runs.


# %%
def runs(text, length=5):
    words = re.findall(r"\w+", text.lower())
    begins = range(len(words) - length + 1)
    return {" ".join(words[i : i + length]) for i in begins}


def jaccard(a, b):
    return len(a & b) / len(a | b)


page = pages[0]
for share in (0, 0.01, 0.02, 0.05, 0.2):
    index = jaccard(runs(page), runs(changed(page, share)))
    print(f"{share:4.0%} of the words changed: Jaccard index {index:.2f}")

# %% [markdown]
# ## MinHash
# Comparing each text with each is too much: a million texts are 500,000,000,000
# pairs. **MinHash** (Broder, 1997) gives each text a short signature. Give
# every run a hash, a number that looks random but is always the same for the
# same run, and keep the smallest. Of two texts' runs taken together each is
# equally likely to have the smallest hash. If that run is in both texts, both
# keep it and their numbers are equal; if not, they differ. So the chance of
# equal numbers *is* the Jaccard index. With 256 hash functions, the share of
# equal ones estimates it.


# %%
def signature(grams, count):
    """The smallest hash of the runs, by each of `count` hash functions."""
    numbers = np.random.default_rng(7)
    factors = numbers.integers(0, 2**31, (count, 1), dtype=np.uint64) * 2 + 1
    terms = numbers.integers(0, 2**32, (count, 1), dtype=np.uint64)
    hashes = np.array([zlib.crc32(g.encode()) for g in grams], np.uint64)
    return ((hashes * factors + terms) % 2**32).min(axis=1)


PAIRS = 60 if TINY else 1000
pairs = []
for number in range(PAIRS):
    text = pages[number % len(pages)]
    pairs.append((text, changed(text, random.uniform() ** 2 * 0.25)))
grams = [(runs(a), runs(b)) for a, b in pairs]
truth = np.array([jaccard(a, b) for a, b in grams])
estimates = {
    count: np.array(
        [(signature(a, count) == signature(b, count)).mean() for a, b in grams]
    )
    for count in (16, 256)
}

# %%
figure = new_figure(8, 3.6)
for place, (count, found) in enumerate(estimates.items(), 1):
    axes = figure.add_subplot(1, 2, place)
    line = np.linspace(0, 1, 50)
    spread = 2 * np.sqrt(line * (1 - line) / count)
    axes.fill_between(line, line - spread, line + spread, color="#CFE5F3")
    axes.plot(truth, found, ".", color="#0072B2", markersize=4)
    error = np.abs(found - truth).mean()
    axes.set(xlabel="Jaccard index", ylabel="MinHash's estimate")
    axes.set_title(f"{count} hashes, off by {error:.3f} on average")
figure

# %% [markdown]
# The light band is two standard deviations wide on each side, those of a coin
# thrown so often: about 95 of 100 points should lie in it.
#
# To find pairs without comparing all, hashes are joined into **bands**: five
# hashes make a key, and each text has 25 keys. Texts that share a key lie in
# the same drawer, and are then compared for real. Two texts of index J share
# one with the chance `1 - (1 - J**5)**25`. That is the step `near_duplicates`;
# the dashed line is its limit of 0.7. With bands of eight, as in the second
# curve, fewer strangers meet, but more near copies are missed. Each point is
# the share found among our pairs of about one index. Those are at most some two
# hundred, so that it may lie beside its curve.

# %%
from keras_llm.data.duplicates.minhash import MinHash  # noqa: E402

figure = new_figure(7, 3.4)
axes = figure.add_subplot()
line = np.linspace(0, 1, 200)
for bands, rows, color in ((25, 5, "#0072B2"), (14, 8, "#D55E00")):
    minhash = MinHash(5, bands, rows)
    keys = [minhash.keys(side) for side in zip(*pairs, strict=True)]
    shared = (keys[0] == keys[1]).any(axis=0)
    label = f"{bands} bands of {rows}"
    axes.plot(line, 1 - (1 - line**rows) ** bands, color=color, label=label)
    for low in np.arange(0, 1, 0.1):
        some = (truth >= low) & (truth < low + 0.1)
        if some.sum() >= 5:
            at = truth[some].mean()
            axes.plot(at, shared[some].mean(), "o", color=color)
axes.axvline(0.7, color="gray", linestyle="--")
axes.set(xlabel="Jaccard index", ylabel="chance to be found")
axes.legend(title="points: counted in our pairs")
figure

# %% [markdown]
# ## Held out by content
# Some texts must stay unseen, to measure with. Drawing them by chance goes
# wrong quietly: after the next curation others are drawn, and what was read in
# training comes to be held out. Here the *text* decides: its hash is a number
# between 0 and 1, and texts below the share are held out. The order, the rest
# of the corpus and the machine do not matter, and a copy goes where its
# original is.

# %%
documents = [Document(text, str(i)) for i, text in enumerate(kept.values())]


def held(documents, share):
    sides = kl.data.hold_out(documents, share)
    return {one.text for side, one in sides if side == "heldout"}


few, more = held(documents, 0.05), held(documents, 0.1)
half = held(documents[::2], 0.05)
print(len(few), "held out of", len(documents), "with a share of 5 %")
print("backwards the same:", few == held(documents[::-1], 0.05))
print("half of the corpus, no new ones:", half <= few)
print("a share of 10 % only adds:", few <= more, len(more))

# %% [markdown]
# ## A row
# A model reads rows of one length, and texts have all lengths. **Packing** lays
# several texts into a row and marks what belongs together:
#
# - `tokens`: the ids; each text ends with `<|endoftext|>`,
# - `segments`: which text a token belongs to; 0 is padding,
# - `positions`: begin again in every text,
# - `weights`: 1 where the next token is of the same text. Nothing is learned
#   from the end of one text about the beginning of the next.

# %%
tokenizer = HostTokenizer.train(kept.values(), 1024)
short = ["Alice was tired.", "The cat grinned.", "Oh dear!"]
ids = [tokenizer.encode(text) for text in short]
row = next(kl.data.pack(ids, row_length=25, eos_id=tokenizer.eos_id))
inputs, targets, weights = kl.data.training_arrays(
    row.tokens[None], row.segments[None]
)
print("token        segment position  predicts     weight")
for place in range(24):
    segment = inputs["segments"][0, place]
    position, weight = inputs["positions"][0, place], weights[0, place]
    here, following = (
        repr(tokenizer.decode([int(x[0, place])])) if shown else "-"
        for x, shown in ((inputs["tokens"], segment), (targets, weight))
    )
    print(f"{here:16}{segment:3}{position:7}    {following:16}{weight:.0f}")

# %% [markdown]
# The **mask** lets a token see what came before it in its own text, and nothing
# else. In the figure, each line is a token, and coloured is what it may see;
# padding, in grey, sees only padding.

# %%
kl.visualize.mask_figure(row, tokenizer=tokenizer)

# %% [markdown]
# So the texts of a row are as if alone. A model gives the same numbers, up to
# rounding, for each text of the row and for the text by itself:

# %%
config = kl.zoo.config("tiny", vocabulary_size=1024, context_length=32)
model = kl.build_decoder(config)
together = np.array(model(inputs))
begin = 0
for text in ids:
    whole = np.array([[*text, tokenizer.eos_id]])
    alone = np.array(model(whole))[0]
    there = together[0, begin : begin + whole.shape[1]]
    print(f"largest difference {np.abs(alone[: len(there)] - there).max():.0e}")
    begin += whole.shape[1]

# %% [markdown]
# ## What packing saves
# A row per text, filled up with padding, computes a lot for nothing. Each text
# goes instead to the open row with the least room that still holds it ("best
# fit"); a text longer than a row is cut into pieces that share one token.

# %%
lines = [line for text in kept.values() for line in text.split("\n\n")]
stream = [tokenizer.encode(line) for line in lines if len(line) > 20]


def naive(stream, length):
    """A row for each piece of a text, and padding."""
    for ids in stream:
        yield from kl.data.pack([ids], length, eos_id=tokenizer.eos_id)


def packings(length):
    return {
        "a text a row": naive(stream, length),
        "packed": kl.data.pack(stream, length, eos_id=tokenizer.eos_id),
    }


def segments_of(packed):
    return np.array([one.segments for one in packed])


contexts = (64, 128, 256, 512)
shares = {"a text a row": [], "packed": []}
for context in contexts:
    for name, packed in packings(context).items():
        shares[name].append(np.mean(segments_of(packed) == 0))
print("padding in rows of", *(f"{context:6}" for context in contexts))
for name, values in shares.items():
    print(f"{name:18}", *(f"{value:6.1%}" for value in values))

# %%
figure = new_figure(8, 3.4)
panels = figure.subplots(1, 3)
for axes, (name, packed) in zip(panels, packings(128).items(), strict=False):
    segments = segments_of(packed)
    some = random.choice(len(segments), 24, replace=False)
    shown = np.where(segments[some], 1 + segments[some] % 7, 0)
    colours = "nipy_spectral_r"
    axes.imshow(
        shown,
        cmap=colours,
        vmin=0,
        vmax=9,
        aspect="auto",
        interpolation="none",
    )
    axes.set(title=name, xlabel="place in the row", ylabel="some rows")
    axes.set_yticks([])
for offset, (name, values) in enumerate(shares.items()):
    places = np.arange(len(contexts)) + 0.4 * offset
    panels[2].bar(places, values, 0.4, label=name)
panels[2].set_xticks(np.arange(len(contexts)) + 0.2, contexts)
panels[2].set(xlabel="length of a row", title="share of padding")
panels[2].yaxis.set_major_formatter("{x:.0%}")
panels[2].legend(fontsize=8)
figure

# %% [markdown]
# On the left are rows of 128 tokens with one text each, in the middle packed
# ones. In a row each colour is a text, or a piece of one, and grey is padding.
# The longer the row, the more of it is padding when it holds one text, and
# packed there is hardly any.
#
# ## The book's sliding window
# Chapter 2 of the book ([Raschka, *Build a Large Language Model (From
# Scratch)*](../book.md)) does it in another way: all text is one long line of
# tokens, and a window slides over it. With a stride as long as the window, its
# windows are our rows of one text without an end token, number for number.


# %%
def windows(ids, length, stride):
    """Inputs and targets as `GPTDatasetV1` of the book makes them."""
    begins = np.arange(0, len(ids) - length, stride)[:, None]
    places = begins + np.arange(length)
    return ids[places], ids[places + 1]


if REAL:
    gpt2 = kl.BytePairTokenizer.load(kl.data.download("gpt2_bpe"))
    path = kl.data.download("the_verdict") / "the-verdict.txt"
    story = np.array(gpt2.encode(path.read_text("utf-8")))
else:
    story = np.concatenate(stream)
print(f"{len(story):,} tokens (5,145 in the book), the first:", story[:4])
x, y = windows(story, 256, 256)
packed = list(kl.data.pack([story], 257))
inputs, targets, weights = kl.data.training_arrays(
    *(np.array(part) for part in zip(*packed, strict=True))
)
print(x.shape, "windows,", inputs["tokens"].shape, "rows")
print("same inputs:", np.array_equal(x, inputs["tokens"][: len(x)]))
print("same targets:", np.array_equal(y, targets[: len(x)]))
print(f"predicted: {y.size:,} by windows, {int(weights.sum()):,} by rows")

# %% [markdown]
# The book drops the last, shorter window; ours is a row with padding, so that
# every token but the first is predicted exactly once. With a smaller stride the
# windows overlap: the same token is predicted several times an epoch, which the
# book warns of.

# %%
for stride in (256, 128, 32):
    x, y = windows(story, 256, stride)
    times = y.size / (len(story) - 1)
    print(f"stride {stride:3}: {len(x):4} windows, {times:.1f} times an epoch")

# %% [markdown]
# ## The order of the rows is a function
# `pack_corpus` does all this for a corpus folder and writes rows as plain
# arrays. Then comes shuffling. Usually a buffer does it, and where it stands is
# lost with the process. Here the row at a place is computed from seed, epoch
# and place alone, by a keyed permutation of the row numbers, as in a cipher.
# Nothing is stored, and step one million costs as much to find as step one.

# %%
manifest = kl.data.pack_corpus(work / "corpus", tokenizer, work / "rows", 128)
rows = kl.data.open_rows(work / "rows")
print(len(rows), "rows,", f"{rows.info.tokens:,} tokens")
per_epoch = len(rows) // 8
order = [kl.data.row_indices(step, 8, len(rows)) for step in range(per_epoch)]
seen = np.concatenate(order)
print("step 0:", order[0], "once each:", len(set(seen)) == len(seen))
print("step 1,000,000:", kl.data.row_indices(1_000_000, 8, len(rows)))

# %%
orders = {"epoch 1": (0, 0), "epoch 2": (0, 1), "another seed": (1, 0)}
print(f"{'place':12}", *(f"{place:5}" for place in range(10)))
for name, (seed, epoch) in orders.items():
    whole = kl.data.row_indices(epoch, len(rows), len(rows), seed)
    print(f"{name:12}", *(f"{row:5}" for row in whole[:10]))
    every = np.array_equal(np.sort(whole), np.arange(len(rows)))
    print(" " * 12, "no row twice, none missing:", every)

# %% [markdown]
# `row_dataset` makes a `tf.data` pipeline of it, which `model.fit` takes. A run
# that was killed at step 5 goes on at step 5, with the same rows:

# %%
whole = kl.data.row_dataset(rows, batch_size=8, seed=3)
resumed = kl.data.row_dataset(rows, batch_size=8, seed=3, start_step=5)
for name, spec in whole.element_spec[0].items():
    print(name, spec.shape, spec.dtype.name)
sixth = next(iter(whole.skip(5)))
again = next(iter(resumed))
print("same:", bool(np.all(sixth[0]["tokens"] == again[0]["tokens"])))

# %% [markdown]
# ## Mixtures
# Of most languages there is little text. Shares as large as the sources are
# would hardly show them; equal shares would repeat the small ones many times.
# A **temperature** T lies between: shares proportional to `size ** (1 / T)`.

# %%
sizes = {"en": 900_000, "de": 90_000, "is": 10_000}
for T in (1, 3.33, np.inf):
    weights = kl.data.temperature_weights(list(sizes.values()), T)
    print(f"T = {T:4}:", *(f"{w / sum(weights):4.0%}" for w in weights))

# %% [markdown]
# Two sources, one much smaller; nothing is copied, the mixture is a plan. Its
# sources come in turns instead of by chance, so that every stretch of the
# training has its shares.

# %%
if REAL:
    path = next(folder.glob("Don*"))
    other = kl.data.read_documents(path, encoding="detect")
    other = [Document(one.text[10_000:60_000], "es") for one in other]
else:
    other = [Document(one.text, "other") for one in books[40:44]]
kl.data.pack_corpus(other, tokenizer, work / "other", 128)
mixed = kl.data.mix(
    {"main": work / "rows", "other": work / "other"},
    work / "mixed",
    temperature=3.33,
    max_epochs=4,
)
for one in mixed.plan.sources:
    share = one.drawn_rows / mixed.plan.rows
    print(f"{one.name:6}{one.rows:5} rows, {one.drawn_rows:4} drawn,", end="")
    print(f" {share:.0%}, {one.epochs:.2f} epochs")

# %%
which, _ = mixed.draws(np.arange(len(mixed)))
chance = np.random.default_rng(1).permutation(which)
share, steps = which.mean(), np.arange(1, len(which) + 1)
figure = new_figure(7, 3)
axes = figure.add_subplot()
axes.plot(np.cumsum(chance) - share * steps, label="by chance")
axes.plot(np.cumsum(which) - share * steps, label="in turns")
axes.set(xlabel="rows so far", ylabel="rows of 'other' above its share")
axes.legend()
figure

# %% [markdown]
# By chance, the small source gets many rows ahead of its share or behind it; in
# turns, it is never off by more than about one.
#
# The shares may also change on the way, for instance so that the best texts
# come last. Four phases lead from nine to one towards equal shares:

# %%
start, end = {"main": 9, "other": 1}, {"main": 1, "other": 1}
later = kl.data.mix(
    {"main": work / "rows", "other": work / "other"},
    work / "later",
    weights=kl.data.weight_schedule(start, end, phases=4),
    max_epochs=4,
)
which, _ = later.draws(np.arange(len(later)))
quarters = (f"{part.mean():.0%}" for part in np.array_split(which, 4))
print("share of 'other' in each quarter:", *quarters)

# %% [markdown]
# The pages [Curate](../curate.md), [Data](../data.md) and
# [Mixtures](../mixtures.md) have the rest: more cores, more steps, curricula.
#
# ## Exercises
# **Exercise 1.** You want pairs of index 0.8 found 99 times in 100, and pairs
# of 0.3 at most 5 times in 100. How many bands of 4 hashes do that? If none do,
# how many of 5? Check it by counting on pairs of ours.
#
# **Exercise 2.** Write a step that drops pages of which more than a tenth are
# digits, and run it on two texts.
#
# **Exercise 3.** How many weights of 1 has an epoch? Work it out from the
# number of tokens and texts alone, then count it in packed rows.

# %% [markdown]
# ## Solutions
# ### Exercise 1
# `1 - (1 - 0.8**4)**b` is at least 0.99 from b = 9 on, and of 0.3 nine bands
# find seven in a hundred: too many. Longer bands are needed for both; with 4
# hashes it cannot be done, with 5 it can.


# %%
def found(index, bands, rows):
    return 1 - (1 - index**rows) ** bands


for rows_of_band in (4, 5):
    bands = next(b for b in range(99) if found(0.8, b, rows_of_band) >= 0.99)
    false = found(0.3, bands, rows_of_band)
    print(f"{bands} bands of {rows_of_band}: {false:.1%} of the pairs at 0.3")
minhash = MinHash(5, bands, rows_of_band)
keys = [minhash.keys(side) for side in zip(*pairs, strict=True)]
shared = (keys[0] == keys[1]).any(axis=0)
print(f"counted above 0.8: {shared[truth > 0.8].mean():.1%}")
assert found(0.3, 9, 4) > 0.05 > false
assert shared[truth > 0.8].mean() > 0.95

# %% [markdown]
# ### Exercise 2
# A step is a name and a generator; it drops through its counts.


# %%
def numbers(documents, counts):
    for document in documents:
        digits = sum(letter.isdigit() for letter in document.text)
        if digits > len(document.text) / 10:
            counts.drop(document, "more than a tenth are digits")
        else:
            yield document


step = kl.data.Step("numbers", numbers)
counts = kl.data.Counts("numbers")
two = [Document("12 34 56, 78", "table"), Document("A cat of 9 lives", "cat")]
left = [one.source for one in step(two, counts)]
print(counts.reasons())
assert left == ["cat"] and counts.documents_in == 2

# %% [markdown]
# ### Exercise 3
# Each text has an end token, and every token but the first of its text is
# predicted once: as many as there are tokens, without ends. Cutting does not
# change it, because pieces share a token.

# %%
by_hand = sum(len(ids) for ids in stream)
packed = kl.data.pack(stream, 65, eos_id=tokenizer.eos_id)
arrays = (np.array(part) for part in zip(*packed, strict=True))
_, _, weights = kl.data.training_arrays(*arrays)
print(f"{by_hand:,} by hand, {int(weights.sum()):,} counted")
assert by_hand == weights.sum()
