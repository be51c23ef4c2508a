"""What is for training only is cut, and said; phases, levels and stages are Caffe's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lrn_deploy.caffe import read, run
from lrn_deploy.errors import BadInputError
from tests.support.caffe_files import deploy, write

RNG = np.random.default_rng(5)
BLOBS = {
    name: [RNG.normal(0, 1, shape).astype(np.float32), np.zeros(shape[0], np.float32)]
    for name, shape in (("c", (4, 3, 3, 3)), ("f", (5, 36)), ("aux", (5, 36)))
}
TRAIN_VAL = """
name: "net"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { mirror: true crop_size: 5 mean_file: "/data/mean.binaryproto" }
  data_param { source: "/data/train" backend: LMDB batch_size: 256 } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 5 mean_value: 104 mean_value: 117 mean_value: 123 scale: 0.5 }
  data_param { source: "/data/val" backend: LMDB batch_size: 50 } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "aux" type: "InnerProduct" bottom: "c" top: "aux"
  inner_product_param { num_output: 5 } }
layer { name: "aux/loss" type: "SoftmaxWithLoss" bottom: "aux" bottom: "label" top: "aux/loss"
  loss_weight: 0.3 }
layer { name: "drop" type: "Dropout" bottom: "c" top: "c" include { phase: TRAIN } }
layer { name: "f" type: "InnerProduct" bottom: "c" top: "f"
  inner_product_param { num_output: 5 } }
layer { name: "labels" type: "Power" bottom: "label" top: "label2" }
layer { name: "accuracy" type: "Accuracy" bottom: "f" bottom: "label2" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "f" bottom: "label" top: "loss" }
"""


def test_a_train_val_prototxt_becomes_what_is_deployed(tmp_path: Path) -> None:
    network = read(*write(tmp_path, TRAIN_VAL, BLOBS))
    assert [layer.name for layer in network.layers] == ["c", "f"]
    assert network.outputs == {"f": (5,)}
    assert network.inputs[0].shape == (3, 5, 5)
    assert network.transform is not None
    assert network.transform.said == {
        "colors": "bgr",
        "scale": 0.5,
        "mean": (52.0, 58.5, 61.5),
        "std": (1.0, 1.0, 1.0),
    }
    told = "\n".join(network.told)
    for part in ("data layer 'data' is cut; 'data' becomes an input", "SoftmaxWithLoss 'loss'",
                 "Accuracy 'accuracy'", "'labels' is cut: it needs labels only",
                 "helped training only are cut: 'aux'"):  # fmt: skip
        assert part in told
    x = RNG.normal(0, 1, (2, 3, 5, 5))
    assert run(network, {"data": x})["f"].shape == (2, 5)


def test_what_is_cut_needs_no_weights(tmp_path: Path) -> None:
    blobs = {name: values for name, values in BLOBS.items() if name != "aux"}
    with pytest.raises(BadInputError, match="'aux' has no weights"):
        read(*write(tmp_path, TRAIN_VAL.replace("loss_weight: 0.3", ""), blobs))
    assert read(*write(tmp_path, TRAIN_VAL, blobs)).outputs == {"f": (5,)}


def test_the_input_s_size_is_asked_for_where_nothing_says_it(tmp_path: Path) -> None:
    text = TRAIN_VAL.replace("crop_size: 5 mean_value", "mean_value")
    with pytest.raises(BadInputError, match="is not said") as caught:
        read(*write(tmp_path, text, BLOBS))
    assert "--shape" in caught.value.hint
    network = read(*write(tmp_path, text, BLOBS), input_shape=(3, 5, 5))
    assert network.inputs[0].shape == (3, 5, 5)


def test_a_layer_that_needs_a_label_is_refused(tmp_path: Path) -> None:
    text = TRAIN_VAL + 'layer { name: "x" type: "Eltwise" bottom: "f" bottom: "label" top: "x" }'
    with pytest.raises(BadInputError, match="needs 'label', a label of the data layer"):
        read(*write(tmp_path, text, BLOBS))


RULES = [
    ("", True),
    ("include { phase: TEST }", True),
    ("include { phase: TRAIN }", False),
    ("exclude { phase: TRAIN }", True),
    ("exclude { phase: TEST }", False),
    ("include { phase: TRAIN } include { phase: TEST }", True),
    ("include { stage: 'deploy' }", True),
    ("include { stage: 'deploy' stage: 'other' }", False),
    ("include { not_stage: 'deploy' }", False),
    ("include { not_stage: 'other' }", True),
    ("include { min_level: 2 }", True),
    ("include { min_level: 3 }", False),
    ("include { max_level: 1 }", False),
    ("include { min_level: 1 max_level: 2 phase: TEST }", True),
    ("exclude { min_level: 1 phase: TRAIN }", True),
]


@pytest.mark.parametrize(("rule", "there"), RULES)
def test_rules_of_phase_level_and_stage(tmp_path: Path, rule: str, there: bool) -> None:
    text = 'state { phase: TRAIN level: 2 stage: "deploy" }' + deploy(
        (3, 5, 5),
        'layer { name: "r" type: "ReLU" bottom: "data" top: "y" }'
        f'layer {{ name: "p" type: "Power" bottom: "y" top: "y" {rule} }}',
    )
    network = read(*write(tmp_path, text, BLOBS))
    assert ("p" in [layer.name for layer in network.layers]) == there


def test_a_stage_can_be_given(tmp_path: Path) -> None:
    text = deploy(
        (3, 5, 5),
        'layer { name: "r" type: "ReLU" bottom: "data" top: "y" }'
        'layer { name: "p" type: "Power" bottom: "y" top: "y" include { stage: "x" } }',
    )
    files = write(tmp_path, text, BLOBS)
    assert len(read(*files).layers) == 1
    assert len(read(*files, stages=("x",)).layers) == 2


def test_rules_to_include_and_to_exclude_are_not_mixed(tmp_path: Path) -> None:
    text = deploy(
        (3, 5, 5),
        'layer { name: "r" type: "ReLU" bottom: "data" top: "y" include { phase: TEST } '
        "exclude { phase: TRAIN } }",
    )
    with pytest.raises(BadInputError, match="not both"):
        read(*write(tmp_path, text, BLOBS))
