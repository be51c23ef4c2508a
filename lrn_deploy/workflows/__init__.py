"""What the commands do: each joins rooms below, in a folder of its own where it is large."""
