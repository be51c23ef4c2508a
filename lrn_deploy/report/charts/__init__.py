"""Charts as inline SVG, from numbers alone."""
