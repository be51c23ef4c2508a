"""The service over gRPC: methods (:mod:`.front`), messages (:mod:`.codec`), health."""
