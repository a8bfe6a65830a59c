"""Around a submission while it runs: limits, no network, no other files or programs; and whether it changed what checks it.

They are for accidents and cheek. They are no sandbox: whoever knows Python well gets past those that are made in Python.
"""

from __future__ import annotations

import builtins
import contextlib
import os
import sys
import tempfile
from pathlib import Path

NEW_USER, NEW_NET = 0x10000000, 0x40000000  # of unshare(2)
LARGEST_FILE = 100_000_000  # bytes
PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "pty.spawn")
SIGNALS = ("os.kill", "os.killpg", "signal.pthread_kill")
SOCKETS = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname")
CHANGES = ("os.remove", "os.rmdir", "os.rename", "os.truncate", "os.chmod", "os.chown", "os.mkdir", "os.link", "os.symlink")
CHANGES += ("shutil.rmtree",)
OWN = ("sd_helpers", "classroom")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC


def limit(memory: int) -> bool:
    """Limit this process and what it starts; on Linux only. Whether the network is cut off.

    Args:
        memory: bytes that it may use.
    """
    if sys.platform != "linux":
        return False
    import resource

    for what, most in ((resource.RLIMIT_DATA, memory), (resource.RLIMIT_FSIZE, LARGEST_FILE), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))
    return _without_network()


def _without_network() -> bool:
    """Move this process to a network of its own, in which there is nothing. Some systems do not allow it."""
    import ctypes

    with contextlib.suppress(AttributeError, OSError):
        return ctypes.CDLL(None).unshare(NEW_USER | NEW_NET) == 0
    return False


def silence(channel: int) -> None:
    """Nothing to read from, all that is printed goes nowhere, and of other open files only the channel stays.

    A submission that writes into whatever is open would else end the process that all submissions are forked from.
    """
    if os.name == "posix":
        os.closerange(3, channel)
        os.closerange(channel + 1, os.sysconf("SC_OPEN_MAX"))
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")


def watch(folder: Path) -> None:
    """From now on refuse, in this process, other programs, the network, and changes of files outside of the folder."""
    allowed = os.path.realpath(folder)
    tempfile.tempdir, sys.dont_write_bytecode = allowed, True

    def inside(path) -> bool:
        path = os.path.realpath(os.fsdecode(path))
        return path in (os.devnull, allowed) or path.startswith(allowed + os.sep)

    def hook(event: str, args: tuple) -> None:
        if event in PROGRAMS or event in SOCKETS or event in SIGNALS:
            raise PermissionError(f"{event} is not allowed while a submission is marked.")
        if event == "open" and not isinstance(args[0], int) and _writes(*args[1:3]) and not inside(args[0]):
            raise PermissionError(f"Writing to {args[0]!r} is not allowed while a submission is marked.")
        if event in CHANGES and not isinstance(args[0], int) and not inside(args[0]):
            raise PermissionError(f"{event} of {args[0]!r} is not allowed while a submission is marked.")

    sys.addaudithook(hook)


def _writes(mode: str | None, flags: int | None) -> bool:
    """Whether a file is opened to be changed."""
    return bool(set(mode or "") & set("wax+")) or bool((flags or 0) & WRITING)


class Seal:
    """Remembers what the checks are made of, and tells what has been changed since.

    That is every function and class of `sd_helpers` and of the grader, and what Python and torch compute with.
    """

    def __init__(self):
        self.kept = dict(self._parts())

    @staticmethod
    def _parts():
        import torch

        owners = {name: module for name, module in sys.modules.items() if name.split(".")[0] in OWN}
        owners |= {"builtins": builtins, "torch": torch}
        owners |= {f"torch.{kind.__name__}": kind for kind in torch.Tensor.__mro__[:-1]}
        for owner, module in owners.items():
            for name, value in list(vars(module).items()):
                if callable(value):
                    yield (owner, name), (value, getattr(value, "__code__", None), getattr(value, "__defaults__", None))
                if isinstance(value, type) and value.__module__.split(".")[0] in OWN:
                    for inner, method in list(vars(value).items()):
                        yield (owner, f"{name}.{inner}"), (method, getattr(method, "__code__", None), None)

    def broken(self) -> str:
        """The name of the first thing that is no longer what it was, or nothing."""
        now = dict(self._parts())
        for key, parts in self.kept.items():
            if key not in now or any(a is not b for a, b in zip(parts, now[key])):
                return ".".join(key)
        return ""
