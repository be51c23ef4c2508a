"""The models that are served: loaded, run, kept within memory, unloaded; knows no transport.

The :mod:`.repository` has the models by name, :mod:`.loading` makes a :mod:`.model` of a bundle,
and :mod:`.embedding` lets it give its last hidden layer too.
"""
