"""Ray: a real cluster of two nodes on the loopback, in an environment of its own that this file makes."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import sysconfig
from pathlib import Path

import cells as small
import pytest

from unswayed.core.errors import ConfigError
from unswayed.sweep.cell import cell_folder
from unswayed.sweep.executors.base import Work
from unswayed.sweep.executors.local import Slots, run_local
from unswayed.sweep.executors.ray import run_ray
from unswayed.sweep.states import states_of

ROOT = Path(__file__).resolve().parents[2]

DRIVER = """
import sys
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
from unswayed.sweep.running import run

node = {"num_cpus": 1, "object_store_memory": 80_000_000, "node_ip_address": "127.0.0.1"}
cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
cluster.add_node(**node)
ray.init(address=cluster.address, _node_ip_address="127.0.0.1", log_to_driver=False)
try:
    run(sys.argv[1], executor="ray")
finally:
    ray.shutdown()
    cluster.shutdown()
"""


def test_without_ray_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'unswayed\[ray\]'"):
        run_ray(Work(tmp_path, [], lambda _: None, lambda: False))


def environment_with_ray(folder: Path) -> Path:
    """Make an environment that has Ray and, behind it, everything that this one has; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    done = subprocess.run([str(python), "-m", "pip", "install", "-q", "ray>=2.60"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"pip cannot install Ray: {done.stderr.decode()[-300:]}")
    places = [str(ROOT / "src"), *site.getsitepackages(), sysconfig.get_paths()["purelib"]]
    ours = Path(subprocess.run([str(python), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
                               capture_output=True, text=True, check=True).stdout.strip())  # fmt: skip
    (ours / "behind.pth").write_text("\n".join(dict.fromkeys(places)) + "\n", encoding="utf-8")
    return python


@pytest.mark.deep
def test_a_real_cluster_of_two_nodes_makes_the_bytes_that_this_machine_makes(tmp_path: Path) -> None:
    first = small.script("first", "echo 1 > work/a; sleep 1", kind="organism")
    other = small.script("other", "echo 2 > work/a; sleep 1", kind="organism")
    below = small.script("below", f"cat ../{first.key}/out/a ../{other.key}/out/a > work/b", [first, other])
    again = small.script("again", "test -e work/saved || { touch work/saved; exit 75; }; echo 3 > work/end")
    bad = small.script("bad", "exit 3")
    blocked = small.script("blocked", "true", [bad])
    cells = [first, other, below, again, bad, blocked]
    here, there = small.planned(tmp_path / "here", cells), small.planned(tmp_path / "there", cells)
    run_local(Work(here, cells, lambda _: None, lambda: False), Slots(2))
    python = environment_with_ray(tmp_path / "env")
    # Off, the second keeps Ray on the loopback; else it looks for the outer address, which may not answer.
    quiet = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    subprocess.run([str(python), "-c", DRIVER, str(there)], check=True, env=quiet, timeout=300)
    assert states_of(there, cells) == states_of(here, cells)
    assert list(states_of(here, cells).values()) == ["done"] * 4 + ["failed", "blocked"]
    for cell in cells[:4]:
        out, same = cell_folder(here, cell.key) / "out", cell_folder(there, cell.key) / "out"
        found = {path.name: path.read_bytes() for path in out.iterdir()}
        assert found == {path.name: path.read_bytes() for path in same.iterdir()}
