"""The inference server: Open Inference Protocol in front, bundles behind.

A request passes four rooms, each of which knows only those below: a transport (:mod:`.rest` over
:mod:`.http`, or :mod:`.grpc`) turns bytes into arrays, the service (:mod:`.service`) decides
whether it is let in and has every operation, a served model (:mod:`.repository`) checks the arrays
against its inputs, and a batcher (:mod:`.batching`) runs them together with others and gives each
caller its own rows. What a transport writes down is in :mod:`.protocol`; what is noted of a
request, in :mod:`.telemetry`.
"""
