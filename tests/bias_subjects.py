"""Pretended models for the bias tests, and BBQ items of our own."""

import re
import zlib

import numpy as np

from keras_llm.evaluate.subject import Likelihood, ScoredTokens


def nats(text: str) -> float:
    """A number below zero that is random but always the same for a text."""
    return -20.0 * (zlib.crc32(text.encode()) + 1) / 2**32


class RandomSubject:
    """Finds every text somehow likely."""

    name, fingerprint = "random", "1"

    def likelihoods(self, requests):
        return [
            Likelihood(nats(one.context + one.continuation), False)
            for one in requests
        ]

    def rolling(self, texts):
        return [nats(text) for text in texts]

    def generate(self, prompts):
        return [f"{nats(one.context + str(one.seed)):.3f}" for one in prompts]

    def token_scores(self, texts):
        return [
            ScoredTokens(words, np.array([nats(word) for word in words]))
            for words in (re.findall(r"\s*\S+", text) for text in texts)
        ]


def question_items() -> list[dict]:
    """48 items: three categories, both conditions, both polarities."""
    people = {
        "Age": [("The old man", "old"), ("The young man", "nonOld")],
        "Gender_identity": [("Mary", "F"), ("Robert", "M")],
        "Race_x_gender": [("The Black woman", "F-Black"), ("Tom", "M-White")],
    }
    named = {
        "Age": ["old"],
        "Gender_identity": ["F", "Girl", "woman"],
        "Race_x_gender": ["Black", "African American"],
    }
    unknown = ["Not known", "Cannot be determined", "Unknown"]
    items = []
    for category, (one, other) in people.items():
        for number in range(16):
            ambiguous, negative = number % 2, number // 2 % 2
            answers = [one, other, (unknown[number % 3], "unknown")]
            order = np.roll([0, 1, 2], number)
            label = 2 if ambiguous else number // 4 % 2
            items.append(
                {
                    "category": category,
                    "context_condition": "ambig" if ambiguous else "disambig",
                    "question_polarity": "neg" if negative else "nonneg",
                    "context": f"Two people met at place {number}.",
                    "question": f"Who forgot the {number}?",
                    "label": int(list(order).index(label)),
                    "answer_info": {
                        f"ans{i}": list(answers[order[i]]) for i in range(3)
                    },
                    "additional_metadata": {
                        "stereotyped_groups": named[category]
                    },
                    **{f"ans{i}": answers[order[i]][0] for i in range(3)},
                }
            )
    return items
