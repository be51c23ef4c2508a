"""The client over gRPC: :mod:`.language` translates, :mod:`.channels` carries it, both ways."""
