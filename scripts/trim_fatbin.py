"""Zero the machine code of other GPUs in a CUDA library, so that the library compresses well.

    python3 scripts/trim_fatbin.py LIBRARY TRIMMED --arch 90

A CUDA library holds its kernels once for each kind of GPU, in the ELF section ``.nv_fatbin``. What
is not for ``--arch`` becomes zeros in place: every size and offset stays, so the library loads as
before, and fails only when it looks for a kernel on another GPU.

The section is a row of containers. Both kinds of header are little-endian, and only the fields
named here are read::

    container   0: u32 magic    4: u16 version   6: u16 header size   8: u64 size of what follows
    entry       0: u16 kind     4: u32 header size                    8: u64 size of what follows
               28: u32 architecture, 90 for sm_90

Zeros may stand between containers. Anything else is refused, as it was not understood.
"""

from __future__ import annotations

import argparse
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SECTION = b".nv_fatbin"
MAGIC = 0xBA55ED50

_ELF_HEADER_SIZE = 64
_SECTION_HEADER_SIZE = 64
_CONTAINER_HEADER_SIZE = 16
_ENTRY_HEADER_SIZE = 32
_ALIGNMENT = 8


class TrimError(Exception):
    """The library cannot be trimmed, and why, in a sentence."""


@dataclass(frozen=True)
class Code:
    """One kernel collection for one kind of GPU: where its bytes lie in the file."""

    arch: int
    start: int
    end: int


def find_section(data: bytes | bytearray) -> tuple[int, int]:
    """Start and end of ``.nv_fatbin`` in a 64-bit little-endian ELF file.

    Raises:
        TrimError: If it is no such file, is cut short, or has no such section.
    """
    if data[:4] != b"\x7fELF":
        raise TrimError("is no ELF file")
    if len(data) < _ELF_HEADER_SIZE:
        raise TrimError("is cut short: its ELF header is not whole")
    if data[4:6] != b"\x02\x01":
        raise TrimError("is not a 64-bit little-endian ELF file")
    (table,) = struct.unpack_from("<Q", data, 40)
    entry_size, count, names_index = struct.unpack_from("<HHH", data, 58)
    if entry_size != _SECTION_HEADER_SIZE or names_index >= count:
        raise TrimError("has no table of sections")
    if table + count * entry_size > len(data):
        raise TrimError("is cut short: its table of sections is not whole")
    names_start, names_end = _section(data, table, names_index)
    for index in range(count):
        (name_offset,) = struct.unpack_from("<I", data, table + index * entry_size)
        name_at = names_start + name_offset
        if data[name_at : min(name_at + len(SECTION) + 1, names_end)] == SECTION + b"\0":
            return _section(data, table, index)
    raise TrimError("has no section .nv_fatbin, so it holds no GPU code")


def _section(data: bytes | bytearray, table: int, index: int) -> tuple[int, int]:
    start, size = struct.unpack_from("<QQ", data, table + index * _SECTION_HEADER_SIZE + 24)
    if start + size > len(data):
        raise TrimError("is cut short: a section reaches beyond its end")
    return start, start + size


def find_code(data: bytes | bytearray, start: int, end: int) -> Iterator[Code]:
    """All code between ``start`` and ``end``, in the order of the file.

    Raises:
        TrimError: At the first bytes that are no container or entry, or are not whole.
    """
    position = start
    while position < end:
        if not any(data[position : min(position + _ALIGNMENT, end)]):
            position += _ALIGNMENT  # filling
            continue
        if position + _CONTAINER_HEADER_SIZE > end:
            raise TrimError(f"has a container at byte {position} that is not whole")
        magic, _, header, size = struct.unpack_from("<IHHQ", data, position)
        if magic != MAGIC:
            raise TrimError(f"has bytes at {position} in .nv_fatbin that are no container")
        first, after = position + header, position + header + size
        if header < _CONTAINER_HEADER_SIZE or after > end:
            raise TrimError(f"has a container at byte {position} that is not whole")
        yield from _find_entries(data, first, after)
        position = after + -(after - start) % _ALIGNMENT


def _find_entries(data: bytes | bytearray, start: int, end: int) -> Iterator[Code]:
    position = start
    while position < end:
        if position + _ENTRY_HEADER_SIZE > end:
            raise TrimError(f"has an entry at byte {position} that is not whole")
        header, size = struct.unpack_from("<IQ", data, position + 4)
        (arch,) = struct.unpack_from("<I", data, position + 28)
        first, after = position + header, position + header + size
        if header < _ENTRY_HEADER_SIZE or after > end:
            raise TrimError(f"has an entry at byte {position} that is not whole")
        yield Code(arch, first, after)
        position = after


def trim(data: bytearray, arch: int) -> tuple[int, int]:
    """Zero in place all code that is not for ``arch``.

    Args:
        data: The library; unchanged if this raises.
        arch: Which code stays, 90 for sm_90.

    Returns:
        How many bytes of code were kept, and how many were zeroed.

    Raises:
        TrimError: If the library is not understood, or has no code for ``arch``.
    """
    codes = list(find_code(data, *find_section(data)))
    kept = sum(code.end - code.start for code in codes if code.arch == arch)
    if not kept:
        found = ", ".join(str(number) for number in sorted({code.arch for code in codes}))
        raise TrimError(f"has no code for architecture {arch}, only for: {found or 'none'}")
    zeroed = 0
    for code in codes:
        if code.arch != arch:
            size = code.end - code.start
            data[code.start : code.end] = bytes(size)
            zeroed += size
    return kept, zeroed


def trim_file(source: Path, target: Path, arch: int) -> tuple[int, int]:
    """Write ``source`` without the code of other GPUs to ``target``, which may be the same file.

    Args:
        source: The library.
        target: Written under another name first, so that it is whole or not there.
        arch: Which code stays.

    Returns:
        As :func:`trim`.

    Raises:
        TrimError: As :func:`trim`, with the file's name.
        OSError: If a file cannot be read or written.
    """
    data = bytearray(source.read_bytes())
    try:
        counts = trim(data, arch)
    except TrimError as error:
        raise TrimError(f"'{source}' {error}.") from error
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.chmod(source.stat().st_mode & 0o777)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Trim one library; returns 0, or 2 with a sentence on stderr."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("library", type=Path, help="a shared library with CUDA code in it")
    parser.add_argument("trimmed", type=Path, help="what to write; may be the same file")
    parser.add_argument(
        "--arch", type=int, default=90, help="compute capability that stays; default %(default)s"
    )
    told = parser.parse_args(arguments)
    try:
        kept, zeroed = trim_file(told.library, told.trimmed, told.arch)
    except TrimError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"Cannot trim '{told.library}': {error.strerror or error}.", file=sys.stderr)
        return 2
    print(f"{told.trimmed}: kept {kept} bytes of code for sm_{told.arch}, zeroed {zeroed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
