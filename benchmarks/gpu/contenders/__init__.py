"""What is timed beside each other on a GPU: each runtime a process, which answers when it is asked.

So all take turns in one run, and none shares a process, its libraries or its crashes with another.
Which variables tell a process what to time stands here, where nothing is imported.
"""

from __future__ import annotations

COMPILED = "LRN_COMPILED"
COMPILED_KINDS = ("fp32", "tf32", "fp16", "fp16-last", "fp16-last-fused")
ENGINES = "LRN_ENGINES"
GRAPHS = "LRN_GRAPHS"
FORMS = "forms"
"""The value of the two last ones that means other forms instead of the bundle's own."""
