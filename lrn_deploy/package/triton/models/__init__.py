"""Models of Triton's Python backend: their source is copied into packages, and runs there only.

They import nothing of this package, and take Python 3.9 or newer, which Triton's images have.
"""
