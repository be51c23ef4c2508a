"""For NVIDIA's Triton Inference Server: a model repository."""

from lrn_deploy.package.triton.repository import write

__all__ = ["write"]
