"""LRN in a graph: proven, made one node, written out, lowered for processors, fused."""
