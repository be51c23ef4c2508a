"""The page at ``/``: its files in memory, the card of a model, and where a network looks.

:mod:`.assets` holds what browsers load, :mod:`.card` says what a model is, and :mod:`.occlusion`
covers parts of an image. What people see is in ``assets/``: plain HTML, CSS and JavaScript modules
as a browser takes them.
"""
