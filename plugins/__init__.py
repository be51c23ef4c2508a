"""The fused LRN kernels, as PyTorch operators and as a TensorRT plugin; see docs/plugins.md.

============== =====================================================================
``fusion``     what is fused, and what the kernel covers
``kernels``    the kernel, in Triton
``launch``     its compile-time constants and its grid
``compile``    PTX and cubin for an architecture, without a GPU
``gpu``        the kernel on PyTorch tensors
``operators``  ``torch.ops.lrn_deploy.relu_lrn_maxpool`` and its siblings
``rewrite``    ``fuse_lrn(model)``
``tensorrt``   the plugin for TensorRT
============== =====================================================================

Importing this package imports neither torch nor Triton nor TensorRT.
"""
