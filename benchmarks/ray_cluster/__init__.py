"""Replicas on two nodes of a Ray cluster on this machine: what they gain, and what is lost.

The network is the colours' one of the tests, behind a wait of 50 ms for each batch of one, as if it
ran elsewhere: two replicas on two cores can then show what two machines would. Every request has an
answer of its own, so one that was answered by another's row would be seen. Measured are one replica
and two; then, under load, a rolling update, the death of a replica's process, and that of a node.
"""
