"""Other servers for the same ONNX file, each in an environment of its own under ``.peers/``.

The files ``*_app.py`` and ``triton_model.py`` run there, without this package: each is what its
server's documentation recommends for a network that is served in batches.
"""
