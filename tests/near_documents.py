"""What duplicates are, said once more and slowly: for the tests of 8b."""

import collections
import itertools
import re

from keras_llm.data import Counts, Document
from keras_llm.data.staged import verdicts_of


def ngrams(text, words=5):
    """The n-grams of an English text, as a set of tuples."""
    found = re.findall(r"[^\W_]+", text.lower())
    return {tuple(found[i : i + words]) for i in range(len(found) - words + 1)}


def indices(texts, words=5):
    """The Jaccard index of every pair of texts with an n-gram in common."""
    sets = [ngrams(text, words) for text in texts]
    places = collections.defaultdict(list)
    for at, own in enumerate(sets):
        for gram in own:
            places[gram].append(at)
    common = collections.Counter(
        pair
        for found in places.values()
        for pair in itertools.combinations(found, 2)
    )
    return {
        (a, b): both / (len(sets[a]) + len(sets[b]) - both)
        for (a, b), both in common.items()
    }


def first_of(number, pairs):
    """The first of each one's cluster, by a plain union-find."""
    parents = list(range(number))

    def root(at):
        while parents[at] != at:
            at = parents[at]
        return at

    for a, b in pairs:
        low, high = sorted((root(a), root(b)))
        parents[high] = low
    return [root(at) for at in range(number)]


def run(step, documents):
    """Returns the documents a step hands on, and its counts."""
    counts = Counts(step.name)
    return list(step(documents, counts)), counts


def run_in_shards(step, documents, number):
    """The same, shard by shard."""
    edges = [at * len(documents) // number for at in range(number + 1)]
    shards = [documents[a:b] for a, b in itertools.pairwise(edges)]
    counts = Counts(step.name)
    verdicts = verdicts_of(step, shards)
    kept = [
        document
        for shard, verdict in zip(shards, verdicts, strict=True)
        for document in step.filter(shard, verdict, counts)
    ]
    return kept, counts


def documents_of(texts):
    return [Document(text, str(at)) for at, text in enumerate(texts)]
