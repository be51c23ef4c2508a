"""What Python programs call: a bundle with a method for each command, and a network to call.

``start`` makes bundles, ``bundle`` opens them and has the methods, ``network`` runs one, and
``options`` lets all of them take the workflows' options as keyword arguments. The public names are
those of :mod:`lrn_deploy`.
"""
