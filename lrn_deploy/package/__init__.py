"""A bundle made ready for where it is to run: other servers, clusters, and one file."""
