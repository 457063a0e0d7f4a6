"""Odd values and odd files, made by the ten thousand from a seed, and what the pipeline must make of them.

`python -m etl_assets_tests.fuzz --help`, or `make fuzz`. A round is a few imports; how it goes on from there:
values.py (one cell), layouts.py (a row of a format), rounds.py (the imports of a round), files.py (as files),
checking.py (runs the pipeline and compares it with the oracle), shrinking.py (the smallest part that still fails).
"""
