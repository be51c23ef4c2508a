"""The Open Inference Protocol without its encodings: metadata, parameters, shared memory."""
