"""Every call that lrn-server advertises, answer by answer against the real tritonserver.

``python -m benchmarks.conformance`` serves the same ONNX files by both, asks both the same with
Triton's own clients, compares (:mod:`.compare`), and records Triton's answers and the verdicts in
``results/conformance.json``. The test suite asks lrn-server alone and compares with those records.
"""
