"""The fastest way to run a bundle here within an error."""
