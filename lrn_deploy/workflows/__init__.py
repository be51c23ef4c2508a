"""What the commands do: each joins rooms below, in a folder of its own if it is more than a file."""
