"""What joins backends, parity and latency: validate and deploy."""
