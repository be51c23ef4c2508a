"""Fused LRN kernels and their registration with TensorRT."""
