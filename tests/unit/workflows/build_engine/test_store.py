"""What an engine's record tells of LRN, layer by layer of the network."""

from __future__ import annotations

from lrn_deploy.bundle import EngineLrn, LrnLayer
from lrn_deploy.lrn import LrnSpec
from lrn_deploy.workflows.build_engine.store import report_lrn


def layer(name: str, form: str = "kept", reason: str = "") -> LrnLayer:
    return LrnLayer.model_validate(
        {
            "name": name,
            "spec": LrnSpec(5),
            "form": form,
            "reason": reason,
            "input": f"{name}.in",
            "output": f"{name}.out",
            "shape": ("b", 8, 6, 6),
        }
    )


LAYERS = (
    layer("net.2"),
    layer("net.4", "written out", "its size is even"),
    layer("net.6", "reshaped"),
)
NODES = (
    EngineLrn(name="node_1", form="native"),
    EngineLrn(name="node_2", form="written out", reason="beta 0 is not from 0.01 to 1e+05"),
)


def test_each_layer_has_its_own_name_and_reason_in_the_networks_order() -> None:
    assert report_lrn(LAYERS, NODES) == (
        EngineLrn(name="net.2", form="native"),
        EngineLrn(name="net.4", form="written out", reason="by the export: its size is even"),
        EngineLrn(name="net.6", form="written out", reason="beta 0 is not from 0.01 to 1e+05"),
    )


def test_nodes_that_cannot_be_told_apart_stay_as_they_are() -> None:
    assert report_lrn(LAYERS, NODES[:1]) == NODES[:1]
    assert report_lrn(LAYERS[:2], NODES) == NODES
    assert report_lrn((), ()) == ()
