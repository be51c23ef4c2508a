"""TensorRT: build engines anywhere, run them where there is a GPU.

``flavor`` is the only module that imports tensorrt or tensorrt_rtx and the only place that knows
their differences.
"""
