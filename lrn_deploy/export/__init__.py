"""From PyTorch to the canonical ONNX graph, with every LRN kept whole where that is right."""

from lrn_deploy.export.bundle import ExportRequest, current_bundle, export_bundle
from lrn_deploy.export.graph import OnnxExport, to_onnx

__all__ = ["ExportRequest", "OnnxExport", "current_bundle", "export_bundle", "to_onnx"]
