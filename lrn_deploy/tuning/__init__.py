"""Which way to run a network is the fastest that is accurate enough: models and pure functions."""
