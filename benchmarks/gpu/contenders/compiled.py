"""PyTorch compiled, with the CUDA graphs of ``reduce-overhead``: one precision in one process.

Compiling takes seconds for each batch size, so several such processes prepare side by side. Which
precision, ``LRN_COMPILED`` says: ``fp32``, ``tf32``, ``fp16``; ``fp16-last`` has channels last, and
``fp16-last-fused`` our LRN kernels as well.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from functools import partial

import torch

from benchmarks.gpu.contenders import COMPILED
from benchmarks.gpu.contenders.torch import end_to_end, load, own_stream, timed
from benchmarks.gpu.contenders.worker import Candidate, Ready, answer
from benchmarks.gpu.made import BATCHES
from benchmarks.gpu.record import StageOptions, run_stage


def prepare(options: StageOptions) -> Ready:
    """One precision at every batch size."""
    ready = Ready()
    precision, *more = os.environ[COMPILED].split("-")
    own_stream(options)
    network = load(options, precision, last="last" in more, fused="fused" in more)
    how = {"backend": "eager"} if options.dry else {"mode": "reduce-overhead"}
    network = replace(network, module=torch.compile(network.module, dynamic=False, **how))  # type: ignore[call-overload] # torch's
    words = {"last": "channels last", "fused": "fused"}
    name = ", ".join([f"torch.compile {precision}", *(words[item] for item in more)])
    for batch in BATCHES[:1] if options.dry else BATCHES:

        def make(batch: int = batch) -> Candidate:
            x = network.input(batch)
            for _ in range(3):  # compiled, recorded, replayed
                network.run(x)
            run = partial(timed, partial(network.run, x), network.device)
            return Candidate(name, precision, batch, run, end_to_end(network, batch))

        ready.add(name, batch, make)
    return ready


if __name__ == "__main__":
    sys.exit(run_stage(lambda options: answer(prepare, options)))
