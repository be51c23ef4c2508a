"""Images: the one way in, with its limits, for checks, classify, calibration and serving.

:mod:`~lrn_deploy.images.collect` finds them, :mod:`~lrn_deploy.images.decode` makes 8-bit pixels
of any file or refuses it, :mod:`~lrn_deploy.images.preprocess` makes the network's input of those,
and :mod:`~lrn_deploy.images.examples` has real ones to try. Nothing is imported here, so that the
command line's help needs no Pillow.
"""
