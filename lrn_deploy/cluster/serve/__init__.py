"""``serve --engine ray``: replicas of our server under Ray Serve, behind our own HTTP."""
