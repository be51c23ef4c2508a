"""What is checked and measured on a GPU: one module for each stage of ``benchmarks.gpu_check``.

Each runs alone, too: ``python -m benchmarks.gpu.parity --out FOLDER``. It writes ``FOLDER/NAME.json``
as it goes on, so that what was found is there whenever it is stopped, and ends with 0, with 1 if a
check failed, or with the exit code of what is missing. With ``--dry`` it does the same on the CPU
and on the fake GPU of the tests, with few and small inputs: that shows that it would run, and
nothing else.
"""
