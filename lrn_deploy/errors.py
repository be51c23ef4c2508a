"""The errors a user can meet, each with the exit code it ends the process with.

An error says in one sentence what is wrong, and in its hint what to do about it. The command
line prints both without a traceback; anything that is not an :class:`LrnDeployError` is a bug of
ours and ends with :data:`INTERNAL_ERROR`.
"""

from __future__ import annotations

DONE = 0
CHECK_FAILED = 1
BAD_INPUT = 2
MISSING = 3
DAMAGED = 4
CANNOT_WRITE = 5
INTERNAL_ERROR = 70
INTERRUPTED = 130


class LrnDeployError(Exception):
    """Base of every error that is not a bug of ours.

    Args:
        message: One sentence that says what is wrong and carries the offending value.
        hint: One sentence that says how to fix it; may be empty.
    """

    exit_code = BAD_INPUT

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class CheckFailedError(LrnDeployError):
    """A check ran and its answer is no, or some of many items failed."""

    exit_code = CHECK_FAILED


class BadInputError(LrnDeployError):
    """Wrong usage, or an input that cannot be taken."""

    exit_code = BAD_INPUT


class MissingError(LrnDeployError):
    """Something is not installed or not present on this machine."""

    exit_code = MISSING


class DamagedError(LrnDeployError):
    """An artifact is damaged or does not fit this machine."""

    exit_code = DAMAGED


class NoKernelError(DamagedError):
    """An artifact is whole, but a runtime has no kernel for a node of it on a device."""


class CannotWriteError(LrnDeployError):
    """The output could not be written: permissions, or no space left."""

    exit_code = CANNOT_WRITE
