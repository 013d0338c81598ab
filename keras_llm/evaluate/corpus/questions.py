"""The questions of a datasheet, by section, each with a key for its answer.

Source: Gebru et al. 2021, "Datasheets for Datasets",
https://doi.org/10.1145/3458723: its sections and what it asks, in words for
text corpora; questions about single persons, labels and images that a corpus
of text has no place for are put together or left out.
"""

from collections.abc import Mapping

QUESTIONS: Mapping[str, Mapping[str, str]] = {
    "Motivation": {
        "purpose": "For what purpose was the corpus made, and which gap was "
        "it to fill?",
        "creators": "Who made it, and on behalf of whom?",
        "funding": "Who paid for it?",
        "motivation_more": "What else should be said about why it exists?",
    },
    "Composition": {
        "instances": "What is one instance: a page, a book, a message? Are "
        "there several kinds?",
        "size": "How many instances are there, of each kind?",
        "sampling": "Is it all there is, or a sample? Of what, how drawn, and "
        "how does it differ from the whole?",
        "content": "What does each instance consist of: raw text or something "
        "derived?",
        "languages": "In which languages and varieties is it?",
        "licences_of_parts": "Under which licences are the texts?",
        "missing": "Is anything missing from instances, and why?",
        "relations": "Are relations between instances made explicit, such as "
        "threads or editions?",
        "splits": "Which splits are recommended, and by what rule were they "
        "made?",
        "noise": "Which errors, noise and repetitions does it have?",
        "external": "Does it depend on anything outside, such as links, that "
        "may change or disappear?",
        "confidential": "Does it hold anything confidential, for instance "
        "private messages?",
        "offensive": "Does it hold texts that insult, threaten or frighten?",
        "people": "Which groups of people does it speak of, and how are they "
        "spread?",
        "identifiable": "Can persons be identified from it, alone or together "
        "with other data?",
        "sensitive": "Does it tell of health, religion, opinions, origin or "
        "other sensitive matters of persons?",
    },
    "Collection process": {
        "acquisition": "How were the texts obtained: crawled, bought, given, "
        "written for it?",
        "mechanisms": "With which programs, interfaces and hands, and how was "
        "that checked?",
        "collectors": "Who took part in collecting, and how were they paid?",
        "timeframe": "When was it collected, and when were the texts written?",
        "ethics": "Was there an ethical review, and what did it find?",
        "consent": "Were the authors told, did they agree, and how can they "
        "take that back?",
        "impact": "Was the effect on the people in it studied?",
    },
    "Preprocessing and cleaning": {
        "steps": "What was done to the texts: cleaned, filtered, changed?",
        "personal_data": "How was personal data looked for and treated?",
        "contamination": "Was text of evaluation benchmarks taken out?",
        "raw": "Is the raw text kept, and where?",
        "software": "Is the software for it available?",
    },
    "Uses": {
        "used": "What has it been used for already?",
        "uses_listed": "Where are uses of it listed?",
        "other_uses": "What else could it be used for?",
        "risks": "What about its making could harm or be unfair to people in "
        "later use, and how can that be avoided?",
        "unsuitable": "What should it not be used for?",
    },
    "Distribution": {
        "recipients": "Will it be given to others, and to whom?",
        "how": "How and when will it be given: a download, an interface? Has "
        "it an identifier (DOI)?",
        "hashes": "By which hashes can a copy be checked?",
        "terms": "Under which licence and terms is it given?",
        "third_party": "Which rights do third parties have in the texts?",
        "export_controls": "Do export controls or other regulations apply?",
    },
    "Maintenance": {
        "maintainer": "Who keeps it, and how can they be reached?",
        "errata": "Where are errors reported and listed?",
        "updates": "Will it be updated, how often, by whom, and who is told?",
        "retention": "How long may texts about persons be kept, and how is "
        "that enforced?",
        "opt_out": "How can somebody have their text removed?",
        "versions": "Are older versions kept?",
        "contributing": "How can others add to it?",
    },
}
"""Section -> key of an answer -> question."""

KEYS = tuple(key for asked in QUESTIONS.values() for key in asked)
