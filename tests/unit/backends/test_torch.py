from __future__ import annotations

import gc
import importlib.metadata
import sys
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own spelling
from torch import Tensor, nn

from lrn_deploy.backends import torch as backend
from lrn_deploy.backends.protocol import Probe
from lrn_deploy.backends.torch import TorchBackend, TorchSession
from lrn_deploy.bundle import ArtifactData, TensorSpec
from lrn_deploy.errors import BadInputError, MissingError
from lrn_deploy.extras import install

INPUT = TensorSpec(name="input", dtype="float32", shape=("batch", 4, 2, 2))
OUTPUT = TensorSpec(name="output", dtype="float32", shape=("batch", 4, 2, 2))


class TwoLrns(nn.Module):
    """Doubles, normalises by a module, adds one in place, normalises by the function."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LocalResponseNorm(3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x * 2)
        y += 1
        return F.local_response_norm(input=self.relu(y), size=5)


def session(module: nn.Module, outputs: int = 1) -> TorchSession:
    specs = [OUTPUT.model_copy(update={"name": f"output_{at}"}) for at in range(outputs)]
    return TorchBackend().open(module, [INPUT], specs if outputs > 1 else [OUTPUT])


def ones(batch: int = 2) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return {"input": np.ones((batch, 4, 2, 2), np.float32)}


def test_runs_in_evaluation_mode_without_gradients() -> None:
    with session(nn.Sequential(nn.Dropout(0.9), nn.Conv2d(4, 4, 1))) as opened:
        first, again = opened.run(ones())["output"], opened.run(ones())["output"]
    np.testing.assert_array_equal(first, again)


def test_shows_what_enters_every_lrn_in_call_order() -> None:
    with session(TwoLrns()) as opened:
        trace = opened.trace(ones(), lrn_inputs=True)
    assert len(trace.lrn_inputs) == 2
    np.testing.assert_array_equal(trace.lrn_inputs[0], np.full((2, 4, 2, 2), 2, np.float32))
    # The second one's input was computed in place in the first one's output.
    assert np.all(trace.lrn_inputs[1] > 2.9)


def test_watching_changes_nothing() -> None:
    x = {"input": np.random.default_rng(0).standard_normal((3, 4, 2, 2)).astype(np.float32)}
    with session(TwoLrns()) as opened:
        seen = opened.trace(x, lrn_inputs=True, modules=("norm", "relu", "")).outputs["output"]
        np.testing.assert_array_equal(opened.run(x)["output"], seen)
        assert opened.trace(x).lrn_inputs == ()


def test_shows_the_outputs_of_modules() -> None:
    with session(TwoLrns()) as opened:
        trace = opened.trace(ones(), modules=("norm", ""))
        np.testing.assert_array_equal(trace.modules[""], trace.outputs["output"])
        # norm's output as it was, although it is changed in place afterwards
        assert np.all(trace.modules["norm"] < 2.0)
        with pytest.raises(BadInputError, match="no module 'nrom'"):
            opened.trace(ones(), modules=("nrom",))


class Several(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> object:
        return {"tuple": (x, [x + 1]), "dict": {"a": x, "b": x + 1}}[self.kind]


@pytest.mark.parametrize("kind", ["tuple", "dict"])
def test_several_outputs_in_order(kind: str) -> None:
    with session(Several(kind), outputs=2) as opened:
        outputs = opened.run(ones())
    assert [float(outputs[f"output_{at}"].max()) for at in range(2)] == [1, 2]
    with session(Several(kind)) as opened, pytest.raises(BadInputError, match="2 tensors"):
        opened.run(ones())


def test_refuses_feeds_that_do_not_fit() -> None:
    with session(nn.Identity()) as opened, pytest.raises(BadInputError, match="float32"):
        opened.run({"input": np.ones((1, 4, 2, 2))})


def test_an_artifact_is_no_module() -> None:
    with pytest.raises(BadInputError, match="cannot run the artifact 'model'"):
        TorchBackend().load(ArtifactData("model", "onnx", b""))


def test_probe_tells_the_version() -> None:
    probe = TorchBackend().probe()
    assert (probe.available, probe.version, probe.detail) == (True, torch.__version__, "CPU")


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    hint = f"Install it with: {install('export')}"
    assert TorchBackend().probe() == Probe(False, None, "PyTorch is not installed.", hint)
    with pytest.raises(MissingError, match="not installed"):
        TorchBackend().open(nn.Identity(), [INPUT], [OUTPUT])


def test_a_torch_whose_libraries_do_not_load_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise OSError("libcudart.so: cannot open")

    monkeypatch.setattr(backend, "require_torch", broken)
    assert TorchBackend().probe() == Probe(
        False,
        importlib.metadata.version("torch"),
        "PyTorch does not import: libcudart.so: cannot open.",
        f"Install it with: {install('export')}",
    )


def test_a_session_says_what_computes() -> None:
    with session(nn.Identity()) as opened:
        assert (opened.device, opened.label) == ("cpu", "torch:cpu")
        version = importlib.metadata.version("torch")
        assert opened.described == f"PyTorch {version}, float32 on cpu"


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    probe = TorchBackend("cuda").probe()
    assert (probe.available, probe.version) == (False, torch.__version__)
    assert probe.detail == f"PyTorch {torch.__version__} sees no CUDA device."
    assert "nvidia-smi" in probe.hint
    with pytest.raises(MissingError, match=r"cannot run on cuda: PyTorch .* sees no CUDA"):
        TorchBackend("cuda").open(nn.Identity(), [INPUT], [OUTPUT])


def test_a_gpu_number_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")
    here = torch.__version__
    assert TorchBackend("cuda:2").probe() == Probe(
        False, here, "There is no cuda:2; PyTorch sees 2 GPU.", "Choose one of those."
    )
    for device, index in (("cuda:1", 1), ("cuda", 0)):
        assert TorchBackend(device).probe() == Probe(True, here, f"GPU {index}")


@pytest.mark.gpu
def test_runs_on_a_gpu_in_full_float32() -> None:
    if not TorchBackend("cuda").probe().available:
        pytest.skip("no GPU")
    module = nn.Conv2d(4, 4, 1)
    x = {"input": np.random.default_rng(0).standard_normal((2, 4, 2, 2)).astype(np.float32)}
    with session(module) as opened:
        truth = opened.run(x)["output"]
    with TorchBackend("cuda").open(module, [INPUT], [OUTPUT]) as opened:
        np.testing.assert_allclose(opened.run(x)["output"], truth, rtol=1e-5, atol=1e-6)


class Asking(nn.Module):
    """Keeps what PyTorch was set to while it ran."""

    def forward(self, x: Tensor) -> Tensor:
        self.grad = torch.is_grad_enabled()
        self.tf32 = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
        return x


@pytest.mark.parametrize("mine", [(True, False), (False, True)])
def test_gradients_and_tf32_are_off_while_it_runs_and_as_they_were_afterwards(
    mine: tuple[bool, bool],
) -> None:
    module, matmul, cudnn = Asking(), torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    try:
        matmul.allow_tf32, cudnn.allow_tf32 = mine
        with session(module) as opened:
            opened.run(ones())
        after = matmul.allow_tf32, cudnn.allow_tf32
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
    assert (module.grad, module.tf32) == (False, (False, False))
    assert torch.is_grad_enabled()
    assert after == mine


def test_what_enters_the_older_layer_is_shown_too() -> None:
    norm = nn.CrossMapLRN2d(3, alpha=0.5)
    x = {"input": np.random.default_rng(0).standard_normal((2, 4, 2, 2)).astype(np.float32)}
    with session(nn.Sequential(norm, nn.LocalResponseNorm(3))) as opened:
        trace = opened.trace(x, lrn_inputs=True)
    first, second = trace.lrn_inputs
    np.testing.assert_array_equal(first, x["input"])
    np.testing.assert_array_equal(second, norm(torch.from_numpy(x["input"])).numpy())


def test_nothing_of_a_trace_stays_at_the_module_and_nothing_of_a_session_in_memory() -> None:
    module = TwoLrns()
    opened = session(module)
    opened.trace(ones(), lrn_inputs=True, modules=("norm", ""))
    assert not module.norm._forward_hooks
    assert not module._forward_hooks
    held = weakref.ref(module)
    opened.close()
    del module
    gc.collect()
    assert held() is None
