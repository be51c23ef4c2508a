"""ONNX Runtime: what it is asked, what it answers, and that it never runs elsewhere silently."""

from __future__ import annotations

import re
import sys
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from lrn_deploy.backends import onnxruntime as backend
from lrn_deploy.backends.onnxruntime import OnnxRuntimeBackend, OnnxRuntimeSession
from lrn_deploy.bundle import ArtifactData
from lrn_deploy.errors import (
    BadInputError,
    CannotWriteError,
    DamagedError,
    MissingError,
    NoKernelError,
)
from lrn_deploy.extras import install


def artifact(node: onnx.NodeProto, shape: list[Any], *, kind: int = TensorProto.FLOAT) -> Any:
    x = helper.make_tensor_value_info("x", kind, shape)
    y = helper.make_tensor_value_info("y", kind, shape)
    graph = helper.make_graph([node], "graph", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return ArtifactData(name="model", format="onnx", data=model.SerializeToString())


LRN = helper.make_node("LRN", ["x"], ["y"], size=3, alpha=3.0, beta=1.0, bias=1.0)
NEGATION = helper.make_node("Neg", ["x"], ["y"])


class Provider:
    """Stands in for onnxruntime's session class: makes real sessions of what the CPU can do."""

    def __init__(self, actual: str, *, fails: bool = False) -> None:
        self.actual = actual
        self.fails = fails
        self.asked: list[Any] = []
        self.without_cpu: list[bool] = []

    def __call__(
        self, data: bytes, options: Any, providers: list[Any], enable_fallback: int
    ) -> Any:
        assert enable_fallback == 0
        assert options.log_severity_level == 4, "its errors are raised, and told once"
        self.asked.append(providers)
        try:
            entry = options.get_session_config_entry("session.disable_cpu_ep_fallback")
        except RuntimeError:  # it was never set
            entry = "0"
        self.without_cpu.append(entry == "1")
        if self.fails:
            raise RuntimeError("libcudnn.so.9: cannot open shared object file")
        session = REAL_SESSION(data, providers=["CPUExecutionProvider"])
        session.get_providers = lambda: [self.actual]
        return session


REAL_SESSION = onnxruntime.InferenceSession


@pytest.fixture
def cuda_listed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    backend._load_cuda.cache_clear()
    yield
    backend._load_cuda.cache_clear()


def test_session_tells_its_inputs_and_runs_any_batch() -> None:
    with OnnxRuntimeBackend("cpu", threads=1).load(artifact(LRN, ["batch", 2, 1, 1])) as session:
        (spec,) = session.inputs
        assert (spec.name, spec.dtype, spec.shape) == ("x", "float32", ("batch", 2, 1, 1))
        assert session.outputs[0].name == "y"
        # size 3, alpha / size = 1: 3 / (1 + 9 + 16) and 4 / (1 + 9 + 16).
        x = np.array([3, 4, 3, 4], np.float32).reshape(2, 2, 1, 1)
        y = session.run({"x": x})["y"]
    np.testing.assert_allclose(y.ravel(), [3 / 26, 4 / 26] * 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("feeds", "sentence"),
    [
        ({"z": np.zeros((1, 2, 1, 1), np.float32)}, r"inputs \['x'\], got \['z'\]"),
        ({}, r"got \[\]"),
        ({"x": np.zeros((1, 2, 1, 1))}, "takes float32, got float64"),
        ({"x": np.zeros((1, 3, 1, 1), np.float32)}, r"got \[1, 3, 1, 1\]"),
        ({"x": np.zeros((1, 2, 1), np.float32)}, r"got \[1, 2, 1\]"),
    ],
)
def test_feeds_that_do_not_fit_are_refused(feeds: Any, sentence: str) -> None:
    with (
        OnnxRuntimeBackend().load(artifact(LRN, ["batch", 2, 1, 1])) as session,
        pytest.raises(BadInputError, match=sentence),
    ):
        session.run(feeds)


def test_bytes_that_are_no_graph_are_damage() -> None:
    with pytest.raises(DamagedError, match="ONNX Runtime refuses the graph of 'model'"):
        OnnxRuntimeBackend().load(ArtifactData(name="model", format="onnx", data=b"no graph"))


def test_graph_that_the_runtime_does_not_take_is_damage() -> None:
    even = helper.make_node("LRN", ["x"], ["y"], size=4)
    with pytest.raises(DamagedError, match="refuses the graph"):
        OnnxRuntimeBackend().load(artifact(even, ["batch", 8, 1, 1]))


def test_run_that_fails_inside_is_damage() -> None:
    with (
        OnnxRuntimeBackend().load(artifact(LRN, ["batch", 8, 1])) as session,
        pytest.raises(DamagedError, match="could not run the graph"),
    ):
        session.run({"x": np.zeros((1, 8, 1), np.float32)})


def test_probe_of_a_machine_without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    probe = OnnxRuntimeBackend("cpu").probe()
    assert (probe.available, probe.version) == (False, None)
    assert install("cpu") in probe.hint


def test_gpu_that_is_not_there_is_refused_and_never_replaced_by_the_cpu() -> None:
    with pytest.raises(MissingError, match="cannot run on cuda") as caught:
        OnnxRuntimeBackend("cuda").load(artifact(NEGATION, [1]))
    assert install("gpu") in caught.value.hint


@pytest.mark.usefixtures("cuda_listed")
@pytest.mark.parametrize(
    "provider",
    [Provider("CPUExecutionProvider"), Provider("CUDAExecutionProvider", fails=True)],
    ids=["falls back", "fails"],
)
def test_listed_gpu_that_does_not_start_is_not_available(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", provider)
    probe = OnnxRuntimeBackend("cuda").probe()
    assert not probe.available
    assert "does not start" in probe.detail
    assert "nvidia-smi" in probe.hint


@pytest.mark.usefixtures("cuda_listed")
def test_gpu_is_asked_for_by_its_index_and_without_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider("CUDAExecutionProvider")
    monkeypatch.setattr(onnxruntime, "InferenceSession", provider)
    with OnnxRuntimeBackend("cuda:1").load(artifact(NEGATION, [1])) as session:
        assert session.run({"x": np.ones(1, np.float32)})["y"].tolist() == [-1.0]
    wanted = {"device_id": 1, "use_tf32": 0, "cudnn_conv_algo_search": "HEURISTIC"}
    assert provider.asked == [[("CUDAExecutionProvider", wanted)]] * 2  # the probe's and this
    assert provider.without_cpu == [True, True]


@pytest.mark.usefixtures("cuda_listed")
def test_the_limit_of_a_gpus_memory_is_that_of_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider("CUDAExecutionProvider")
    monkeypatch.setattr(onnxruntime, "InferenceSession", provider)
    OnnxRuntimeBackend("cuda", gpu_memory=2**30).load(artifact(NEGATION, [1])).close()
    (((_, probing),), ((_, options),)) = provider.asked
    assert (options["device_id"], options["gpu_mem_limit"]) == (0, 2**30)
    assert "gpu_mem_limit" not in probing


@pytest.mark.usefixtures("cuda_listed")
@pytest.mark.parametrize("fails", [False, True])
def test_cudas_libraries_are_loaded_once_before_the_first_session_and_quietly(
    fails: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    provider = Provider("CUDAExecutionProvider")
    loaded: list[int] = []

    def preload() -> None:
        loaded.append(len(provider.asked))
        sys.stdout.write("Failed to load libcudnn.so.9\n")
        if fails:
            raise RuntimeError("no such folder")

    monkeypatch.setattr(onnxruntime, "preload_dlls", preload, raising=False)
    monkeypatch.setattr(onnxruntime, "InferenceSession", provider)
    OnnxRuntimeBackend("cuda").load(artifact(NEGATION, [1])).close()
    OnnxRuntimeBackend("cuda").load(artifact(NEGATION, [1])).close()
    assert loaded == [0]
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("cuda_listed")
def test_an_onnxruntime_that_loads_no_libraries_is_taken_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(onnxruntime, "preload_dlls", raising=False)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Provider("CUDAExecutionProvider"))
    assert OnnxRuntimeBackend("cuda").probe().available


def test_a_node_that_would_run_on_the_cpu_instead_is_refused() -> None:
    """By the real session: the other provider of the CPU's package runs no node of this graph."""
    other = "AzureExecutionProvider"
    if other not in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has no such provider")
    says = "no kernel on the GPU for a node of 'model': it would run some of them on the CPU"
    with pytest.raises(NoKernelError, match=says) as caught:
        OnnxRuntimeSession(artifact(NEGATION, [1]), [other], threads=1)
    assert caught.value.hint.endswith("lrn-deploy optimize BUNDLE --target cuda")
    assert caught.value.exit_code == 4


def test_a_node_whose_type_the_cpu_has_no_kernel_for() -> None:
    """By the real session: ONNX defines LRN in bf16, and ONNX Runtime's CPU has it in fp32 only."""
    node = helper.make_node("LRN", ["x"], ["y"], "norm", size=3)
    graph = artifact(node, [1, 4, 1, 1], kind=TensorProto.BFLOAT16)
    says = r"no kernel on the CPU for a node of 'model': .*LRN.* node with name 'norm'\.$"
    with pytest.raises(NoKernelError, match="no kernel") as caught:
        OnnxRuntimeBackend("cpu").load(graph)
    assert re.search(says, caught.value.message)
    assert caught.value.hint.endswith("lrn-deploy optimize BUNDLE --target cpu")
    assert caught.value.exit_code == 4


ON_CUDA = (
    "[ONNXRuntimeError] : 1 : FAIL : Exception during initialization: "
    "/build/onnxruntime/core/optimizer/transformer_memcpy.cc:253 bool onnxruntime::"
    "TransformerMemcpyImpl::IsNodeCompatibleWithProvider(const onnxruntime::Node&) const "
    "!node_provider_type.empty() was false. Provider type for MaxPool node with name "
    "'node_max_pool2d' is not set.\nCheck the graph."
)
"""Of ONNX Runtime with its CUDA provider on an H200, about a graph in bf16."""


def refuse_with(monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    def refusing(*_: Any, **__: Any) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(backend, "_provider_loads", lambda *_: True)
    monkeypatch.setattr(onnxruntime, "InferenceSession", refusing)


@pytest.mark.usefixtures("cuda_listed")
def test_a_node_that_no_provider_takes_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_with(monkeypatch, ON_CUDA)
    with pytest.raises(NoKernelError) as caught:
        OnnxRuntimeBackend("cuda").load(artifact(NEGATION, [1]))
    assert caught.value.message == (
        "ONNX Runtime has no kernel on the GPU for a node of 'model': MaxPool node with name "
        "'node_max_pool2d', which no provider takes."
    )
    assert caught.value.hint.endswith("lrn-deploy optimize BUNDLE --target cuda")


@pytest.mark.usefixtures("cuda_listed")
@pytest.mark.parametrize("message", ["[ONNXRuntimeError] : 1 : FAIL : no memory.", "CUDA error."])
def test_another_refusal_is_no_missing_kernel(
    monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    refuse_with(monkeypatch, message)
    with pytest.raises(DamagedError, match="refuses the graph of 'model'") as caught:
        OnnxRuntimeBackend("cuda").load(artifact(NEGATION, [1]))
    assert not isinstance(caught.value, NoKernelError)


def test_the_cpu_is_not_kept_from_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider("CPUExecutionProvider")
    monkeypatch.setattr(onnxruntime, "InferenceSession", provider)
    monkeypatch.setattr(backend, "_load_cuda", lambda: pytest.fail("CUDA was loaded"))
    OnnxRuntimeBackend("cpu").load(artifact(NEGATION, [1])).close()
    assert provider.without_cpu == [False]


@pytest.mark.usefixtures("cuda_listed")
def test_session_that_falls_back_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe's little graph ran on the GPU, the network's did not."""
    monkeypatch.setattr(backend, "_provider_loads", lambda *_: True)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Provider("CPUExecutionProvider"))
    with pytest.raises(MissingError, match="fell back to CPUExecutionProvider"):
        OnnxRuntimeBackend("cuda").load(artifact(NEGATION, [1]))


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (TensorProto.FLOAT16, "float16"),
        (TensorProto.DOUBLE, "float64"),
        (TensorProto.INT8, "int8"),
    ],
)
def test_dtypes_have_numpys_names(kind: int, dtype: str) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    with OnnxRuntimeBackend().load(artifact(node, [None, 2], kind=kind)) as session:
        assert session.inputs[0].dtype == dtype
        assert session.inputs[0].shape == ("dynamic", 2)


def test_where_the_time_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"], name="product"),
        helper.make_node("Neg", ["product"], ["y"], name="negation"),
    ]
    side = 512
    w = numpy_helper.from_array(np.ones((side, side), np.float32), "w")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, side]) for name in "xy")
    graph = helper.make_graph(nodes, "graph", [x], [y], [w])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    data = ArtifactData("model", "onnx", model.SerializeToString())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # where a trace goes that no place is said for
    feeds = {"x": np.ones((1, side), np.float32)}
    trace = OnnxRuntimeBackend("cpu", threads=1).layer_times(data, feeds, 7)
    assert trace is not None
    product, negation = trace.kernels
    assert (product.name, product.kind) == ("product", "MatMul")
    assert (negation.name, negation.kind) == ("negation", "Neg")
    assert [len(times) for times in (trace.whole, product.seconds, negation.seconds)] == [7, 7, 7]
    for whole, *parts in zip(trace.whole, product.seconds, negation.seconds, strict=True):
        assert 0 < sum(parts) < whole
    assert np.median(product.seconds) > np.median(negation.seconds)
    assert list(tmp_path.iterdir()) == []


def test_no_times_of_launching_kernels() -> None:
    data = artifact(NEGATION, [1])
    assert OnnxRuntimeBackend("cuda").layer_times(data, {}, 1) is None


def test_a_trace_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    feeds = {"x": np.ones(1, np.float32)}
    with pytest.raises(CannotWriteError, match="trace cannot be written: No such file"):
        OnnxRuntimeBackend("cpu").layer_times(artifact(NEGATION, [1]), feeds, 1)


def test_a_session_does_not_keep_the_graphs_bytes() -> None:
    """onnxruntime holds them as long as the session lives: 250 MB for an AlexNet."""
    weight = numpy_helper.from_array(np.ones((1024, 512), np.float32), "w")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1024])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 512])
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([product], "graph", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    data = bytearray(model.SerializeToString())
    before = sys.getrefcount(held := bytes(data))
    with OnnxRuntimeBackend("cpu").load(ArtifactData("model", "onnx", held)) as session:
        assert sys.getrefcount(held) == before
        answer = session.run({"x": np.ones((2, 1024), np.float32)})["y"]
    assert (answer == 1024).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_takes_the_threads_that_it_is_given(threads: int) -> None:
    session = OnnxRuntimeBackend("cpu", threads=threads).load(artifact(NEGATION, [1]))
    options = session._session.get_session_options()
    assert (options.intra_op_num_threads, options.log_severity_level) == (threads, 4)
    held = weakref.ref(session._session)
    session.close()
    assert held() is None, "its memory is not free"


def test_int8_products_are_summed_without_saturating() -> None:
    """On processors without VNNI they would be held in 16 bits."""
    with OnnxRuntimeBackend("cpu").load(artifact(NEGATION, [1])) as session:
        options = session._session.get_session_options()
        assert options.get_session_config_entry("session.x64quantprecision") == "1"
        with pytest.raises(RuntimeError):  # it is not set
            options.get_session_config_entry("session.disable_quant_qdq")


@pytest.mark.parametrize(
    ("message", "tries"), [("AddInitializedOrtValue: it is there.", 2), ("No memory.", 1)]
)
def test_a_weight_that_two_layers_share_stays_in_fp32(
    monkeypatch: pytest.MonkeyPatch, message: str, tries: int
) -> None:
    tried: list[Any] = []

    def refusing(_data: bytes, options: Any, **_: Any) -> None:
        tried.append(options)
        raise RuntimeError(message)

    monkeypatch.setattr(onnxruntime, "InferenceSession", refusing)
    with pytest.raises(DamagedError, match=message):
        OnnxRuntimeBackend("cpu").load(artifact(NEGATION, [1]))
    assert len(tried) == tries
    if tries == 2:
        assert tried[1].get_session_config_entry("session.disable_quant_qdq") == "1"
