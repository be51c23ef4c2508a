"""How many servers an arrival rate and an objective take: a queueing model fed by measured times.

:mod:`.profiles` reads how long batches take, :mod:`.service` adds what the server adds,
:mod:`.bulk_queue` says how long requests then take at a rate, :mod:`.wire` what a network card
carries, and :mod:`.plan` joins them to a number of machines. Nothing is run or measured here.
"""
