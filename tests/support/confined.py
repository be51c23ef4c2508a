"""A program confined as the packaged unit confines it, by the same means of the kernel.

Run as ``python confined.py PROGRAM [ARGUMENT ...]``: memory that was written cannot be run, system
calls that are not listed in the variable ``ALLOWED`` fail with EPERM, and nothing gets more rights.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1
SCMP_ACT_ALLOW, SCMP_ACT_EPERM = 0x7FFF0000, 0x00050000 | 1


def confine(calls: list[str]) -> None:
    if ctypes.CDLL(None).prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0):
        raise SystemExit("the kernel cannot")
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    filter_ = ctypes.c_void_p(library.seccomp_init(SCMP_ACT_EPERM))
    for name in calls:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # else this processor has none of that name
            library.seccomp_rule_add(filter_, SCMP_ACT_ALLOW, number, 0)
    if library.seccomp_load(filter_):
        raise SystemExit("the kernel cannot")


if __name__ == "__main__":
    confine(os.environ.pop("ALLOWED").split())
    os.execv(sys.argv[1], sys.argv[1:])
