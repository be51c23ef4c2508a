"""Requests that were changed at random, each of which must be answered rightly or refused.

``python -m benchmarks.fuzz_server`` sends 100,000 by HTTP and 20,000 by gRPC to a real server and
writes how many were told what to ``results/server_fuzz.json``. Requests are made of a seed and a
number, so that each can be made again: ``--only NUMBER`` shows one and what becomes of it.

- ``known``: requests that are sent in between, and their answers, computed by hand.
- ``http_tries``, ``pieces``, ``grpc_tries``: how requests are changed.
- ``wire``: how they are sent, and their answers read.
- ``verdict``: what an answer must be, and what the network gives for what was asked.
"""
