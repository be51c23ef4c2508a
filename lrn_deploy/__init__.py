"""Deploy convolutional networks with Local Response Normalization, checked and measured.

What programs call is :data:`__all__`, which ``docs/python.md`` shows at work. Each name is imported
when it is first used, so importing the package costs nothing.
"""

import os
import sys

__version__ = "0.1.0"

# ONNX Runtime 1.32 has telemetry in it that is on by default and keeps files to know us again.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

TYPE_CHECKING = False  # as typing's own, which would cost its import
if TYPE_CHECKING:
    from lrn_deploy.api.bundle import Made, OpenBundle
    from lrn_deploy.api.bundle import open_bundle as open  # noqa: A004 - lrn_deploy.open
    from lrn_deploy.api.network import LoadedNetwork
    from lrn_deploy.api.start import export, import_model
    from lrn_deploy.errors import (
        BadInputError,
        CannotWriteError,
        CheckFailedError,
        DamagedError,
        LrnDeployError,
        MissingError,
    )
    from lrn_deploy.latency.effort import Effort
    from lrn_deploy.parity.budgets import Budgets
    from lrn_deploy.said import Said
    from lrn_deploy.workflows.classify import ImageResult, Prediction

__all__ = [
    "BadInputError",
    "Budgets",
    "CannotWriteError",
    "CheckFailedError",
    "DamagedError",
    "Effort",
    "ImageResult",
    "LoadedNetwork",
    "LrnDeployError",
    "Made",
    "MissingError",
    "OpenBundle",
    "Prediction",
    "Said",
    "export",
    "import_model",
    "open",
]

_HOMES = {
    "lrn_deploy.api.bundle": ("Made", "OpenBundle", "open"),
    "lrn_deploy.api.network": ("LoadedNetwork",),
    "lrn_deploy.api.start": ("export", "import_model"),
    "lrn_deploy.errors": (
        "BadInputError",
        "CannotWriteError",
        "CheckFailedError",
        "DamagedError",
        "LrnDeployError",
        "MissingError",
    ),
    "lrn_deploy.latency.effort": ("Effort",),
    "lrn_deploy.parity.budgets": ("Budgets",),
    "lrn_deploy.said": ("Said",),
    "lrn_deploy.workflows.classify": ("ImageResult", "Prediction"),
}
_INSIDE = {"open": "open_bundle"}
"""What is called otherwise at home, where the built-in function of that name is used."""

if not TYPE_CHECKING:  # a type checker is to refuse names that are not there

    def __getattr__(name):
        """A public name, imported from where it is at home."""
        for home, names in _HOMES.items():
            if name in names:
                from importlib import import_module

                value = getattr(import_module(home), _INSIDE.get(name, name))
                globals()[name] = value
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        """The public names, imported or not."""
        return sorted({*globals(), *__all__})


class _Package(type(sys)):  # type: ignore[misc]  # as types.ModuleType, which would be an import
    """The package, of which ``export`` stays the function when the room of that name is imported.

    Python makes each sub-module an attribute of its package; whoever imports from it does not use
    that attribute.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name not in __all__ or not isinstance(value, type(sys)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
