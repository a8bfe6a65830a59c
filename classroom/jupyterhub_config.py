"""A hub for one class on one computer: no root, no Docker, no node. From the project's folder, in its environment:

    python -m pip install -r classroom/requirements-hub.txt
    python -m jupyterhub -f classroom/jupyterhub_config.py

It shows an address and a password. Whoever knows the password signs in with a name of their own choice, and finds the student
edition in a home of their own. All that it writes lies in ~/sd-hub, or where SD_HUB_FOLDER says. Ctrl+C ends it; the homes stay.

Without more it listens on this computer only. For a class it needs a certificate, so that the password does not cross the network
in the clear. One that browsers warn about, but that does:

    openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=classroom -keyout hub.key -out hub.crt
    SD_HUB_CERT=hub.crt SD_HUB_KEY=hub.key python -m jupyterhub -f classroom/jupyterhub_config.py

What it does not protect against:

- learners from each other: whoever has the password can sign in under any name, and every kernel runs as the one user who started
  the hub, so that a learner's code can read and change all homes, and whatever else this user can. Use a user made for it, on a
  computer without private data;
- memory used up by one: `Spawner.mem_limit` does nothing here, since local spawners do not enforce it. On Linux each *process* is
  limited to SD_HUB_MEMORY gigabytes (3); a learner can have several. For a limit for each learner take systemdspawner, which
  needs root, or containers; for one for the whole class start the hub by `systemd-run --user --scope -p MemoryMax=24G ...`;
- a full disk, and all cores taken by one.
"""

import json
import os
import secrets
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from classroom.student import FOLDER, write_student_edition  # noqa: E402

HUB = Path(os.environ.get("SD_HUB_FOLDER") or Path.home() / "sd-hub").resolve()
CERT, KEY = os.environ.get("SD_HUB_CERT"), os.environ.get("SD_HUB_KEY")
STARTING = 180  # seconds that a server may take to start: thirty at once
IDLE_KERNEL, IDLE_SERVER = 60 * 60, 2 * 60 * 60  # seconds


def setting(name: str, default, least, most):
    """A number from the environment, of the default's type."""
    given = os.environ.get(name) or default
    try:
        if least <= type(default)(given) <= most:
            return type(default)(given)
    except ValueError:
        pass
    sys.exit(f"{name}={given!r} should be a number from {least} to {most}; leave it out for {default}.")


PORT = setting("SD_HUB_PORT", 8000, 1, 65533)  # and the two behind it
MEMORY = setting("SD_HUB_MEMORY", 3.0, 1.0, 1000.0)  # gigabytes, of one process


def shared_password() -> str:
    """The password: made at the first start, kept for the next."""
    path = HUB / "password"
    if not path.exists():
        syllables = [secrets.choice("bdfghklmnprstvwz") + secrets.choice("aeiou") for _ in range(8)]
        made = "-".join("".join(syllables[i : i + 2]) for i in range(0, 8, 2))
        path.touch(mode=0o600)
        path.write_text(made)
    return path.read_text().strip()


def hand_out(spawner) -> None:
    """The student edition in the home of who has none yet; nobody's work is written over."""
    home = HUB / "homes" / spawner.user.name
    home.mkdir(parents=True, exist_ok=True)
    if not (home / FOLDER).exists():
        shutil.copytree(HUB / "student", home / FOLDER)


def limit_memory() -> None:
    """In a learner's server, before it starts; its kernels inherit it. On Linux only."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (int(MEMORY * 1e9),) * 2)


if bool(CERT) != bool(KEY):
    sys.exit(f"A certificate has two files: SD_HUB_CERT is {CERT!r} and SD_HUB_KEY is {KEY!r}. Set both, or neither.")
for path in filter(None, (CERT, KEY)):
    if not Path(path).is_file():
        sys.exit(f"There is no file {path!r}, which SD_HUB_CERT or SD_HUB_KEY names.")

HUB.mkdir(parents=True, exist_ok=True)
os.chmod(HUB, 0o700)
page_config = HUB / "config" / "labconfig" / "page_config.json"
page_config.parent.mkdir(parents=True, exist_ok=True)
# Neither news nor updates are for a class, and the question whether they should be fetched covers the cells.
page_config.write_text(json.dumps({"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}))
write_student_edition(HUB / "student", with_package=False)

c = get_config()  # noqa: F821
if CERT:
    c.JupyterHub.ssl_cert, c.JupyterHub.ssl_key = (str(Path(path).resolve()) for path in (CERT, KEY))
ADDRESS = f"{'https' if CERT else 'http'}://{'0.0.0.0' if CERT else '127.0.0.1'}:{PORT}"
c.JupyterHub.bind_url = ADDRESS
c.JupyterHub.hub_ip, c.JupyterHub.hub_port = "127.0.0.1", PORT + 1
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{PORT + 2}"
c.ConfigurableHTTPProxy.command = [sys.executable, "-c", "from configurable_http_proxy.cli import main; main()"]
# The page that waits for a server would give up after the proxy's 20 seconds, and never learn that the server is there.
c.ConfigurableHTTPProxy.command += ["--log-level=WARNING", f"--proxy-timeout={1000 * (STARTING + 20)}"]
c.ConfigurableHTTPProxy.pid_file = str(HUB / "proxy.pid")
c.JupyterHub.db_url = f"sqlite:///{HUB / 'hub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(HUB / "cookie_secret")
c.JupyterHub.log_level = "WARN"
c.JupyterHub.active_server_limit = 60

c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = shared_password()
c.Authenticator.allow_all = True
c.Authenticator.username_pattern = r"[a-z][a-z0-9_.-]{0,30}"  # a name becomes a folder

c.JupyterHub.spawner_class = "simple"  # no users of the system are needed
c.SimpleLocalProcessSpawner.home_dir_template = str(HUB / "homes" / "{username}")
c.LocalProcessSpawner.popen_kwargs = {"preexec_fn": limit_memory} if os.name == "posix" else {}
c.Spawner.pre_spawn_hook = hand_out
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.default_url = f"/lab/tree/{FOLDER}/00_the_whole_thing.ipynb"
c.Spawner.notebook_dir = "~"
c.Spawner.start_timeout = c.Spawner.http_timeout = STARTING
c.Spawner.environment = {
    "JUPYTER_CONFIG_PATH": str(HUB / "config"),
    "OMP_NUM_THREADS": "1",  # docs/scaling.md says why
    "GOMP_SPINCOUNT": "300",
    "HF_HUB_OFFLINE": "1",
    "SD_HELPERS_CACHE": str(HUB / "cache"),  # OpenVINO's form of the U-Net is made once for all
}
c.Spawner.args = [
    f"--MappingKernelManager.cull_idle_timeout={IDLE_KERNEL}",
    "--MappingKernelManager.cull_interval=300",
    "--MappingKernelManager.cull_connected=True",  # an open tab does not keep a kernel
    f"--ServerApp.shutdown_no_activity_timeout={IDLE_SERVER}",
    "--ServerApp.log_level=ERROR",
    *(["--allow-root"] if hasattr(os, "getuid") and os.getuid() == 0 else []),
]

where = ADDRESS.replace("0.0.0.0", "<this computer's name or address>")
print(
    f"\n  The class opens {where}\n  Any name, and the password {shared_password()}\n  Homes are in {HUB / 'homes'}\n", flush=True
)
