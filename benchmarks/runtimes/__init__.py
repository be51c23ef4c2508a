"""Latency and error of this project's artifacts against the runtimes that users would pick.

``python -m benchmarks.runtimes`` measures, ``python -m benchmarks.runtimes.draw`` draws the table
and the chart in the documentation again from the recorded result.
"""
