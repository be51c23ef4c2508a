"""A mapping is a network's weights in one reading of its keys, or in none."""

from __future__ import annotations

import pytest
import torch

from lrn_deploy.errors import BadInputError
from lrn_deploy.network.fitting import Named, find_weights, fit_of

OWN = {"conv.weight": torch.zeros(2)}


def test_a_wrapper_comes_off_where_that_leaves_every_key_its_own() -> None:
    fit = fit_of(Named("", {"conv.module.weight": torch.ones(2)}), OWN)
    assert fit is not None
    assert fit.stripped == ("module.",)
    assert torch.equal(fit.state["conv.weight"], torch.ones(2))


def test_weights_that_would_fall_onto_each_other_without_their_wrapper_are_not_taken() -> None:
    """Which of the two the network is to have, nobody can say."""
    both = {"conv.weight": torch.ones(2), "conv.module.weight": torch.full((2,), 2.0)}
    assert fit_of(Named("", both), OWN) is None
    with pytest.raises(BadInputError, match=r"weights\.pt"):
        find_weights(both, OWN, "weights.pt", "")


def taken(content: object, mapping: str = "", file: str = "w.pt") -> str:
    """The name of the mapping that is taken."""
    return find_weights(content, OWN, file, mapping).mapping


def within(depth: int) -> object:
    content: object = {"conv.weight": torch.ones(2)}
    for _ in range(depth):
        content = {"a": content}
    return content


def test_mappings_are_found_down_to_the_eighth_level() -> None:
    assert taken(within(7)) == "/".join("a" * 7)
    with pytest.raises(BadInputError, match="holds no state dict"):
        taken(within(8))


def test_of_a_list_the_first_sixty_four_are_looked_at() -> None:
    weights = {"conv.weight": torch.ones(2)}
    assert taken([0] * 63 + [weights]) == "63"
    assert taken(({"x": 1}, weights)) == "1"
    with pytest.raises(BadInputError, match="holds no state dict"):
        taken([0] * 64 + [weights])


@pytest.mark.filterwarnings("ignore::UserWarning")  # of formats that are new or old
def test_only_plain_tensors_under_printable_names_are_weights() -> None:
    weight = torch.ones(2)
    others = (
        weight.to_sparse(),
        torch.empty(2, device="meta"),
        torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8),
        torch.nested.nested_tensor([weight]),
        [1.0, 1.0],
    )
    for other in others:
        with pytest.raises(BadInputError):
            taken({"conv.weight": other})
    with pytest.raises(BadInputError):
        taken({"a\nb": {"conv.weight": weight}})
    assert taken({1: {"conv.weight": weight}}) == "1"
    twice = {"conv.weight": weight}
    assert taken({"a": twice, "b": twice}) == "a"  # one mapping under two names is one


def test_a_mapping_is_chosen_by_its_name_or_by_the_first_word_of_its_keys() -> None:
    weight = torch.ones(2)
    both = {"a": {"conv.weight": weight}, "b": {"conv.weight": weight.clone()}}
    with pytest.raises(BadInputError, match=r"several weights that fit .* 'a', 'b'") as c:
        taken(both)
    assert c.value.hint == "Choose one: --weights 'w.pt#a'."
    assert taken(both, "b") == "b"
    with pytest.raises(BadInputError, match="no mapping of tensors named 'c'") as c:
        taken(both, "c")
    assert c.value.hint == "It holds: a, b."
    with pytest.raises(BadInputError, match="network: its outermost keys, 'a'") as c:
        taken({"conv.weight": weight, "a": {"conv.weight": weight.clone()}})
    assert c.value.hint == "Choose one: --weights 'w.pt#a'."
    parts = {"net": {"model.conv.weight": weight, "criterion.weight": torch.ones(1)}}
    assert taken(parts, "net/model") == "net/model"
    with pytest.raises(BadInputError, match="another network") as c:
        taken(parts)
    assert c.value.hint == "A part of it fits: --weights 'w.pt#net/model'."
    with pytest.raises(BadInputError, match="no mapping of tensors named 'x'") as c:
        taken({"conv.weight": weight}, "x")
    assert c.value.hint == "Leave out '#x'."
    with pytest.raises(BadInputError, match="holds no state dict"):
        taken({"epoch": 3}, "x")


def test_counters_may_be_missing_and_nothing_else() -> None:
    own = {"n.weight": torch.zeros(2), "n.num_batches_tracked": torch.tensor(7)}
    fit = fit_of(Named("", {"n.weight": torch.ones(2)}), own)
    assert fit is not None
    assert fit.state["n.num_batches_tracked"] == 7
    assert fit_of(Named("", {"n.num_batches_tracked": torch.tensor(1)}), own) is None
    more = {"n.weight": torch.ones(2), "other": torch.ones(1)}
    assert fit_of(Named("", more), own) is None
    assert fit_of(Named("", {"n.weight": torch.ones(3)}), own) is None
    assert fit_of(Named("", {"n.weight": torch.ones(2, dtype=torch.complex64)}), own) is None


def test_what_averaging_keeps_beside_the_weights_is_left_out() -> None:
    averaged = {"n_averaged": torch.tensor(3), "module.conv.weight": torch.ones(2)}
    fit = fit_of(Named("", averaged), OWN)
    assert fit is not None
    assert fit.stripped == ("n_averaged", "module.")
    own = {"n_averaged": torch.tensor(0), **OWN}
    kept = fit_of(Named("", {"n_averaged": torch.tensor(3), "conv.weight": torch.ones(2)}), own)
    assert kept is not None
    assert kept.stripped == ()


def test_shared_words_come_off_whole_and_not_the_last() -> None:
    own = {"weight": torch.zeros(2), "bias": torch.zeros(2)}
    saved = {"net.fc.weight": torch.ones(2), "net.fc.bias": torch.ones(2)}
    fit = fit_of(Named("", saved), own)
    assert fit is not None
    assert fit.stripped == ("net.fc.",)
    deep = ".".join("abcdefgh")
    assert fit_of(Named("", {f"{deep}.weight": torch.ones(2), f"{deep}.bias": torch.ones(2)}), own)
    deeper = f"{deep}.i"
    assert not fit_of(
        Named("", {f"{deeper}.weight": torch.ones(2), f"{deeper}.bias": torch.ones(2)}), own
    )
    assert not fit_of(Named("", {"net.weight": torch.ones(2), "nest.bias": torch.ones(2)}), own)


def test_the_nearest_mapping_is_the_one_whose_faults_are_told() -> None:
    own = {"a.weight": torch.zeros(2), "a.bias": torch.zeros(2)}
    content = {
        "far": {"x": torch.ones(1), "y": torch.ones(1), "z": torch.ones(1)},
        "near": {"a.weight": torch.ones(3)},
        "nearest": {"a.weight": torch.ones(2), "b": torch.ones(1)},
    }
    with pytest.raises(BadInputError) as caught:
        find_weights(content, own, "w.pt", "")
    assert caught.value.message == (
        "'w.pt' holds the weights of another network under 'nearest'; missing: a.bias; "
        "unexpected: b."
    )
    unlike = {"one": {"x": torch.ones(1)}, "two": {"x": torch.ones(1), "y": torch.ones(1)}}
    with pytest.raises(BadInputError, match="under 'two'"):
        find_weights(unlike, own, "w.pt", "")
    with pytest.raises(BadInputError, match=r"a\.weight is \(3,\), should be \(2,\)"):
        find_weights(content, own, "w.pt", "near")
    with pytest.raises(BadInputError) as caught:
        find_weights({"a.weight": torch.ones(2)}, own, "m-00001-of-00002.pt", "")
    assert "give the index" in caught.value.hint


def test_five_names_are_listed_and_the_rest_is_counted() -> None:
    own = {f"k{at}": torch.zeros(1) for at in range(7)}
    with pytest.raises(BadInputError, match="missing: k1, k2, k3, k4, k5 and 1 more\\."):
        find_weights({"k0": torch.ones(1)}, own, "w.pt", "")
    with pytest.raises(BadInputError, match="missing: k2, k3, k4, k5, k6\\."):
        find_weights({"k0": torch.ones(1), "k1": torch.ones(1)}, own, "w.pt", "")
    long = {"k" * 80: torch.ones(1), "l" * 81: torch.ones(1)}
    with pytest.raises(BadInputError, match=f"unexpected: {'k' * 80}, {'l' * 80}…"):
        find_weights(long, own, "w.pt", "")
