"""Images: the one way in, with its limits, for checks, classify and serving."""
