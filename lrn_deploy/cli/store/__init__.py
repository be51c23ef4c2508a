"""The commands that copy bundles to where servers find them, and from there."""
