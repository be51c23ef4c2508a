"""HTTP/1.1 over asyncio: heads, bodies, connections, answers; knows no application.

The :mod:`.server` listens and has a :mod:`.connection` for each caller, which share :mod:`.shared`.
A connection reads a :mod:`.head` and a :mod:`.body`, asks the :mod:`.handler`, and writes the
:mod:`.message` that it gets as an :mod:`.answer`.
"""
