"""What becomes a batch, when, and what a caller gets of it; knows no model and no transport.

A :mod:`.job` waits in the :mod:`.queue`, fairly (:mod:`.fair_queue`), until the :mod:`.policy` lets
a batch of it leave; the :mod:`.batcher` gives that to an :mod:`.instance`, which joins and splits
its :mod:`.rows`. The :mod:`.ledger` notes how long it took, and :mod:`.statistics` counts it; the
answers come back by :mod:`.delivery`.
"""
