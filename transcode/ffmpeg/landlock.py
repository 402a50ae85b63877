"""Landlock, Linux's way for a process to give up its own rights: the system calls, and nothing else.

Needs no privilege and no program. Files since Linux 5.13, TCP since 6.7; UDP is not held back by it. What is
allowed to whom is in `sandbox`. Numbers are those of `linux/landlock.h` and the same on every processor.
"""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEVICE = 1 << 14, 1 << 15
# What can be said of a file; the other rights are of folders, and the kernel refuses a rule that mixes them up.
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_READ = _EXECUTE | _READ_FILE | _READ_DIR
# Rights on files that each version of the interface knows; later versions know as many as the fifth.
_KNOWN = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
# Binding and connecting by TCP; sockets without a name in the file system, and signals, to processes outside.
_TCP, _SCOPES = 0b11, 0b11
_SINCE_TCP, _SINCE_SCOPES = 4, 6

_LIBC = ctypes.CDLL(None, use_errno=True)
_SYSCALL = _LIBC.syscall
_SYSCALL.restype = ctypes.c_long
_PRCTL = _LIBC.prctl
_NO_RULES = -1


def version() -> int:
    """The version of the interface that this kernel has; 0 where there is none."""
    return max(0, int(_SYSCALL(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)))


@contextmanager
def rules(reads: Iterable[Path], writes: Iterable[Path]) -> Iterator[int]:
    """The descriptor of a set of rules, for `enter`: read here, read and write there, nothing else.

    Places that do not exist are left out.

    Raises:
        OSError: the kernel has no Landlock.
    """
    known = version()
    handled = _KNOWN[min(known, max(_KNOWN))] if known else 0
    with _closing(_made(handled, known)) as ruleset:
        for path in reads:
            _allow(ruleset, path, handled & _READ)
        for path in writes:
            _allow(ruleset, path, handled & ~_EXECUTE)
        yield ruleset


def enter(ruleset: int) -> None:
    """Give up every other right, for good. To be called between fork and exec: only system calls.

    Where that fails the process ends; it must not go on with all its rights.
    """
    if ruleset == _NO_RULES:
        return
    _PRCTL(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if _SYSCALL(_RESTRICT_SELF, ruleset, 0):
        os._exit(126)  # as a shell says that a program could not be started


@contextmanager
def no_rules() -> Iterator[int]:
    """In the place of `rules`, where a process keeps all its rights."""
    yield _NO_RULES


def _made(handled: int, known: int) -> int:
    fields = [handled]
    if known >= _SINCE_TCP:
        fields.append(_TCP)
    if known >= _SINCE_SCOPES:
        fields.append(_SCOPES)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    return _checked(_SYSCALL(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    with _closing(place):
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _OF_FILES
        _checked(_SYSCALL(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0))


def _checked(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer


@contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)
