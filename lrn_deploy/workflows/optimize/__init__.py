"""A variant of the canonical graph for a target and a precision."""
