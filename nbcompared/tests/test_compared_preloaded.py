"""Kernels forked from a process with torch: like any other to the notebook, and gone when they should be."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nbcompared import preloaded

pytest.importorskip("jupyter_client")
from jupyter_client.manager import KernelManager  # noqa: E402

pytestmark = pytest.mark.skipif(not preloaded.POSSIBLE, reason="kernels are forked on Linux only")


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A manager and a function that runs code and gives what it printed."""
    monkeypatch.setenv("FOR_THE_KERNEL", "told")
    manager = KernelManager()
    manager.kernel_spec.argv = preloaded.argv(["torch"])
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)

    def run(code: str, timeout: float = 30) -> str:
        said = []
        client.execute_interactive(code, timeout=timeout, output_hook=lambda message: said.append(message["content"]))
        return "".join(content.get("text", content.get("ename", "")) for content in said)

    yield manager, run, client
    client.stop_channels()
    if manager.is_alive():
        manager.shutdown_kernel(now=True)


def gone(pid: int, seconds: float = 10) -> bool:
    """Whether a process ends within that time."""
    for _ in range(int(seconds * 10)):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_it_is_as_any_other_kernel(kernel, tmp_path):
    manager, run, client = kernel
    assert run("import sys; print('torch' in sys.modules)") == "True\n"
    assert run("import os; print(os.getcwd(), os.environ['FOR_THE_KERNEL'], '' in sys.path)") == f"{tmp_path} told True\n"
    assert run("print(__name__, [name for name in dir() if not name.startswith('_')])") == (
        "__main__ ['In', 'Out', 'exit', 'get_ipython', 'open', 'os', 'quit', 'sys']\n"
    )
    assert run("import torch; print(float((torch.ones(300, 300) @ torch.ones(300, 300)).sum()))") == "27000000.0\n"
    pid = int(run("print(os.getpid())"))
    manager.shutdown_kernel()
    assert gone(pid)


def test_it_can_be_interrupted(kernel):
    manager, run, client = kernel
    client.execute("import time; time.sleep(60)")
    time.sleep(1)
    manager.interrupt_kernel()
    run("print('what has been asked for meanwhile is dropped')", timeout=20)
    assert run("print('still there')", timeout=20) == "still there\n"


def test_it_ends_when_it_is_killed(kernel):
    manager, run, client = kernel
    pid = int(run("import os; print(os.getpid())"))
    assert pid != manager.provisioner.pid
    os.kill(manager.provisioner.pid, signal.SIGKILL)
    assert gone(pid)


def test_two_share_nothing(kernel, tmp_path):
    manager, run, client = kernel
    run("import torch; torch.manual_seed(5); torch.shared = 1")
    other = KernelManager()
    other.kernel_spec.argv = preloaded.argv(["torch"])
    other.start_kernel(cwd=str(tmp_path))
    try:
        client = other.client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        said = []
        code = "import torch; print(hasattr(torch, 'shared'))"
        client.execute_interactive(code, timeout=30, output_hook=lambda message: said.append(message["content"].get("text", "")))
        assert "".join(said) == "False\n"
        client.stop_channels()
    finally:
        other.shutdown_kernel(now=True)


def test_the_server_ends_with_who_started_it(tmp_path):
    code = f"import sys; sys.path.insert(0, {str(Path(preloaded.__file__).parents[1])!r}); from nbcompared import preloaded; "
    code += "preloaded.argv([]); print(preloaded._server[1].pid); sys.stdout.flush(); import os; os._exit(0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert gone(int(done.stdout), 60)
