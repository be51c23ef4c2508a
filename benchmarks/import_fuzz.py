"""Mutated ONNX and Caffe files, each of which must import or be refused in a sentence.

``python -m benchmarks.import_fuzz`` tries 100,000, takes the time of each, and writes how many did
what to ``results/import_fuzz.json``. Files are made of a seed and a number, so that each can be
made again: ``--only NUMBER`` does so, and shows the traceback. A process of its own imports them,
which may crash or hang: that is counted, and another goes on.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import resource
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, MutableSequence, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from benchmarks.harness import write_result
from lrn_deploy.errors import LrnDeployError
from lrn_deploy.workflows.import_network.import_network import import_network
from lrn_deploy.workflows.import_network.options import ImportOptions

COUNT = 100_000
SEED = 19
SLOW = 5.0
"""Seconds after which an import counts as slow."""
HUNG = 60.0
"""Seconds after which a process is ended."""
MEMORY = 2.0
"""GiB of memory above which an import counts as large."""

Files = dict[str, bytes]


@dataclass(frozen=True)
class Outcome:
    """What became of one try.

    Attributes:
        number: Which.
        kind: What was mutated.
        what: ``imported``, ``refused``, or what must not be.
        detail: The exception that must not be.
        seconds: How long it took.
        memory: GiB of the process, at most, until then.
    """

    number: int
    kind: str
    what: str
    detail: str
    seconds: float
    memory: float


def mutated(bases: Sequence[tuple[str, Files]], seed: int, number: int) -> tuple[str, Files]:
    """The files of one try, and what kind they are of.

    Args:
        bases: Kinds, each with files that import; those named ``.onnx`` are mutated as messages,
            too, and those named ``.prototxt`` as text.
        seed: Of all tries.
        number: Of this one.
    """
    rng = random.Random(f"{seed} {number}")
    kind, files = rng.choice(bases)
    made = dict(files)
    for name in rng.sample(sorted(made), rng.randint(1, len(made))):
        change = _bytes
        if name.endswith(".prototxt") and rng.random() < 0.9:
            change = _text
        elif name.endswith(".onnx") and rng.random() < 0.7:
            change = _message
        for _ in range(rng.randint(1, 4)):
            made[name] = change(made[name], rng)
    return kind, made


def attempt(files: Files, folder: Path) -> tuple[str, str]:
    """Import files, and say what came of it.

    Args:
        files: Contents by name.
        folder: An empty folder, which is empty again afterwards.
    """
    inside = folder / "in"
    inside.mkdir()
    for name, data in files.items():
        (inside / name).write_bytes(data)
    names = [name for name in files if not name.endswith(".bin")]
    try:
        import_network(ImportOptions([inside / name for name in names]), folder / "out")
        what, detail = "imported", ""
    except LrnDeployError as error:
        what, detail = "refused", ""
        if not error.message.rstrip().endswith(".") or len(error.message) > 1000:
            what, detail = "refused without a sentence", error.message[:300]
    except Exception:  # which is what is looked for
        what, detail = "traceback", traceback.format_exc(limit=-4)
    left = {path.name for path in folder.iterdir()} - {"in"}
    if left != ({"out"} if what == "imported" else set()):
        what, detail = "something left behind", str(left)
    if {path.name: path.read_bytes() for path in inside.iterdir()} != files:
        what = "a file was changed"
    shutil.rmtree(inside)
    shutil.rmtree(folder / "out", ignore_errors=True)
    return what, detail


_TOKENS = """\
0
-1
9
99999999999
{
}
"
1e38
1e-46
#
layer
layers
axis: -9
axis: 0
pad: 4294967295
group: 3
kernel_size: 4294967295
stride: 4294967295
num_output: 2000000000
local_size: 2147483647
input_dim: 1
dim: 3
include { phase: TRAIN }
bottom: "data"
top: "n"
type: "Slice"
type: "Crop"
type: "ArgMax"
type: "Reshape"
type: "Scale"
type: "BatchNorm"
type: "PReLU"
type: "Tile"
type: SLICE
reshape_param { shape { dim: -1 } axis: -3 num_axes: 7 }
slice_param { slice_point: 1 }""".splitlines()


def _text(data: bytes, rng: random.Random) -> bytes:
    text = data.decode(errors="replace")
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    way = rng.random()
    if way < 0.2:
        lines.insert(rng.randrange(len(lines)), lines[at])
    elif way < 0.4:
        del lines[at]
    elif way < 0.7:
        words = lines[at].split(" ")
        words[rng.randrange(len(words))] = rng.choice(_TOKENS)
        lines[at] = " ".join(words)
    else:
        place = rng.randrange(len(text) + 1)
        text = text[:place] + rng.choice(_TOKENS) + text[place + rng.randint(0, 6) :]
        return text.encode()
    return "\n".join(lines).encode()


def _bytes(data: bytes, rng: random.Random) -> bytes:
    made = bytearray(data)
    at = rng.randrange(len(made) + 1)
    way = rng.random()
    if way < 0.5 and at < len(made):
        made[at] = rng.choice((0, 1, 2, 10, 18, 127, 128, 255, rng.randrange(256)))
    elif way < 0.7:
        del made[at : at + rng.randint(1, 9)]
    elif way < 0.95:
        made[at:at] = rng.randbytes(rng.randint(1, 5))
    else:
        del made[at:]
    return bytes(made)


_OPERATORS = sorted({schema.name for schema in onnx.defs.get_all_schemas_with_history()})
_NUMBERS = (-(2**63), -(2**31), -2, -1, 0, 1, 2, 3, 5, 7, 64, 2**20, 2**31 - 1, 2**31, 2**62)


def _message(data: bytes, rng: random.Random) -> bytes:
    """A change of one thing that a message says, which bytes alone would seldom hit."""
    try:
        model = onnx.ModelProto.FromString(data)
    except Exception:  # it was mutated before
        return _bytes(data, rng)
    graph = model.graph
    if not graph.node or not graph.input or not graph.output:
        return _bytes(data, rng)
    node = rng.choice(graph.node)
    names = [name for item in graph.node for name in (*item.input, *item.output)] or [""]
    changes: list[Callable[[], object]] = [
        lambda: setattr(node, "op_type", rng.choice(_OPERATORS)),
        lambda: setattr(node, "domain", rng.choice(("", "ai.onnx", "com.acme"))),
        lambda: _rename(node.input, rng, names),
        lambda: _rename(node.output, rng, names),
        lambda: node.input.append(rng.choice(names)),
        lambda: node.output.append(rng.choice(names)),
        lambda: node.attribute.append(
            helper.make_attribute(
                rng.choice(("axis", "size", "alpha", "axes", "perm", "pads", "group", "to", "x")),
                rng.choice((rng.choice(_NUMBERS), [rng.choice(_NUMBERS)] * 2, 1e30, "x")),
            )
        ),
        lambda: _renumber(node.attribute, rng),
        lambda: _restamp(model.opset_import, rng),
        lambda: setattr(model, "ir_version", rng.randrange(0, 14)),
        lambda: _resize(graph.initializer, rng),
        lambda: graph.initializer and graph.initializer.pop(rng.randrange(len(graph.initializer))),
        lambda: graph.node.pop(rng.randrange(len(graph.node))),
        lambda: graph.node.insert(rng.randrange(len(graph.node)), node),
        lambda: setattr(rng.choice(graph.output), "name", rng.choice(names)),
        lambda: _reshape(rng.choice(graph.input), rng),
        lambda: setattr(
            rng.choice(graph.input).type.tensor_type, "elem_type", rng.randrange(0, 26)
        ),
    ]
    rng.choice(changes)()
    return model.SerializeToString()


def _rename(names: MutableSequence[str], rng: random.Random, known: Sequence[str]) -> None:
    if names:
        names[rng.randrange(len(names))] = rng.choice(known)


def _restamp(opsets: Sequence[onnx.OperatorSetIdProto], rng: random.Random) -> None:
    if opsets:
        opsets[0].version = rng.randrange(-1, 30)


def _renumber(attributes: Sequence[onnx.AttributeProto], rng: random.Random) -> None:
    if not attributes:
        return
    item = rng.choice(attributes)
    value = rng.choice(_NUMBERS)
    if item.ints:
        item.ints[rng.randrange(len(item.ints))] = value
    elif item.HasField("i"):
        item.i = value
    else:
        item.f = rng.choice((0.0, -1.0, 1e-30, 1e30, float("nan"), float("inf"), 0.5))


def _resize(tensors: Sequence[onnx.TensorProto], rng: random.Random) -> None:
    if not tensors:
        return
    tensor = rng.choice(tensors)
    if tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(_NUMBERS)
    elif tensor.data_type == onnx.TensorProto.INT64:
        tensor.raw_data = np.array([rng.choice(_NUMBERS)], np.int64).tobytes()


def _reshape(value: onnx.ValueInfoProto, rng: random.Random) -> None:
    axes = value.type.tensor_type.shape.dim
    if axes:
        rng.choice(axes).dim_value = rng.choice(_NUMBERS)


def run(bases: Sequence[tuple[str, Files]], seed: int, numbers: Iterable[int]) -> Iterator[Outcome]:
    """Try these numbers, each in a process that does all until it crashes or hangs."""
    waiting = list(numbers)
    while waiting:
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=_worker, args=(bases, seed, waiting, theirs)
        )
        process.start()
        theirs.close()
        done = 0
        try:
            while done < len(waiting):
                if not ours.poll(HUNG):
                    yield Outcome(waiting[done], "", "hung", "", HUNG, 0)
                    break
                yield ours.recv()
                done += 1
        except EOFError:
            process.join()
            yield Outcome(waiting[done], "", "crash", f"exit {process.exitcode}", 0, 0)
        process.kill()
        process.join()
        waiting = waiting[done + 1 :]


def _worker(
    bases: Sequence[tuple[str, Files]], seed: int, numbers: Sequence[int], told: Connection
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        attempt(dict(bases[0][1]), folder)  # what is loaded once is nobody's time
        for number in numbers:
            kind, files = mutated(bases, seed, number)
            started = time.perf_counter()
            what, detail = attempt(files, folder)
            seconds = time.perf_counter() - started
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            told.send(Outcome(number, kind, what, detail, seconds, memory))


def main() -> None:
    """Try them all, and write what came of it."""
    from tests.support.import_bases import BASES

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", type=int)
    arguments = parser.parse_args()
    if arguments.only is not None:
        kind, files = mutated(BASES, arguments.seed, arguments.only)
        with tempfile.TemporaryDirectory() as temporary:
            print(kind, *attempt(files, Path(temporary)), sep="\n")
        return
    counts: dict[str, Counter[str]] = {}
    wrong: list[dict[str, object]] = []
    seconds, memory = [0.0], 0.0
    for outcome in run(BASES, arguments.seed, range(arguments.count)):
        counts.setdefault(outcome.kind, Counter())[outcome.what] += 1
        seconds.append(outcome.seconds)
        memory = max(memory, outcome.memory)
        bad = outcome.what not in ("imported", "refused") or outcome.seconds > SLOW
        if bad or outcome.memory > MEMORY:
            wrong.append(vars(outcome))
            print(outcome)
    write_result(
        "import_fuzz",
        {
            "seed": arguments.seed,
            "tried": arguments.count,
            "counts": {kind: dict(counter) for kind, counter in sorted(counts.items())},
            "wrong": wrong,
            "seconds": {
                "median": float(np.median(seconds)),
                "p99": float(np.percentile(seconds, 99)),
                "max": max(seconds),
            },
            "memory_gib": round(memory, 2),
        },
    )
    print({kind: dict(counter) for kind, counter in counts.items()}, f"{len(wrong)} wrong")


if __name__ == "__main__":
    main()
