"""Data: documents, curation, packing, token shards and the `tf.data` pipeline.

Every step is a generator and every drop has a counted reason. TensorFlow is
imported only when `row_dataset` or `row_indices` is called.
"""

from keras_llm.data.array_rows import ArrayRows
from keras_llm.data.arrays import positions_of, training_arrays
from keras_llm.data.cleaning import (
    boilerplate_lines,
    control_characters,
    gutenberg,
    white_space,
)
from keras_llm.data.counts import Counts
from keras_llm.data.curate import (
    CurateReport,
    curate,
    default_steps,
    read_corpus,
)
from keras_llm.data.dataset import row_dataset, row_indices
from keras_llm.data.document import Document, write_jsonl, write_parquet
from keras_llm.data.documents import Reader, read_documents
from keras_llm.data.downloads import download, published
from keras_llm.data.duplicates.decontamination import decontaminate
from keras_llm.data.duplicates.exact import (
    duplicate_lines,
    duplicate_paragraphs,
    exact_duplicates,
    repeated_lines,
)
from keras_llm.data.duplicates.near import near_duplicates
from keras_llm.data.duplicates.semantic import semantic_duplicates
from keras_llm.data.hold_out import hold_out
from keras_llm.data.manifest import Manifest
from keras_llm.data.markup import html_leftovers
from keras_llm.data.merging import merge_rows
from keras_llm.data.mixtures import (
    Mixture,
    MixturePlan,
    capped_tokens,
    mix,
    pack_parts,
    row_scores,
    temperature_weights,
    weight_schedule,
)
from keras_llm.data.pack import PackCounts, Row, pack
from keras_llm.data.personal import Span, privacy
from keras_llm.data.quality import (
    QualityModel,
    blocked_terms,
    c4_paragraphs,
    c4_quality,
    fineweb_quality,
    gopher_quality,
    gopher_repetition,
    keep_percentiles,
    language,
    quality_score,
    recipe,
)
from keras_llm.data.reading.pages import html_pages
from keras_llm.data.registry import make_step
from keras_llm.data.rights import document_hash, licenses, opt_out, sources
from keras_llm.data.row_statistics import RowStatistics, row_statistics
from keras_llm.data.row_view import RowPart, RowPlace, RowView, view_row
from keras_llm.data.rows import Rows, open_rows
from keras_llm.data.service import DataService, from_service
from keras_llm.data.sharded.curating import curate_shards
from keras_llm.data.sharded.status import StageStatus, curation_status
from keras_llm.data.shards import pack_corpus
from keras_llm.data.shuffling import shuffle_rows
from keras_llm.data.standard_library import standard_library
from keras_llm.data.steps import (
    Step,
    minimum_length,
    repair,
    split_long,
)
from keras_llm.data.text_rows import text_rows

__all__ = [
    "ArrayRows",
    "Counts",
    "CurateReport",
    "DataService",
    "Document",
    "Manifest",
    "Mixture",
    "MixturePlan",
    "PackCounts",
    "QualityModel",
    "Reader",
    "Row",
    "RowPart",
    "RowPlace",
    "RowStatistics",
    "RowView",
    "Rows",
    "Span",
    "StageStatus",
    "Step",
    "blocked_terms",
    "boilerplate_lines",
    "c4_paragraphs",
    "c4_quality",
    "capped_tokens",
    "control_characters",
    "curate",
    "curate_shards",
    "curation_status",
    "decontaminate",
    "default_steps",
    "document_hash",
    "download",
    "duplicate_lines",
    "duplicate_paragraphs",
    "exact_duplicates",
    "fineweb_quality",
    "from_service",
    "gopher_quality",
    "gopher_repetition",
    "gutenberg",
    "hold_out",
    "html_leftovers",
    "html_pages",
    "keep_percentiles",
    "language",
    "licenses",
    "make_step",
    "merge_rows",
    "minimum_length",
    "mix",
    "near_duplicates",
    "open_rows",
    "opt_out",
    "pack",
    "pack_corpus",
    "pack_parts",
    "positions_of",
    "privacy",
    "published",
    "quality_score",
    "read_corpus",
    "read_documents",
    "recipe",
    "repair",
    "repeated_lines",
    "row_dataset",
    "row_indices",
    "row_statistics",
    "row_scores",
    "semantic_duplicates",
    "shuffle_rows",
    "sources",
    "split_long",
    "standard_library",
    "temperature_weights",
    "text_rows",
    "training_arrays",
    "view_row",
    "weight_schedule",
    "white_space",
    "write_jsonl",
    "write_parquet",
]
