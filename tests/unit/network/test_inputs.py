"""What a network's inputs are, by whoever says it, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lrn_deploy.bundle import TensorSpec
from lrn_deploy.errors import BadInputError
from lrn_deploy.network import load_network
from lrn_deploy.network.inputs import arguments, describe_inputs, one_input
from tests.support.several_inputs import FILE, IMAGE, TOKENS, Captioned, KeywordOnly, Many, Shown


def nameless(spec: TensorSpec) -> TensorSpec:
    return spec.model_copy(update={"name": ""})


class One(nn.Module):
    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        return x * scale


@pytest.mark.parametrize(
    "given", [(TOKENS, IMAGE), (IMAGE, TOKENS), (nameless(IMAGE), nameless(TOKENS))]
)
def test_inputs_stand_in_the_order_of_forward(given: tuple[TensorSpec, ...]) -> None:
    assert describe_inputs(Captioned(), "f", given) == (IMAGE, TOKENS)


def test_a_single_input_without_a_name_is_called_input() -> None:
    spec = one_input((8,), name="", dtype="int32")
    (found,) = describe_inputs(One(), "f", (spec,))
    assert (found.name, found.dtype, found.shape) == ("input", "int32", ("batch", 8))


def test_a_single_input_can_be_named() -> None:
    assert describe_inputs(One(), "f", (one_input((8,), name="x"),))[0].name == "x"


def test_examples_tell_shapes_types_and_the_range_of_integers() -> None:
    image, tokens = describe_inputs(Shown(), "f")
    assert image == IMAGE
    assert (tokens.dtype, tokens.shape) == (TOKENS.dtype, TOKENS.shape)
    assert tokens.values is not None
    assert (tokens.values.low, tokens.values.high, tokens.values.source) == (1, 6, "example")


@pytest.mark.parametrize(
    ("example", "told"),
    [
        (torch.tensor([[7, 2], [3, 5]], dtype=torch.int32), (2, 7)),
        (torch.tensor([[7, 2], [3, 5]], dtype=torch.uint8), (2, 7)),
        (torch.tensor([[True], [False]]), None),
        (torch.zeros(2, 0, dtype=torch.int64), None),
        (torch.tensor([[0.5]]), None),
    ],
)
def test_the_range_of_integers_is_known_where_there_are_any(
    example: Tensor, told: tuple[int, int] | None
) -> None:
    module = One()
    module.example_inputs = [example]  # type: ignore[assignment]  # as users may set it
    (spec,) = describe_inputs(module, "f")
    values = spec.values and (spec.values.low, spec.values.high)
    assert (values, spec.shape) == (told, ("batch", *example.shape[1:]))


def test_inputs_that_forward_has_no_name_for_are_numbered() -> None:
    spec = nameless(one_input((3, 4, 4)))
    assert [one.name for one in describe_inputs(Many(), "f", (spec,) * 3)] == [
        "input_0", "input_1", "input_2",
    ]  # fmt: skip
    assert [one.name for one in describe_inputs(Many(), "f", (spec,))] == ["input"]
    named = (one_input((3,), name="b"), one_input((3,), name="a"))
    assert describe_inputs(Many(), "f", named) == named


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.bfloat16])
def test_examples_of_other_floats_are_float32_as_the_network_will_be(dtype: torch.dtype) -> None:
    module = One()
    module.example_inputs = torch.zeros(2, 4, dtype=dtype)  # type: ignore[assignment]
    assert describe_inputs(module, "f") == (one_input((4,)),)


def test_what_the_user_says_goes_before_the_examples() -> None:
    other = one_input((3, 9, 9), name="image")
    assert describe_inputs(Shown(), "f", (other, TOKENS)) == (other, TOKENS)


WRONG: dict[str, tuple[tuple[TensorSpec, ...], str]] = {
    "unknown name": (
        (IMAGE, one_input((5,), name="token")),
        "has no input 'token'; it takes image",
    ),
    "missing": ((IMAGE,), r"takes 2 inputs \(image, tokens\), and nothing is said of 'tokens'"),
    "one for two": ((nameless(IMAGE),), "nothing is said of 'tokens'"),
    "too many": ((nameless(IMAGE),) * 3, r"3 inputs are given, but forward\(\) takes 2"),
    "twice": ((IMAGE, IMAGE), "takes each input once"),
    "half named": ((IMAGE, nameless(TOKENS)), "Some inputs have a name and some have none"),
    "nobody says": ((), r"shapes of the 2 inputs of 'f' \(image, tokens\) are not known"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_forward_is_refused(case: str) -> None:
    given, sentence = WRONG[case]
    with pytest.raises(BadInputError, match=sentence) as caught:
        describe_inputs(Captioned(), "f", given)
    assert "--shape name=N:int64" in caught.value.hint


@pytest.mark.parametrize("dtype", ["float64", "int16", "complex64", "int65"])
def test_a_type_that_is_not_exported_is_refused(dtype: str) -> None:
    with pytest.raises(BadInputError, match=f"type {dtype} cannot be exported") as caught:
        describe_inputs(Captioned(), "f", (IMAGE, one_input((5,), name="tokens", dtype=dtype)))
    assert "'tokens'" in caught.value.message
    assert "float32, int64" in caught.value.hint


@pytest.mark.parametrize(
    ("examples", "sentence"),
    [
        ([], "are no tensors"),
        ({"image": 3}, "are no tensors"),
        (lambda: None, "are no tensors"),
        ((torch.zeros(2, 3), [torch.zeros(2)]), "are no tensors"),
        ((torch.zeros(2, 3), torch.zeros(1, 3)), r"no batch in common: .* \[2, 3\], \[1, 3\]"),
        ((torch.zeros(2, 3), torch.tensor(1.0)), "no batch in common"),
        (torch.zeros(0, 3), "no batch in common"),
    ],
)
def test_examples_that_are_none_are_refused(examples: Any, sentence: str) -> None:
    module = Captioned()
    module.example_inputs = examples
    with pytest.raises(BadInputError, match=sentence):
        describe_inputs(module, "f")


def test_a_network_is_called_by_position_or_by_name_as_it_takes_it() -> None:
    values = {"image": 1, "tokens": 2}
    assert arguments(Captioned(), values) == ((1, 2), {})
    assert arguments(KeywordOnly(), values) == ((), values)
    assert arguments(Many(), values) == ((1, 2), {})
    assert arguments(One(), {"input": 1}) == ((1,), {})


def test_a_network_of_several_inputs_takes_no_image() -> None:
    loaded = load_network(f"{FILE}:Captioned", inputs=(IMAGE, TOKENS))
    assert loaded.inputs == (IMAGE, TOKENS)
    assert loaded.preprocessing is None
    assert loaded.source.input_shape == (3, 8, 8)


def test_the_zoo_knows_its_own_inputs() -> None:
    for wrong in (one_input((1, 9, 9)), one_input((1, 8, 8), dtype="int64")):
        with pytest.raises(BadInputError, match="takes inputs of shape"):
            load_network("digits", inputs=(wrong,))
    assert load_network("digits", inputs=(one_input((1, 8, 8), name=""),)).labels
