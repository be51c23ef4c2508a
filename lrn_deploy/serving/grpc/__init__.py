"""The protocol over gRPC, its health service and its reflection."""
