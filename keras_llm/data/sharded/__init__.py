"""Curation in shards: stages over files of documents, on any executor.

What an input becomes does not depend on how it is cut into shards, nor on who
works on them: steps look at documents one by one, and those that compare them
are `StagedStep`s.
"""
