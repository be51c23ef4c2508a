"""The models that are served: loaded, run, kept within memory, unloaded; knows no transport."""
