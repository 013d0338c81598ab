"""Documents on towns, and a model that writes a good pair on each."""

import json

from keras_llm.data import Document
from keras_llm.synthesize import SynthesisSettings

TOWNS = ("Bath", "Ghent", "Lucca", "Porto", "Siena", "Turku", "Ulm", "York")
DOCUMENTS = [
    Document(
        f"{town} is an old town on a river. Its market is held on Mondays, "
        f"and the people of {town} sell bread, cheese and flowers there.",
        f"{town}.txt",
    )
    for town in TOWNS
]

ANY = SynthesisSettings(same_language=False)  # no model of languages


def town_in(prompt: str) -> str:
    return next(town for town in TOWNS if town in prompt)


def pairs(*both: tuple[str, str]) -> str:
    return json.dumps([{"instruction": a, "response": b} for a, b in both])


def good(prompt: str) -> str:
    """A model that writes one good pair of its own for every town."""
    town, number = town_in(prompt), TOWNS.index(town_in(prompt))
    return pairs(
        (
            f"On which day of the week does {town} have its market?",
            f"The {number + 2} traders of {town} meet on a Monday.",
        )
    )


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]
