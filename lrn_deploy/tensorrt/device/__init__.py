"""Engines on a GPU: CUDA, contexts, buffers, runs and their times."""
