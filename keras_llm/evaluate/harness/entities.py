"""The filter format_span: named entities of an answer, all in one form."""

import re

# What models call them, and the four kinds that are compared. In this order:
# a kind that was put in is not looked for again.
_KINDS = {
    "person": "PER",
    "location": "LOC",
    "organization": "ORG",
    "counties": "LOC",
    "places": "LOC",
    "people": "PER",
    "persons": "PER",
    "company": "ORG",
    "country": "LOC",
    "continent": "LOC",
    "time": "DATE",
    "date": "DATE",
    "per": "PER",
    "loc": "LOC",
    "org": "ORG",
}
_SPAN = re.compile(r"\b(PER|LOC|ORG|DATE):\s*([^$]+)")


def entities(answer: str) -> str:
    """Returns the entities of an answer as "kind: text $ kind: text".

    Args:
        answer: Such as "Person: Ada, Bob $$ location: none".

    Source: the filter `format_span` of the lm-evaluation-harness 0.4.13.

    Example:

    >>> entities("Person: Ada, Bob $$ location: none")
    'per: ada $ per: bob'
    """
    text = answer.lower()
    for name, kind in _KINDS.items():
        text = re.sub(rf"\b{name}\s*:", f"{kind}:", text)
    text = text.replace("$$", "$").rstrip("$").replace("\n", "$").strip()
    return " $ ".join(
        f"{kind.lower()}: {value.strip()}"
        for kind, values in _SPAN.findall(text)
        for value in values.split(",")
        if value.strip().lower() != "none"
    )
