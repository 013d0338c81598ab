"""Task files, in the format of the lm-evaluation-harness.

A file whose name begins with "_" is only included by others. See
`docs/benchmarks.md` for what stands in them.
"""
