"""Self-instruct: new instructions like a few, each unlike all others."""

import dataclasses
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.errors import InputError
from keras_llm.evaluate.rouge_scores import rouge_each
from keras_llm.synthesize.examples import CHAT, Example
from keras_llm.synthesize.prompts import (
    NEW_INSTRUCTIONS,
    RESPONSE,
    checked,
    fill,
)
from keras_llm.synthesize.replies import read_objects
from keras_llm.synthesize.settings import DEFAULTS, SynthesisSettings
from keras_llm.synthesize.tasks import (
    NO_JSON,
    Models,
    Task,
    asked,
    dropped,
    trouble,
)

SHOWN_SEEDS, SHOWN_NEW = 6, 2  # examples in a prompt, as published
ROUND = 8  # prompts before what came is compared
WANTED = 100
PATIENCE = 3  # rounds without anything new, after which it ends
ROUNDING = 1e-9  # of two ways to compute an F measure
FEWEST, MOST = 4, 150  # words of an instruction
NOT_TEXT = re.compile(
    r"\b(image|graph|picture|file|map|photo|video|audio|diagram)s?\b"
    r"|\b(draw|plot)\b|\bgo to\b",
    re.IGNORECASE,
)
_WORD = re.compile("[a-z0-9]+")  # as rouge-score cuts texts


class Novelty:
    """How much a text is like those seen before, by ROUGE-L.

    `rouge-score` sees Latin letters and digits only: texts in other scripts
    are all new to it, and are left to the steps for duplicates.

    Args:
        texts: What is known.

    Example:

    >>> known = Novelty(["Name three colours of the rainbow."])
    >>> known.likeness("Name two colours of the rainbow.")
    0.83...
    """

    def __init__(self, texts: Iterable[str]):
        self._known: list[tuple[str, Counter[str]]] = []
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Makes a text known."""
        self._known.append((text, Counter(_WORD.findall(text.lower()))))

    def likeness(self, text: str, least: float = 0.0) -> float:
        """Returns the largest ROUGE-L F measure with a known text.

        Args:
            text: The text.
            least: Known texts that cannot reach it are passed over, since
                the words in common, in any order, bound the measure.
        """
        words = Counter(_WORD.findall(text.lower()))
        rivals = [
            known
            for known, own in self._known
            if (most := _in_common(words, own)) and most > least - ROUNDING
        ]
        if not rivals:
            return 0.0
        texts = [text] * len(rivals)
        found = rouge_each(texts, rivals, ["rougeL"], stemmer=False)["rougeL"]
        return float(found.max())


@dataclasses.dataclass(frozen=True)
class SelfInstruct(Task):
    """New instructions from seeds, and then a response to each.

    Each prompt shows six seeds and two instructions that were made before.
    An instruction is taken if it is 4 to 150 words long, asks for text alone
    and has a ROUGE-L below `novelty` with every seed and every other one.
    `SynthesisSettings.limit` says how many are wanted, 100 if it is None.

    Args:
        novelty: ROUGE-L from which an instruction is like another.
        per_prompt: New instructions asked for at a time.
        prompt: What is asked for instructions, with {examples} and perhaps
            {count}. It must ask for "instruction".
        response: What is asked for a response, with {instruction}.

    Raises:
        InputError: A number is out of range, or a prompt lacks a place.

    Source: Wang et al. 2022, "Self-Instruct",
    https://arxiv.org/abs/2212.10560; there classification tasks have a prompt
    of their own, and inputs stand apart from instructions. Words are ours.

    Example:

    >>> seeds = [Document("Name three colours.", "seeds")]
    >>> "- Name three colours." in SelfInstruct().prompts(seeds)[0]
    True
    """

    novelty: float = 0.7
    per_prompt: int = 5
    prompt: str = NEW_INSTRUCTIONS
    response: str = RESPONSE
    name = "self-instruct"
    seeds = True

    def __post_init__(self):
        if not 0 < self.novelty <= 1 or self.per_prompt < 1:
            raise InputError(
                "Expected novelty above 0 and at most 1, and per_prompt of at "
                f"least 1. Received: {self.novelty} and {self.per_prompt}."
            )
        checked(self.prompt, ["examples"])
        checked(self.response, ["instruction"])

    def templates(self) -> tuple[str, ...]:
        """Returns both prompts."""
        return self.prompt, self.response

    def prompts(
        self,
        items: Sequence[Document],
        settings: SynthesisSettings = DEFAULTS,
    ) -> list[str]:
        """Returns what is asked in the first round."""
        chosen = random.Random(settings.seed)
        return self._round([one.text for one in items], [], chosen)

    def examples(
        self,
        models: Models,
        items: Sequence[Document],
        settings: SynthesisSettings,
        counts: Counts,
    ) -> Iterator[Example]:
        """Yields new instructions with responses."""
        new = self._instructions(models, items, settings, counts)
        prompts = [fill(self.response, instruction=one.text) for one in new]
        answers = asked(models.generator, new, prompts, "responses")
        for item, answer in zip(new, answers, strict=True):
            if reason := trouble(answer):
                dropped(counts, item, answer, reason)
            else:
                text = answer.text.strip()
                yield Example((item.text, text), item, item.metadata)

    def _instructions(
        self,
        models: Models,
        items: Sequence[Document],
        settings: SynthesisSettings,
        counts: Counts,
    ) -> list[Document]:
        """Asks in rounds until there are enough, or nothing new comes."""
        wanted = settings.limit or WANTED
        seeds = [one.text for one in items]
        known, chosen = Novelty(seeds), random.Random(settings.seed)
        found: list[Document] = []
        number = fruitless = 0
        while len(found) < wanted and fruitless < PATIENCE:
            prompts = self._round(seeds, [d.text for d in found], chosen)
            places = [Document(p, f"round {number + 1}") for p in prompts]
            answers = asked(
                *(models.generator, places, prompts, "instructions"),
                seed=(settings.seed + number) % 2**31,
            )
            before = len(found)
            for place, answer in zip(places, answers, strict=True):
                reason = trouble(answer, whole=False)
                made = [] if reason else _instructions_in(answer.text)
                if not made:
                    dropped(counts, place, answer, reason or NO_JSON)
                for text in made:
                    one = self._checked(text, place.source, known, counts)
                    found += [one] if one else []
            fruitless = 0 if len(found) > before else fruitless + 1
            number += 1
        return found[:wanted]

    def _checked(
        self, text: str, source: str, known: Novelty, counts: Counts
    ) -> Document | None:
        """An instruction with its likeness, if it is new and of use."""
        likeness = known.likeness(text, self.novelty)
        if not FEWEST <= len(text.split()) <= MOST:
            reason = f"instruction not of {FEWEST} to {MOST} words"
        elif NOT_TEXT.search(text):
            reason = "instruction asks for more than text"
        elif likeness >= self.novelty:
            reason = f"ROUGE-L of {self.novelty:g} or more with another"
        else:
            known.add(text)
            return Document(text, source)
        counts.drop(Document(text, source), reason)
        return None

    def _round(
        self, seeds: list[str], made: list[str], chosen: random.Random
    ) -> list[str]:
        prompts = []
        for _ in range(ROUND):
            shown = _some(made, SHOWN_NEW, chosen)
            rest = SHOWN_SEEDS + SHOWN_NEW - len(shown)
            shown = _some(seeds, rest, chosen) + shown
            listed = "\n".join(f"- {text}" for text in shown)
            prompts.append(
                fill(self.prompt, examples=listed, count=self.per_prompt)
            )
        return list(dict.fromkeys(prompts))  # of few seeds some are equal


def _instructions_in(reply: str) -> list[str]:
    return [one["instruction"] for one in read_objects(reply, CHAT[:1])]


def _some(texts: list[str], most: int, chosen: random.Random) -> list[str]:
    return chosen.sample(texts, min(most, len(texts)))


def _in_common(first: Counter[str], second: Counter[str]) -> float:
    """The F measure of words in any order: no ROUGE-L is above it."""
    both = first.total() + second.total()
    return 2 * (first & second).total() / both if both else 0.0
