"""Duplicates and overlaps: documents, paragraphs, lines, benchmark texts.

Steps that compare documents are `StagedStep`s: rounds over shards, so that
they run on many machines as on one.
"""
