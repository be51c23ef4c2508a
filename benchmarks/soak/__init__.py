"""A server under half its load for ten minutes: does it hold more and more?

``make soak`` measures how much a real server answers and asks half of that for ten minutes, by HTTP
and gRPC, tensors and images, right and wrong, with clients that leave half way. Each second the
server's memory, open files and threads are looked at. The slope of each, with its 95 % interval,
must lie below a bound; ``results/soak.json`` has all samples. ``python -m benchmarks.soak --leak
memory`` plants a leak, and must fail.
"""
