"""What is told about requests: the log, spans, metrics."""
