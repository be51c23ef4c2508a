"""The formats that weights are saved in, each read without running code that a file brings.

safetensors and ``.npz`` hold arrays only. A PyTorch checkpoint is a pickle, and is read by
``torch.load(weights_only=True)``, which builds tensors, dictionaries and plain values and refuses
everything else. What people keep beside their weights, an ``argparse.Namespace`` or a NumPy
scalar, is let through as a stand-in of ours that drops what it is given: the classes themselves,
numpy's C code among them, never see a byte of the file.
"""

from __future__ import annotations

import io
import pickletools
import re
import warnings
import zipfile
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load

from lrn_deploy.errors import BadInputError


class Ignored:
    """Stands where a checkpoint holds a value that is no weight; keeps nothing of it."""

    def __new__(cls, *_args: object) -> Ignored:  # noqa: D102 - the class says it
        return super().__new__(cls)

    def __init__(self, *_args: object) -> None:
        return

    def __setstate__(self, _state: object) -> None:
        return


def _empty(*_args: object) -> dict[Any, Any]:
    """In place of ``collections.defaultdict``, so that what it holds is still found."""
    return {}


_NUMPY = [
    f"numpy.{core}.multiarray.{name}"
    for core in ("core", "_core")
    for name in ("scalar", "_reconstruct")
]
_PATHS = [
    f"pathlib{local}.{name}"
    for local in ("", "._local")
    for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
]
_STAND_INS: list[Any] = [
    *(
        (Ignored, name)
        for name in (
            "argparse.Namespace",
            "types.SimpleNamespace",
            "numpy.dtype",
            "numpy.ndarray",
            "builtins.int",  # these three are what a defaultdict is made with
            "builtins.float",
            "builtins.list",
            *_NUMPY,
            *_PATHS,
        )
    ),
    (_empty, "collections.defaultdict"),
]
_NPY = b"\x93NUMPY"
"""How a ``.npy`` begins."""
_MODULE_MARKS = {"_parameters", "_buffers", "_modules"}
"""Attributes that every pickled ``nn.Module`` has."""
_PICKLE_LIMIT = 2**26
"""Bytes of a pickle that are looked through for them; a small file can unpack to any size."""


def parse(data: bytes, name: str) -> Any:
    """What a file of weights holds: mappings of tensors, maybe within others.

    Args:
        data: The file's bytes.
        name: Its name; the suffix ``.safetensors`` is believed, else the content tells the format.

    Raises:
        BadInputError: If these are no weights, or only running code would give them.
    """
    if name.endswith(".safetensors") or _looks_like_safetensors(data):
        return _safetensors(data, name)
    if data.startswith(_NPY):
        raise _one_array(data, name)
    members = _members(data)
    if any(member.endswith(".npy") for member in members):
        return _npz(data, name)
    if any(member.endswith("/constants.pkl") or "/code/" in member for member in members):
        raise BadInputError(
            f"'{name}' is a TorchScript archive: a network with its code, not weights alone.",
            f"Take its weights out: torch.save(torch.jit.load('{name}').state_dict(), "
            "'weights.pt'), and give that file.",
        )
    if any(member.endswith("/archive_format") for member in members):
        raise BadInputError(
            f"'{name}' is a program that torch.export saved, not weights alone.",
            "Take its weights out: torch.save(torch.export.load(FILE).state_dict, 'weights.pt'), "
            "and give that file.",
        )
    if name.endswith(".npz"):
        raise BadInputError(
            f"'{name}' is no .npz archive of arrays.", "It may be truncated; copy it again."
        )
    return _pickle(data, name)


def _safetensors(data: bytes, name: str) -> dict[str, torch.Tensor]:
    try:
        return load(data)
    except SafetensorError as error:
        raise BadInputError(
            f"'{name}' is no safetensors file: {error}.", "It may be truncated; copy it again."
        ) from error


def _looks_like_safetensors(data: bytes) -> bool:
    """Whether the bytes start as a safetensors file does: a length, and JSON of that length."""
    return data[8:10] == b'{"' and int.from_bytes(data[:8], "little") <= len(data) - 8


def _members(data: bytes) -> list[str]:
    if not data.startswith(b"PK"):
        return []
    try:
        return zipfile.ZipFile(io.BytesIO(data)).namelist()
    except Exception:  # a damaged archive makes zipfile raise many kinds; torch.load tells
        return []


def _npz(data: bytes, name: str) -> dict[str, torch.Tensor]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        return {key: _tensor(array) for key, array in arrays.items() if _is_numeric(array)}
    except Exception as error:  # numpy and zipfile raise many kinds on damaged bytes
        objects = "Object arrays" in str(error)
        raise BadInputError(
            f"'{name}' is no .npz archive of arrays"
            + (": it holds Python objects." if objects else "."),
            "Save it with numpy.savez(FILE, **{key: value.numpy() for key, value in "
            "model.state_dict().items()}); Python objects are never loaded.",
        ) from error


def _one_array(data: bytes, name: str) -> BadInputError:
    """Why a ``.npy`` is refused: it holds one array, or a dictionary that only pickle can read."""
    try:
        np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # numpy raises many kinds on damaged bytes
        if "allow_pickle" in str(error):
            return BadInputError(
                f"'{name}' holds Python objects, which only unpickling would give, and that runs "
                "whatever code is in the file.",
                f"If you trust who made it, turn it into arrays: {_conversion(name)}",
            )
    return BadInputError(
        f"'{name}' is no dictionary of weights: a .npy holds one array, without the layers' names.",
        "Save them by name: numpy.savez(FILE, **{'conv1/0': weights, 'conv1/1': biases}).",
    )


def _conversion(name: str) -> str:
    """The line that turns a pickled dictionary of layers into an archive of arrays."""
    if not re.fullmatch(r"[\w.+-]+\.npy", name, re.ASCII):  # what a shell would take for its own
        name = "FILE.npy"
    parts = "held.items() if isinstance(held, dict) else enumerate(held)"
    arrays = f"f'{{layer}}/{{part}}': a for layer, held in d.items() for part, a in ({parts})"
    return (
        'python -c "import numpy as np; '
        f"d = np.load('{name}', allow_pickle=True, encoding='latin1').item(); "
        f"np.savez('{name[:-4]}.npz', **{{{arrays}}})\""
    )


def _is_numeric(array: object) -> bool:
    # torch has no long doubles, which are numpy's codes g and G
    return (
        isinstance(array, np.ndarray)
        and array.dtype.kind in "fiubc"
        and array.dtype.char not in "gG"
    )


def _tensor(array: np.ndarray[Any, Any]) -> torch.Tensor:
    """The array as a tensor of the same shape; torch takes the machine's own byte order only."""
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C"))


def _pickle(data: bytes, name: str) -> Any:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_STAND_INS):
            warnings.simplefilter("ignore")  # they are about pickle's protocol
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds on bytes that are no checkpoint
        if _holds_module(data):
            raise BadInputError(
                f"'{name}' is a whole network that was pickled, which holds more than tensors "
                "only.",
                "Where its code is, save the weights: torch.save(model.state_dict(), FILE); "
                "pickled code is never loaded here.",
            ) from error
        needed = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise BadInputError(
            f"'{name}' is no checkpoint that holds tensors only"
            + (f": it needs '{needed[1][:80]}'." if needed else "."),
            "Save it with torch.save(model.state_dict(), FILE) or as safetensors; files that need "
            "arbitrary pickle code are never loaded.",
        ) from error


def _holds_module(data: bytes) -> bool:
    """Whether a pickle holds an ``nn.Module``, told by its strings; nothing of it is built."""
    strings: set[str] = set()
    try:
        if data.startswith(b"PK"):
            archive = zipfile.ZipFile(io.BytesIO(data))
            entry = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            data = archive.open(entry).read(_PICKLE_LIMIT)
        stream = io.BytesIO(data)
        for _ in range(5):  # the format before 1.6 puts some small pickles before the content
            for opcode, argument, _position in pickletools.genops(stream):
                if isinstance(argument, str) and "UNICODE" in opcode.name:
                    strings.add(argument)
    except Exception:  # the end, or bytes that are no pickle; what was found before counts
        return strings.issuperset(_MODULE_MARKS)
    return strings.issuperset(_MODULE_MARKS)
