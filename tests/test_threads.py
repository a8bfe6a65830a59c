"""Threads suit the work, and whoever sets them is obeyed. In processes of their own, for torch's number is one for all tests."""

import os
import subprocess
import sys

import pytest

from sd_helpers.runtime.threads import BY_HAND

BEGIN = """
import torch
from sd_helpers import generate, load
components = load("emoji-sd", device="cpu")
unet, text = components.unet, torch.zeros(1, 77, components.unet.config.cross_attention_dim)

def threads_for(rows, side=16):
    seen = []
    hook = unet.conv_in.register_forward_hook(lambda *given: seen.append(torch.get_num_threads()))
    with torch.no_grad():
        unet(torch.zeros(rows, 4, side, side), 500, text.expand(rows, -1, -1))
    hook.remove()
    return seen[0]
"""


def answers(code: str, before: str = "", threads: int | None = None, **environment) -> str:
    """What a new Python prints for this code after BEGIN, where torch would take `threads` by itself."""
    set_by_tests = (*BY_HAND, "GOMP_SPINCOUNT")  # dask's workers set the second, too
    inherited = {name: value for name, value in os.environ.items() if name not in set_by_tests}
    alike = f"import os, torch; torch.set_num_threads({threads})" if threads else ""  # as if the machine had so many cores
    code = "\n".join([before, alike, BEGIN if threads else "", code])
    done = subprocess.run([sys.executable, "-c", code], env=inherited | environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


LEFT_TO_US = """
import threading

print(threads_for(2), threads_for(16), threads_for(1), threads_for(2, 64))  # a large picture is as much work as a batch
print(components.describe().splitlines()[-1])
for n in (1, 8, 2):
    components.vae.decode(torch.zeros(n, 4, 16, 16))
    print(torch.get_num_threads(), end=" ")
components.vae.encode(torch.zeros(1, 3, 128, 128))
print(torch.get_num_threads())
told = []
other = threading.Thread(target=lambda: told.extend([threads_for(16), threads_for(2)]))
other.start(); other.join()
print(*told, threads_for(16))

from sd_helpers.runtime import openvino_unet
settings = dict(num_inference_steps=2, progress=False)
generate(components, "a puppy", **settings)
first = generate(components, "a puppy", num_images=8, **settings)
print(*(len(requests) for requests in openvino_unet._compiled.values()))
generate(components, "a puppy", **settings)
again = generate(components, "a puppy", num_images=8, **settings)
third = generate(components, "a puppy", num_images=8, **settings)
print(all(p.tobytes() == q.tobytes() == r.tobytes() for p, q, r in zip(first, again, third)))
"""


def test_one_for_a_picture_all_for_a_batch():
    unet, described, vae, other, drawing, same = answers(LEFT_TO_US, threads=3).splitlines()
    assert unet == "1 3 1 3" and vae == "1 3 1 1"
    assert described.startswith("threads: 1 for a picture, 3 for a large batch")
    assert other == "3 1 3"  # another Python thread chooses for itself
    assert drawing == "1 3"  # OpenVINO: one stream for a picture, one for each core for a batch
    assert same == "True"  # a picture is the same whatever was drawn before


def test_a_small_network_of_points_trains_on_one_thread():
    code = """
from sd_helpers.beyond.from_nothing import PlaneNet
for rows in (256, 5000, 256):
    PlaneNet()(torch.zeros(rows, 2), 0.5)
    print(torch.get_num_threads(), end=" ")
"""
    assert answers(code, threads=2) == "1 2 1"


def test_the_environment_is_obeyed():
    code = "print(threads_for(2), threads_for(16)); print(components.describe())"
    counts, *lines = answers(code, threads=2, OMP_NUM_THREADS="2").splitlines()
    assert counts == "2 2" and lines[-1] == "threads: 2 (set by you)"


@pytest.mark.parametrize("by_hand", [1, 2, 4])
def test_torch_set_num_threads_is_obeyed(by_hand):
    code = (
        f"threads_for(2); torch.set_num_threads({by_hand}); print(threads_for(2), threads_for(16)); print(components.describe())"
    )
    counts, *lines = answers(code, threads=3).splitlines()
    assert counts == f"{by_hand} {by_hand}" and lines[-1] == f"threads: {by_hand} (set by you)"


def test_waiting_is_polite_where_that_can_still_be_said():
    told = "import os, sd_helpers; print(os.environ.get('GOMP_SPINCOUNT'))"
    polite = "300" if sys.platform == "linux" else "None"
    assert answers(told) == polite
    assert answers(told, before="import torch") == "None"
    assert answers(told, GOMP_SPINCOUNT="7") == "7"
    assert answers(told, OMP_WAIT_POLICY="ACTIVE") == "None"
