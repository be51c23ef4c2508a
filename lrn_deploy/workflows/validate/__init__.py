"""Every artifact against the reference, on every backend."""
