"""Sampling, statistics, the machine while it was measured, and the hardware floor."""
