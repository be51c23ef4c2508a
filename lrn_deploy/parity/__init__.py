"""Whether two implementations agree: metrics, budgets, probes and sample inputs."""
