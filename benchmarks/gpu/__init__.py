"""What is checked and measured on a GPU: one module for each stage of ``benchmarks.gpu_check``.

Each runs alone, too: ``python -m benchmarks.gpu.parity --out FOLDER``. As it goes on it writes
``FOLDER/NAME.json``, so that what was found is there whenever it is stopped. It ends with 0, with 1
if a check failed, or with the exit code of what is missing. With ``--dry`` it does the same on the
CPU and on the fake GPU of the tests, with few and small inputs: that shows that it would run, and
nothing else.
"""
