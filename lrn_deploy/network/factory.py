"""A user's network: imported from a module or a file and called, or a copy of one that exists."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lrn_deploy.errors import BadInputError
from lrn_deploy.models import ZOO


def call_factory(factory: str) -> tuple[nn.Module, str]:
    """Import and call ``package.module:name`` or ``file.py:name``.

    Returns:
        What it returned, and its short name.

    Raises:
        BadInputError: If it cannot be imported, raises, or returns no module.
    """
    where, colon, attribute = factory.rpartition(":")
    if not colon or not where or not attribute:
        raise BadInputError(
            f"There is no network named '{factory}'.",
            f"Choose one of {', '.join(ZOO)}, or give package.module:factory or file.py:factory.",
        )
    code = _import_file(Path(where)) if where.endswith(".py") else _import_module(where)
    function = getattr(code, attribute, None)
    if not callable(function):
        raise BadInputError(f"'{where}' has no callable named '{attribute}'.")
    try:
        module = function()
    except (Exception, SystemExit) as error:  # a script's main may well end with sys.exit
        raise BadInputError(
            f"The factory '{factory}' raised {type(error).__name__}: {error}.",
            "It is called without arguments and must return a torch.nn.Module.",
        ) from error
    if isinstance(module, torch.jit.ScriptModule):
        raise _compiled(f"The factory '{factory}' returned", module)
    if not isinstance(module, nn.Module):
        raise BadInputError(
            f"The factory '{factory}' returned a {type(module).__name__}.",
            "It must return a torch.nn.Module.",
        )
    return module, attribute


def own_copy(module: object) -> nn.Module:
    """A copy of a module that a program goes on using, on the CPU and in evaluation mode.

    Raises:
        BadInputError: If it is no module or a compiled one, or cannot be copied.
    """
    if not isinstance(module, nn.Module):
        raise BadInputError(
            f"A {type(module).__name__} is no network.",
            "Give a torch.nn.Module, a name of the zoo, or 'file.py:factory'.",
        )
    if isinstance(module, torch.jit.ScriptModule):
        raise _compiled("The network is", module)
    try:
        return copy.deepcopy(module).cpu().eval()
    except Exception as error:  # whatever the classes of its parts raise
        raise BadInputError(
            f"The network cannot be copied: {type(error).__name__}: {error}.",
            "Give a factory that makes it, 'file.py:factory', instead.",
        ) from error


def class_name(module: nn.Module) -> str:
    """The class of a module, as Python calls it."""
    return f"{type(module).__module__}.{type(module).__qualname__}"


def _compiled(what: str, module: nn.Module) -> BadInputError:
    return BadInputError(
        f"{what} a {type(module).__name__}, a network that "
        "TorchScript has already compiled, in which LRN can no longer be told from its parts.",
        "Return the nn.Module that was given to torch.jit.script or torch.jit.trace; its "
        "weights are those of the compiled one's state_dict().",
    )


def _import_module(name: str) -> Any:
    _search(Path.cwd())
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise BadInputError(
            f"Cannot import '{name}': {type(error).__name__}: {error}.",
            "Give a module that Python finds from here, or a path that ends in .py.",
        ) from error


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise BadInputError(f"There is no file '{path}'.", "Check the path before the colon.")
    spec = importlib.util.spec_from_file_location(f"_lrn_deploy_user_{path.stem}", path.resolve())
    assert spec is not None
    assert spec.loader is not None
    code = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = code  # dataclasses in the file look themselves up there
    _search(path.resolve().parent)
    try:
        spec.loader.exec_module(code)
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        raise BadInputError(
            f"'{path}' cannot be imported: {type(error).__name__}: {error}.",
            "Run it with python to see the whole error.",
        ) from error
    return code


def _search(folder: Path) -> None:
    """Let imports find ``folder``, as they would if Python were run there."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def absolute(factory: str) -> str:
    """The factory with the whole path of its file, so that it can be found again from anywhere."""
    where, _, attribute = factory.rpartition(":")
    return f"{Path(where).resolve()}:{attribute}" if where.endswith(".py") else factory
