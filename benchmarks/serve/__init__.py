"""lrn-server beside tritonserver, LitServe and BentoML, all with the same ONNX file.

``python -m benchmarks.serve`` measures and writes ``results/serve.json``. All servers of a part are
started, and then take turns of a second or more, the others stopped meanwhile, so what slows the
machine down for a while slows all of them.
"""
