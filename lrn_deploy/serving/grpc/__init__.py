"""The service over gRPC: methods (:mod:`.server`), messages (:mod:`.codec`), health."""
