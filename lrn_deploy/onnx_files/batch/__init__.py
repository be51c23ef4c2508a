"""The batch of a file that is written for one image, freed where each row is proven to be alone."""

from lrn_deploy.onnx_files.batch.free import BATCH, free_batch

__all__ = ["BATCH", "free_batch"]
