"""Ray: servers and classification on many machines, with the same answers as on one."""
