"""The reports as one HTML page."""
