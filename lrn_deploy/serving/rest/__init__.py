"""The routes, and how the protocol is written in JSON, in binary and in images."""
