"""Commands around a server that runs: who may use it, and what it can bear."""
