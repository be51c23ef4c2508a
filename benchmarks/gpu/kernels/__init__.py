"""The fused LRN kernels on a GPU: are they right, how fast beside others, and with which tiles?

``right``, ``fast`` and ``tiles`` are stages of ``benchmarks.gpu_check``; the rest is theirs.
"""
