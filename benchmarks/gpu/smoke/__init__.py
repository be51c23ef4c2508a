"""Does the installed TensorRT for RTX run on this GPU at all? Nothing but NumPy is needed.

``stage`` is the stage ``smoke`` of ``benchmarks.gpu_check``, ``row`` one of its child processes.
"""
