"""Load for servers that speak the Open Inference Protocol, and what they make of it.

:mod:`.drive` sends by a plan (:mod:`.plans`) through a sender (:mod:`.http`, :mod:`.grpc`), and
notes when each request was due, was sent and was answered. :mod:`.measures` makes figures of that,
:mod:`.ramp` looks for the knee, :mod:`.load` joins all of it to a report (:mod:`.schema`).
"""
