"""One thread for each runtime of a process of tests, as others run beside it.

Threads of a runtime wait for each other by spinning, ONNX Runtime's for 20 ms after every run, and
so take the processor from the other processes.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import Any


def use_one() -> None:
    """Of libraries that are not loaded yet."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def use_one_in_onnxruntime() -> None:
    """Where a program leaves their number to ONNX Runtime, once that is loaded."""
    library: Any = sys.modules.get("onnxruntime")
    if library is None or hasattr(library.InferenceSession, "in_one_thread"):
        return
    start = library.InferenceSession.__init__

    @functools.wraps(start)
    def started(self: Any, model: Any, options: Any = None, *others: Any, **named: Any) -> None:
        options = named.pop("sess_options", options) or library.SessionOptions()
        if options.intra_op_num_threads == 0:
            options.intra_op_num_threads = 1
        start(self, model, options, *others, **named)

    library.InferenceSession.__init__ = started
    library.InferenceSession.in_one_thread = True
