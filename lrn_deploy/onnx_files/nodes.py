"""Attributes of a message's nodes, and the opset that it says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import onnx
from onnx import helper


def set_opset(model: onnx.ModelProto, opset: int) -> None:
    """Say which opset of ONNX's own domain a model is written in, and no other domain."""
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", opset))


def attribute(node: onnx.NodeProto, name: str, absent: Any = None) -> Any:
    """The value of an attribute, or ``absent``."""
    for attribute in node.attribute:
        if attribute.name == name:
            return helper.get_attribute_value(attribute)
    return absent


def drop(nodes: Iterable[onnx.NodeProto], *names: str) -> None:
    """Drop attributes, in place."""
    for node in nodes:
        kept = [attribute for attribute in node.attribute if attribute.name not in names]
        if len(kept) < len(node.attribute):
            copies = [
                onnx.AttributeProto.FromString(attribute.SerializeToString()) for attribute in kept
            ]
            del node.attribute[:]
            node.attribute.extend(copies)
