"""The client over HTTP/1.1.

:mod:`.language` translates, :mod:`.wire` writes and reads bytes, and :mod:`.sockets` and
:mod:`.streams` carry them, blocking and on an event loop.
"""
