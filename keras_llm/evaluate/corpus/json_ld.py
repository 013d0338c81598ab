"""Croissant: a corpus described for machines, as JSON-LD."""

from collections.abc import Iterator, Mapping
from typing import Any

from keras_llm.evaluate.corpus.answers import Answers
from keras_llm.evaluate.corpus.description import CorpusDescription
from keras_llm.evaluate.corpus.funnel import CurationFunnel
from keras_llm.evaluate.corpus.tally import UNKNOWN

CONFORMS = "http://mlcommons.org/croissant/1.0"
_PLAIN = (
    *("citeAs", "column", "equivalentProperty", "extract", "field"),
    *("fileObject", "fileProperty", "fileSet", "format", "includes"),
    *("isLiveDataset", "jsonPath", "key", "md5", "parentField", "path"),
    *("recordSet", "references", "regex", "repeated", "replace"),
    *("samplingRate", "separator", "source", "subField", "transform"),
)
CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{name: f"cr:{name}" for name in _PLAIN},
}
"""Names of the vocabulary, as the specification lists them."""

_FIELDS = {
    "text": "The text of a document.",
    "source": "Where it was found.",
    "license": "Its licence, where known.",
}
_SAID = {
    "license": "license",
    "url": "url",
    "version": "version",
    "published": "datePublished",
    "cite_as": "citeAs",
}


def croissant(
    description: CorpusDescription,
    funnel: CurationFunnel,
    answers: Answers | None = None,
    name: str = "corpus",
    folder: str = ".",
) -> dict[str, Any]:
    """Returns a curated corpus as Croissant 1.0: files, hashes, fields.

    Programs that read Croissant (mlcroissant, TensorFlow Datasets) load the
    documents by it. Creator, licence, address and date are there if the
    answers have them.

    Args:
        description: What the corpus is made of.
        funnel: What curation did; see `read_funnel`.
        answers: What you said; see `load_answers`.
        name: Of the corpus, unless the answers have one.
        folder: Where its files are, as seen from the Croissant file.

    Source: Croissant format specification 1.0,
    https://docs.mlcommons.org/croissant/docs/croissant-spec.html.

    Example:

    >>> from keras_llm.data import Document
    >>> from keras_llm.evaluate import describe_corpus
    >>> found = describe_corpus([Document("A rose.", "a", language="en")])
    >>> funnel = CurationFunnel([], {"sha256": "5d80", "bytes": 7})
    >>> croissant(found, funnel)["distribution"][0]["contentUrl"]
    'train.jsonl'
    """
    said = (answers or Answers()).dataset
    sides = {"train": funnel.train, "heldout": funnel.heldout}
    files = {side: one for side, one in sides.items() if one is not None}
    fields = [one for one in _FIELDS if _is_there(one, description)]
    languages = [
        row["name"]
        for row in description.groups.get("language", ())
        if row["name"] != UNKNOWN
    ]
    return {
        "@context": dict(CONTEXT),
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS,
        "name": said.get("name", name),
        "description": said.get("description") or _summary(description),
        **{_SAID[key]: said[key] for key in _SAID if key in said},
        **_creator(said),
        "inLanguage": languages,
        "distribution": [
            _file(side, folder, one["sha256"]) for side, one in files.items()
        ],
        "recordSet": [_records(side, fields) for side in files],
    }


def _is_there(field: str, description: CorpusDescription) -> bool:
    """Says whether the files have a field: licences need not be known."""
    if field != "license":
        return True
    rows = description.groups.get("license", ())
    return any(row["name"] != UNKNOWN for row in rows)


def _summary(description: CorpusDescription) -> str:
    return (
        f"A corpus of {description.documents:,} documents and "
        f"{description.words:,} words."
    )


def _creator(said: Mapping[str, str]) -> dict[str, Any]:
    if "creator" not in said:
        return {}
    return {"creator": {"@type": "sc:Organization", "name": said["creator"]}}


def _file(side: str, folder: str, sha256: str) -> dict[str, Any]:
    name = f"{side}.jsonl"
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name if folder == "." else f"{folder}/{name}",
        "encodingFormat": "application/jsonlines",
        "sha256": sha256,
    }


def _records(side: str, fields: list[str]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": side,
        "name": side,
        "description": f"Documents of {side}.jsonl.",
        "field": list(_fields(side, fields)),
    }


def _fields(side: str, names: list[str]) -> Iterator[dict[str, Any]]:
    for name in names:
        yield {
            "@type": "cr:Field",
            "@id": f"{side}/{name}",
            "name": f"{side}/{name}",
            "description": _FIELDS[name],
            "dataType": "sc:Text",
            "source": {
                "fileObject": {"@id": f"{side}.jsonl"},
                "extract": {"column": name},
            },
        }
