"""The hub's configuration, read as JupyterHub reads it; a hub itself is not started here."""

import contextlib
import json
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from traitlets.config import Config

from classroom.student import FOLDER

CONFIG = Path(__file__).parents[1] / "classroom" / "jupyterhub_config.py"


@pytest.fixture
def load(tmp_path, monkeypatch, capsys):
    """Execute the configuration with some settings: (c, its names, what it printed)."""

    def loaded(**settings):
        monkeypatch.setenv("SD_HUB_FOLDER", str(tmp_path / "hub"))
        for name in ("SD_HUB_CERT", "SD_HUB_KEY", "SD_HUB_PORT", "SD_HUB_MEMORY"):
            monkeypatch.delenv(name, raising=False)
        for name, value in settings.items():
            monkeypatch.setenv(name, str(value))
        names = {"get_config": Config, "__file__": str(CONFIG)}
        exec(compile(CONFIG.read_text(), str(CONFIG), "exec"), names)
        return names["c"], names, capsys.readouterr().out

    return loaded


def test_the_proxy_waits_as_long_as_a_server_may_take_to_start(load):
    """Its own 20 seconds are less than six servers need on two cores: the page that waits then never moves on."""
    c, _, _ = load()
    (waits,) = (a for a in c.ConfigurableHTTPProxy.command if a.startswith("--proxy-timeout="))
    assert int(waits.split("=")[1]) > 1000 * c.Spawner.start_timeout


def test_it_listens_on_this_computer_only(load):
    c, _, shown = load()
    assert c.JupyterHub.bind_url == "http://127.0.0.1:8000" in shown and "ssl_cert" not in c.JupyterHub
    assert c.JupyterHub.hub_ip == "127.0.0.1" and c.ConfigurableHTTPProxy.api_url == "http://127.0.0.1:8002"


def test_with_a_certificate_it_listens_to_the_class(load, tmp_path):
    for name in ("crt", "key"):
        (tmp_path / name).touch()
    c, _, _ = load(SD_HUB_CERT=tmp_path / "crt", SD_HUB_KEY=tmp_path / "key", SD_HUB_PORT=9000)
    assert c.JupyterHub.bind_url == "https://0.0.0.0:9000" and c.JupyterHub.ssl_key == str(tmp_path / "key")


@pytest.mark.parametrize("settings", [{"SD_HUB_CERT": "a"}, {"SD_HUB_CERT": "no", "SD_HUB_KEY": "no"}])
def test_half_a_certificate_or_none_is_refused(load, settings):
    with pytest.raises(SystemExit, match="SD_HUB_CERT"):
        load(**settings)


@pytest.mark.parametrize("name", ["SD_HUB_PORT", "SD_HUB_MEMORY"])
@pytest.mark.parametrize("given", ["abc", "-1", "nan", "1e9"])
def test_a_setting_that_is_no_such_number_is_refused(load, name, given):
    with pytest.raises(SystemExit, match=f"{name}='{given}' should be a number from"):
        load(**{name: given})


def test_the_password_is_its_own_and_stays(load, tmp_path):
    c, _, shown = load()
    password = c.SharedPasswordAuthenticator.user_password
    assert re.fullmatch(r"([a-z]{4}-){3}[a-z]{4}", password) and password in shown
    assert load()[0].SharedPasswordAuthenticator.user_password == password
    assert stat.S_IMODE((tmp_path / "hub" / "password").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "hub").stat().st_mode) == 0o700


def test_homes_get_the_student_edition_once(load, tmp_path):
    _, names, _ = load()
    spawner = SimpleNamespace(user=SimpleNamespace(name="ann"))
    names["hand_out"](spawner)
    mine = tmp_path / "hub" / "homes" / "ann" / FOLDER / "00_the_whole_thing.ipynb"
    mine.write_text("worked on")
    names["hand_out"](spawner)
    assert mine.read_text() == "worked on" and not list(mine.parent.rglob("solutions"))


@pytest.mark.parametrize("name, allowed", [("ann", True), ("ann.b-2", True), ("../ann", False), ("", False), ("a/b", False)])
def test_names_that_may_be_folders(load, name, allowed):
    assert bool(re.fullmatch(load()[0].Authenticator.username_pattern, name)) == allowed


def test_kernels_are_polite_and_culled_and_there_is_no_news(load, tmp_path):
    c, _, _ = load()
    page = json.loads((tmp_path / "hub/config/labconfig/page_config.json").read_text())
    assert page["disabledExtensions"]["@jupyterlab/apputils-extension:announcements"]
    assert c.Spawner.environment["JUPYTER_CONFIG_PATH"] == str(tmp_path / "hub/config")
    assert c.Spawner.environment["OMP_NUM_THREADS"] == "1" and c.Spawner.environment["HF_HUB_OFFLINE"] == "1"
    assert "--MappingKernelManager.cull_connected=True" in c.Spawner.args


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is for Linux")
def test_a_process_has_a_limit_of_memory(load):
    limit = load()[1]["limit_memory"]
    greedy = "b = bytearray(4_000_000_000)"
    run = subprocess.run([sys.executable, "-c", greedy], preexec_fn=limit, capture_output=True, text=True, check=False)
    assert "MemoryError" in run.stderr


def test_what_it_does_not_protect_against_is_said():
    text = CONFIG.read_text()
    for said in ("does not protect against", "as the one user who started", "mem_limit", "systemdspawner", "full disk"):
        assert said in " ".join(text.split())


def test_its_requirements_are_pinned():
    lines = [line for line in CONFIG.with_name("requirements-hub.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines and all(re.fullmatch(r"[\w-]+==[\d.]+", line) for line in lines)


@pytest.fixture
def hub(tmp_path):
    """A hub that runs: its address and password."""
    requests = pytest.importorskip("requests")
    environment = os.environ | {"SD_HUB_FOLDER": str(tmp_path), "SD_HUB_PORT": "8910"}
    with subprocess.Popen([sys.executable, "-m", "jupyterhub", "-f", str(CONFIG)], env=environment) as running:
        try:
            address, deadline = "http://127.0.0.1:8910", time.monotonic() + 90
            while time.monotonic() < deadline:
                with contextlib.suppress(requests.ConnectionError):
                    if requests.get(f"{address}/hub/login", timeout=5).ok:
                        break
                time.sleep(1)
            yield address, (tmp_path / "password").read_text()
        finally:
            running.terminate()


def signed_in(address: str, name: str, password: str):
    """A learner's session, and what the hub answered."""
    import requests

    session = requests.Session()
    session.get(f"{address}/hub/login")
    form = {"username": name, "password": password, "_xsrf": session.cookies["_xsrf"]}
    return session, session.post(f"{address}/hub/login", data=form)


@pytest.mark.skipif(not os.environ.get("CLASSROOM_HUB"), reason="CLASSROOM_HUB=1 starts a hub; needs requirements-hub.txt")
def test_a_hub_lets_in_whoever_has_the_password_and_hands_out(hub):
    """Asked for by hand: it takes a minute."""
    address, password = hub
    assert signed_in(address, "ann", "wrong")[1].status_code == 403
    assert signed_in(address, "../ann", password)[1].status_code in (400, 403)
    session, _ = signed_in(address, "ann", password)
    page = opened(session, f"{address}/user/ann/lab")
    assert re.search(r'"news":\s*{"disabled":\s*true}', page), "the news pop-up is off"
    names = {item["name"] for item in session.get(f"{address}/user/ann/api/contents/{FOLDER}").json()["content"]}
    assert "00_the_whole_thing.ipynb" in names and "solutions" not in names
    again, _ = signed_in(address, "ann", password)  # who signs in twice finds the same server
    assert "jupyter-config-data" in opened(again, f"{address}/user/ann/lab")


def opened(session, address: str) -> str:
    """A learner's JupyterLab, as soon as the server is there."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        answer = session.get(address)
        if answer.ok and "jupyter-config-data" in answer.text:
            return answer.text
        time.sleep(1)
    raise TimeoutError(f"{address} did not open; at last it answered {answer.status_code} from {answer.url}")
