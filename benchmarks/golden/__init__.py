"""``make golden``: networks that were really trained, imported and held against others' answers.

Levi and Hassner's age and gender networks, and OpenFace's, lie in packages of PyPI's. The licence
of the former is open: they are fetched by whoever runs this, into a folder that Git ignores, and
are never committed, shipped or shown. What is written is numbers, ``results/trained.json``.
"""
