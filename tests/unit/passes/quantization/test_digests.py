"""What computes a value tells its digest, and nothing else does."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest

from lrn_deploy.passes.quantization.digests import value_digests

PLAIN = """
<ir_version: 9, opset_import: ["" : 18]>
net (float[N, 3] x) => (float[N, 3] y)
<float[3] w = {1, 2, 3}, float[3] b = {0, 0, 1}>
{
    scaled = Mul(x, w)
    bent = LeakyRelu<alpha = 0.5>(scaled)
    y = Sub(bent, b)
}
"""


def digests(text: str) -> dict[str, bytes]:
    model = ir.from_proto(onnx.parser.parse_model(text))
    return {str(value.name): digest for value, digest in value_digests(model).items()}


def test_every_value_has_its_own() -> None:
    found = digests(PLAIN)
    assert set(found) == {"x", "w", "b", "scaled", "bent", "y"}
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ("{1, 2, 3}", "{1, 2, 4}", {"w", "scaled", "bent", "y"}),
        ("float[3] w = {1, 2, 3}", "float[1, 3] w = {1, 2, 3}", {"w", "scaled", "bent", "y"}),
        ("alpha = 0.5", "alpha = 0.25", {"bent", "y"}),
        ("Sub(bent, b)", "Sub(b, bent)", {"y"}),
        ("Sub(bent, b)", "Add(bent, b)", {"y"}),
        ("Sub(bent, b)", "ai.other.Sub(bent, b)", {"y"}),
        ("(float[N, 3] x)", "(float16[N, 3] x)", {"x", "scaled", "bent", "y"}),
        ('"" : 18', '"" : 19', {"scaled", "bent", "y"}),
    ],
)
def test_what_differs_upstream_changes_it(before: str, after: str, changed: set[str]) -> None:
    assert before in PLAIN
    plain, other = digests(PLAIN), digests(PLAIN.replace(before, after))
    assert {name for name in plain if plain[name] != other[name]} == changed


def test_names_and_what_else_is_computed_make_no_difference() -> None:
    other = digests(
        PLAIN.replace("scaled", "times").replace("y = Sub", "aside = Neg(x)\n    y = Sub")
    )
    assert other["times"] == digests(PLAIN)["scaled"]
    assert other["y"] == digests(PLAIN)["y"]


def test_outputs_of_one_node_differ() -> None:
    found = digests("""
    <ir_version: 9, opset_import: ["" : 18]>
    net (float[4] x) => (float[2] a, float[2] b) { a, b = Split<num_outputs = 2>(x) }
    """)
    assert found["a"] != found["b"]


def test_a_graph_within_sees_what_was_computed_before_it() -> None:
    text = """
    <ir_version: 9, opset_import: ["" : 18]>
    net (bool c, float[2] x) => (float[2] y) {
        inner = Neg(x)
        y = If (c) <
            then_branch = yes () => (float[2] a) { a = Identity(inner) },
            else_branch = no () => (float[2] b) { b = Identity(x) }
        >
    }
    """
    assert digests(text)["y"] != digests(text.replace("Neg", "Abs"))["y"]
