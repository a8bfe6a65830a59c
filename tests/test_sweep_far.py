"""Sweeps that are kept in a folder and go on where they stopped, and sweeps on the workers of a real local cluster."""

import dataclasses
import errno
import os
import signal
import threading
import time

import numpy as np
import pytest
import torch

from sd_helpers import load, sweep
from sd_helpers.metrics import mean_difference
from sd_helpers.sweeps import keeping, sweeping
from sd_helpers.sweeps.signature import alike, signature

PROMPT = "a red apple on a blue background"


@pytest.fixture(scope="module")
def settings(picture):
    axes = dict(start_steps=(0, 3, 6), guidance_scales=(1, 5), seeds=(3, 7))
    return dict(image=picture, **axes, num_inference_steps=8, progress=False)


@pytest.fixture(scope="module")
def in_process(components, settings):
    return sweep(components, PROMPT, **settings)


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("distributed", reason="the optional extra [cluster] is not installed")
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    from distributed import Client

    with Client(cluster) as client:
        client.wait_for_workers(2, timeout=60)
        yield client


def equal(first, second):
    assert len(first.images) == len(second.images) > 1
    assert max(map(mean_difference, first.images, second.images)) < 0.5


@pytest.fixture
def edited():
    """The embedded model with one weight of the U-Net's last layer changed by hand."""
    components = load("emoji-sd", device="cpu")
    components.unet.conv_out.bias[0] += 0.1
    return components


def without_drawing(*args):
    raise AssertionError("a picture was drawn again")


def test_a_kept_sweep_is_read_back(components, settings, in_process, tmp_path, monkeypatch):
    equal(sweep(components, PROMPT, **settings, folder=tmp_path), in_process)
    assert len(list(tmp_path.glob("*.png"))) == 12
    monkeypatch.setattr(sweeping, "draw", without_drawing)
    equal(sweep(components, PROMPT, **settings, folder=tmp_path), in_process)


def test_goes_on_where_it_was_interrupted(components, settings, in_process, tmp_path, monkeypatch):
    drawn, draw = [], sweeping.draw

    def interrupted(components, request, cells, on_steps):
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(cells)
        return draw(components, request, cells, on_steps)

    monkeypatch.setattr(sweeping, "draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep(components, PROMPT, **settings, folder=tmp_path, batch_size=3)
    assert len(list(tmp_path.glob("*.png"))) == 6
    half = min(tmp_path.glob("*.png"))
    half.write_bytes(half.read_bytes()[:100])  # as after a power cut on a file system that lies
    drawn.clear()
    monkeypatch.setattr(sweeping, "draw", lambda *args: drawn.append(args[2]) or draw(*args))
    equal(sweep(components, PROMPT, **settings, folder=tmp_path, batch_size=3), in_process)
    assert sum(map(len, drawn)) == 7


def test_a_broken_picture_is_drawn_again(components, settings, in_process, tmp_path):
    sweep(components, PROMPT, **settings, folder=tmp_path)
    half = min(tmp_path.glob("*.png"))
    data = bytearray(half.read_bytes())
    data[37:41] = b"\0\0\0\0"  # the name of the second chunk: Pillow answers with a SyntaxError
    half.write_bytes(data)
    equal(sweep(components, PROMPT, **settings, folder=tmp_path), in_process)


def test_equal_numbers_are_the_same_picture(components, settings, tmp_path, monkeypatch):
    sweep(components, PROMPT, **settings | dict(guidance_scales=[1, 5]), folder=tmp_path)
    monkeypatch.setattr(sweeping, "draw", without_drawing)
    sweep(components, PROMPT, **settings | dict(guidance_scales=np.linspace(1, 5, 2)), folder=tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")
def test_others_may_read_what_is_kept(components, settings, tmp_path):
    mask = os.umask(0o022)
    try:
        sweep(components, PROMPT, **settings | dict(start_steps=[6], seeds=[3]), folder=tmp_path)
    finally:
        os.umask(mask)
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o644}


def test_pictures_without_a_label_are_refused(components, settings, tmp_path):
    sweep(components, PROMPT, **settings, folder=tmp_path)
    (tmp_path / "sweep.json").unlink()
    with pytest.raises(ValueError, match="no sweep.json that says of which sweep: take another folder"):
        sweep(components, "a fox", **settings, folder=tmp_path)


def test_a_folder_of_another_solver_order_is_refused(components, settings, tmp_path):
    from diffusers import DPMSolverMultistepScheduler

    from sd_helpers import scheduler_like

    second = scheduler_like(components.scheduler, DPMSolverMultistepScheduler)
    third = DPMSolverMultistepScheduler.from_config(second.config, solver_order=3)
    few = settings | dict(start_steps=[6], guidance_scales=[5], seeds=[3])
    sweep(dataclasses.replace(components, scheduler=second), PROMPT, **few, folder=tmp_path)
    with pytest.raises(ValueError, match="holds a sweep with another scheduler: take another folder"):
        sweep(dataclasses.replace(components, scheduler=third), PROMPT, **few, folder=tmp_path)


def test_a_full_disk_loses_nothing_that_was_written(components, settings, in_process, tmp_path, monkeypatch):
    replace, written = os.replace, []

    def full(source, target):
        written.append(target)
        if len(written) > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(keeping.os, "replace", full)
    with pytest.raises(OSError, match="could not be written .*No space left.*same call again") as caught:
        sweep(components, PROMPT, **settings, folder=tmp_path, batch_size=3)
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert len(os.listdir(tmp_path)) == 5 and not list(tmp_path.glob(".*"))  # nothing half-written is left lying
    equal(sweep(components, PROMPT, **settings, folder=tmp_path), in_process)


@pytest.mark.parametrize("change", ["prompt", "num_inference_steps", "image", "model"])
def test_a_folder_of_another_sweep_is_refused(components, settings, edited, tmp_path, change):
    few = settings | dict(start_steps=[6], guidance_scales=[5], seeds=[3])
    sweep(components, PROMPT, **few, folder=tmp_path)
    other = {"num_inference_steps": dict(num_inference_steps=9), "image": dict(image=few["image"].rotate(90))}
    model = edited if change == "model" else components
    prompt = "a fox" if change == "prompt" else PROMPT
    with pytest.raises(ValueError, match=f"holds a sweep with another {change}: take another folder"):
        sweep(model, prompt, **few | other.get(change, {}), folder=tmp_path)


def test_a_folder_with_a_broken_label_is_refused(components, settings, tmp_path):
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(ValueError, match="sweep.json cannot be read"):
        sweep(components, PROMPT, **settings, folder=tmp_path)


def test_a_file_is_no_folder(components, settings, tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(ValueError, match="x' is a file: give a folder"):
        sweep(components, PROMPT, **settings, folder=tmp_path / "x")
    assert (tmp_path / "x").read_text() == "mine"


def test_no_client(components, settings, monkeypatch):
    pytest.importorskip("distributed", reason="the optional extra [cluster] is not installed")
    with pytest.raises(ValueError, match="client='tcp://x:1' must be a dask.distributed.Client"):
        sweep(components, PROMPT, **settings, client="tcp://x:1")
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(ValueError, match="pip install 'sd-helpers\\[cluster\\]'"):
        sweep(components, PROMPT, **settings, client="tcp://x:1")


def test_signature_tells_models_apart(components, edited, picture):
    mine = signature(components, ["", PROMPT], picture)
    assert alike(mine, signature(load("emoji-sd", device="cpu"), ["", PROMPT], picture), torch.float32)
    assert not alike(mine, signature(edited, ["", PROMPT], picture), torch.float32)
    hooked = load("emoji-sd", device="cpu")
    hooked.unet.mid_block.register_forward_hook(lambda module, args, output: output * 1.1)
    assert not alike(mine, signature(hooked, ["", PROMPT], picture), torch.float32)
    from diffusers import EulerDiscreteScheduler

    from sd_helpers import scheduler_like

    euler = dataclasses.replace(components, scheduler=scheduler_like(components.scheduler, EulerDiscreteScheduler))
    assert not alike(mine, signature(euler, ["", PROMPT], picture), torch.float32)


def test_a_cluster_draws_the_same(client, components, settings, in_process, monkeypatch):
    monkeypatch.setattr("sd_helpers.sweeps.cluster._sent", without_drawing)  # workers can load this one themselves
    equal(sweep(components, PROMPT, **settings, client=client), in_process)
    loads = client.run(lambda: __import__("sd_helpers.sweeps.cluster").sweeps.cluster.loaded.cache_info().misses)
    assert list(loads.values()) == [1, 1]  # once per worker
    sweep(components, PROMPT, **settings | dict(seeds=[4]), client=client)
    assert client.run(lambda: __import__("sd_helpers.sweeps.cluster").sweeps.cluster.loaded.cache_info().misses) == loads


def test_the_grid_fills_as_pictures_come(client, components, settings, monkeypatch):
    shown = []

    class Spy:
        def update(self, make):
            shown.append(make())

        def clear(self):
            shown.append(None)

    monkeypatch.setattr("sd_helpers.views.live", Spy)
    drawn = sweep(components, PROMPT, **settings | dict(progress=True), client=client, batch_size=3)
    *partial, last = shown
    grey = [sum(picture.getextrema() == ((211, 211),) * 3 for picture in sweep.images) for sweep in partial]
    assert last is None and grey == [9, 6, 3, 0] and partial[-1].start_steps == drawn.start_steps


def test_a_killed_worker_costs_nothing(client, components, settings, tmp_path):
    longer = settings | dict(num_inference_steps=50, start_steps=(0, 1, 2, 3))
    processes = client.run(os.getpid)
    killed = []

    def kill_one():
        while not list(tmp_path.glob("*.png")):  # one batch is done, others are under way
            time.sleep(0.02)
        killed.append(len(list(tmp_path.glob("*.png"))))
        os.kill(min(processes.values()), getattr(signal, "SIGKILL", signal.SIGTERM))

    threading.Thread(target=kill_one, daemon=True).start()
    drawn = sweep(components, PROMPT, **longer, client=client, folder=tmp_path, batch_size=1)
    assert killed and killed[0] < len(drawn.images)
    equal(drawn, sweep(components, PROMPT, **longer))


def test_an_edited_model_travels(client, edited, settings, in_process):
    far = sweep(edited, PROMPT, **settings, client=client)
    equal(far, sweep(edited, PROMPT, **settings))
    assert mean_difference(far.images[0], in_process.images[0]) > 1


def test_the_scheduler_travels(client, components, settings, monkeypatch):
    """diffusers' own LMS is started wrongly in mid-schedule, and takes the same steps as ours from the beginning."""
    from diffusers import LMSDiscreteScheduler

    from sd_helpers import scheduler_like

    monkeypatch.setattr("sd_helpers.sweeps.cluster._sent", without_drawing)
    theirs = dataclasses.replace(components, scheduler=scheduler_like(components.scheduler, LMSDiscreteScheduler))
    late = settings | dict(start_steps=[0, 4])
    far, ours = sweep(theirs, PROMPT, **late, client=client), sweep(components, PROMPT, **late)
    equal(far, sweep(theirs, PROMPT, **late))
    assert mean_difference(far.image(0, 5), ours.image(0, 5)) < 0.5 < mean_difference(far.image(4, 5), ours.image(4, 5))


def test_all_workers_of_an_edited_model_die(client, edited, settings, tmp_path):
    """The model that was sent is lost with them, and is sent again to those that take their places."""
    longer = settings | dict(num_inference_steps=50, start_steps=(0, 1))
    processes, killed = client.run(os.getpid), []

    def kill_all():
        while not list(tmp_path.glob("*.png")):
            time.sleep(0.02)
        for process in processes.values():
            os.kill(process, getattr(signal, "SIGKILL", signal.SIGTERM))
            killed.append(process)

    threading.Thread(target=kill_all, daemon=True).start()
    drawn = sweep(edited, PROMPT, **longer, client=client, folder=tmp_path, batch_size=1)
    assert len(killed) == 2
    equal(drawn, sweep(edited, PROMPT, **longer))


def test_a_folder_saved_again_is_loaded_again(client, edited, settings, tmp_path, monkeypatch):
    monkeypatch.setattr("sd_helpers.sweeps.cluster._sent", without_drawing)
    edited.save(tmp_path / "model")
    first = sweep(load(tmp_path / "model", device="cpu"), PROMPT, **settings, client=client)
    edited.unet.conv_out.bias[1] -= 0.1
    edited.save(tmp_path / "model")
    again = sweep(load(tmp_path / "model", device="cpu"), PROMPT, **settings, client=client)
    equal(again, sweep(edited, PROMPT, **settings))
    assert mean_difference(first.images[0], again.images[0]) > 1


def test_what_cannot_travel_is_refused(client, edited, settings):
    lock = threading.Lock()
    edited.unet.mid_block.register_forward_hook(lambda module, args, output: lock and None)
    with pytest.raises(ValueError, match="cannot be sent: .*lock.*Take off the hooks"):
        sweep(edited, PROMPT, **settings, client=client)


def test_a_picture_that_cannot_be_kept_stops_the_workers(client, components, settings, tmp_path, monkeypatch):
    def full(source, target):
        if str(target).endswith(".png"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    replace = os.replace
    monkeypatch.setattr(keeping.os, "replace", full)
    longer = settings | dict(num_inference_steps=50, start_steps=(0, 1))
    with pytest.raises(OSError, match="could not be written") as caught:  # which holds on to the frames of the call
        sweep(components, PROMPT, **longer, client=client, folder=tmp_path, batch_size=1)
    waiting = sum(map(len, client.processing().values()))
    assert caught.value.errno == errno.ENOSPC and waiting <= 2  # those that had begun


def test_an_edited_model_too_large_to_send_is_refused(client, edited, settings, monkeypatch):
    monkeypatch.setattr("sd_helpers.sweeps.cluster.LARGEST", 1000)
    with pytest.raises(ValueError, match="edited by hand.* GB are too much to send. Save them"):
        sweep(edited, PROMPT, **settings, client=client)


def test_a_cluster_without_workers(components, settings):
    pytest.importorskip("distributed", reason="the optional extra [cluster] is not installed")
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster, Client(cluster) as idle:
        with_it = settings | dict(client=idle)
        pytest.raises(ValueError, sweep, components, PROMPT, **with_it).match("has no workers: start some")
