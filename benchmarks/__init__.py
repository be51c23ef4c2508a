"""Measurements against other tools, each written to ``results/*.json`` with its raw samples.

Run them from the top of the repository: ``python -m benchmarks.export_time``.
"""
