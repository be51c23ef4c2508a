"""One file for each way to run an artifact, behind one protocol."""
