"""A real Slurm on this machine: munge, a controller and a node, on ports and in a folder of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")


def install() -> str:
    """Install Slurm from Debian's packages unless it is there; return why that cannot be, or an empty string."""
    if all(shutil.which(name) for name in ("slurmctld", "slurmd", "sbatch", "munged")):
        return ""
    if os.geteuid() or not shutil.which("apt-get"):
        return "Slurm is not installed, and only root can install it with apt-get"
    done = subprocess.run(
        ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES], capture_output=True, check=False
    )
    return "" if done.returncode == 0 else f"apt-get cannot install Slurm: {done.stderr.decode()[-300:]}"


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that nobody uses."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Start Slurm, and yield the environment in which its commands reach it."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    (folder / "slurm.conf").write_text(CONF.format(host=host, folder=folder, ports=free_ports(2)), encoding="utf-8")
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    names = ("pid-file", "log-file", "seed-file")
    subprocess.run(
        ["munged", f"--key-file={key}", f"--socket={folder}/munge.socket", "--force"]
        + [f"--{name}={folder}/munge.{name}" for name in names],
        check=True,
        capture_output=True,
    )
    try:
        for name in ("slurmctld", "slurmd"):
            subprocess.run([name], env=environment, check=True, capture_output=True)
        _until_idle(environment, folder)
        yield environment
    finally:
        subprocess.run(["scancel", "--me"], env=environment, check=False, capture_output=True)
        subprocess.run(["scontrol", "shutdown"], env=environment, check=False, capture_output=True)
        _end(folder / "slurmd.pid")
        _end(folder / "slurmctld.pid")
        _end(folder / "munge.pid-file")


def _until_idle(environment: dict[str, str], folder: Path) -> None:
    for _ in range(120):
        said = subprocess.run(["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True, check=False)
        if said.stdout.strip() in {"idle", "mixed"}:
            return
        time.sleep(0.5)
    logs = [(folder / f"{name}.log").read_text(encoding="utf-8")[-500:] for name in ("slurmctld", "slurmd")]
    raise AssertionError("\n".join(["the node is not idle after a minute", *logs]))


def _end(pid_file: Path) -> None:
    """End the process whose id a file holds, and wait for it."""
    try:
        pid = int(pid_file.read_text(encoding="utf-8"))
        os.kill(pid, 15)
        for _ in range(50):
            os.kill(pid, 0)
            time.sleep(0.1)
    except (OSError, ValueError):
        return


def queue(environment: dict[str, str]) -> list[str]:
    """Return the tasks in the queue."""
    said = subprocess.run(
        ["squeue", "-h", "--array", "--format=%F_%K %T %r"], env=environment, capture_output=True, text=True, check=True
    )
    return said.stdout.splitlines()
