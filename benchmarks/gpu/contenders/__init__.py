"""What is timed beside each other on a GPU: each runtime a process, which answers when it is asked.

So all take turns in one run, and none shares a process, its libraries or its crashes with another.
"""
