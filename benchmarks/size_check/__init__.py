"""What ``lrn-deploy size`` predicts beside what a simulation and a real server do.

``python -m benchmarks.size_check`` measures and writes ``results/size.json``. The server, its
network in one thread, has one core and the load generator another, so that neither takes the
other's time.
"""
