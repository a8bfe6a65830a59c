"""A kernel that has large modules imported already, for notebooks under test: forked from a process that has done nothing else.

Importing torch, diffusers and transformers takes four seconds, half of what a short notebook takes. `argv` names the command of
such a kernel; it starts the process to fork from where there is none yet, which ends with the one that runs the tests. It is of
no use without fork (Windows) and not safe on macOS, whose own libraries do not bear it.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

POSSIBLE = sys.platform == "linux"
SERVE = "serve"
_server = None


def argv(modules: list[str]) -> list[str]:
    """The command that becomes a kernel, as a kernel specification has it; `modules` are imported in their order."""
    return [sys.executable, __file__, _address(modules), "-f", "{connection_file}"]


def _address(modules: list[str]) -> str:
    """Of the socket of this process's server, which is started the first time."""
    global _server
    if _server is None:
        folder = tempfile.mkdtemp(prefix="kernels-")
        address = str(Path(folder) / "socket")
        # It ends when this process does, however that ends: its standard input closes.
        _server = address, subprocess.Popen([sys.executable, __file__, address, SERVE, *modules], stdin=subprocess.PIPE)
    return _server[0]


def serve(address: str, modules: list[str]) -> None:
    """Import, then fork a kernel for each connection."""
    for name in ("ipykernel.ipkernel", *modules):
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children that ended are not kept
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address + ".new")
        listening.listen()
        os.rename(address + ".new", address)  # from here on it can be found
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                become_kernel(connection)


def become_kernel(connection: socket.socket) -> None:
    """Take over folder, environment, streams and arguments from who asked, and run a kernel as `python -m ipykernel` does."""
    message, streams, _, _ = socket.recv_fds(connection, 2**20, 3)
    asked = json.loads(message)
    connection.sendall(f"{os.getpid()}\n".encode())
    # Who asked holds the other end: when it is killed, as Jupyter kills kernels, so is this.
    threading.Thread(target=lambda: (connection.recv(1), os._exit(1)), daemon=True).start()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.environ["JPY_PARENT_PID"] = str(os.getppid())
    sys.argv = ["ipykernel_launcher", *asked["arguments"]]
    del sys.path[0]  # the folder of this file; IPython puts the notebook's there
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()
    os._exit(0)


def ask(address: str, arguments: list[str]) -> None:
    """Stand for a kernel: ask for one, hand interrupts on to it, and end when it ends."""
    with socket.socket(socket.AF_UNIX) as connection:
        for _ in range(600):
            if Path(address).exists():
                break
            threading.Event().wait(0.1)
        connection.connect(address)
        asked = dict(cwd=os.getcwd(), environment=dict(os.environ), arguments=arguments)
        socket.send_fds(connection, [json.dumps(asked).encode()], [0, 1, 2])
        pid = int(connection.recv(20))
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda number, frame: os.kill(pid, number))
        while connection.recv(1):
            pass


if __name__ == "__main__":
    address, *others = sys.argv[1:]
    serve(address, others[1:]) if others[0] == SERVE else ask(address, others)
