"""The inference server: Open Inference Protocol in front, bundles behind.

A request passes four rooms, each of which knows only the next: a front (:mod:`.http_front`,
:mod:`.grpc_front`) that speaks a transport, a codec (:mod:`.wire`) that turns bytes into arrays, a
served model (:mod:`.model`) that checks them against its inputs, and a batcher (:mod:`.batcher`)
that runs them together with others and gives each caller its own rows.
"""
