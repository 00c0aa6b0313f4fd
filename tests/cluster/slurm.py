"""The smoke study on a real Slurm of two nodes on one host, beside the same study by Make.

    sudo apt-get install slurm-wlm munge        # this script needs root: it writes /etc/slurm/slurm.conf and starts daemons
    python3 -m venv engines && engines/bin/pip install snakemake==9.27.1 snakemake-executor-plugin-slurm==2.8.0
    cargo build --release && python3 tests/cluster/slurm.py --bin target/release --snakemake engines/bin/snakemake

It checks that both engines end with the same results, to the object id; then repeats the study three times from an empty store, and
kills with SIGKILL the Snakemake head, a node's daemon, and a running stage. Each time a rerun must complete with the same results,
and no key may have been computed twice.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NODES = ("n1", "n2")
CONFIG = """\
ClusterName=local
SlurmctldHost=localhost
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
SlurmctldPort=16817
ReturnToService=2
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
SlurmdTimeout=10
MinJobAge=43200
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port=17001 CPUs=16 RealMemory=32000
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port=17002 CPUs=16 RealMemory=32000
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


class Cluster:
    """A controller and two nodes on this host, until it is closed."""

    def __init__(self, folder: Path):
        (folder / "state").mkdir(parents=True)
        # The plugin of Snakemake drops SLURM_CONF: the file must be where Slurm looks for it.
        Path("/etc/slurm").mkdir(exist_ok=True)
        Path("/etc/slurm/slurm.conf").write_text(CONFIG.format(folder=folder))
        Path("/run/munge").mkdir(exist_ok=True)
        shutil.chown("/run/munge", "munge", "munge")
        subprocess.run(["su", "-s", "/bin/sh", "munge", "-c", "munged --force"], check=True)
        self.controller = subprocess.Popen(["slurmctld", "-D"], stderr=subprocess.DEVNULL)
        self.nodes = {name: self.node(name) for name in NODES}
        self.until_idle()

    @staticmethod
    def node(name: str) -> subprocess.Popen:
        return subprocess.Popen(["slurmd", "-D", "-N", name], stderr=subprocess.DEVNULL)

    def until_idle(self):
        for _ in range(60):
            states = subprocess.run(["sinfo", "-h", "-o", "%D %t"], capture_output=True, text=True).stdout
            if states.split() == ["2", "idle"]:
                return
            time.sleep(1)
        raise RuntimeError(f"the nodes do not come up: {states}")

    def kill_node(self, name: str):
        """Kills a node's daemon and what it runs, and starts the daemon anew."""
        self.nodes[name].kill()
        self.nodes[name].wait()
        subprocess.run(["pkill", "-9", "-f", f"slurmstepd.*{name}|slurmstepd"])
        time.sleep(2)
        self.nodes[name] = self.node(name)

    def close(self):
        for daemon in [*self.nodes.values(), self.controller]:
            daemon.terminate()
            daemon.wait()


def results(store: Path) -> dict:
    """The object ids of every result in a store, by key."""
    manifests = (json.loads(path.read_text()) for path in store.glob("manifests/*/*.json"))
    return {m["key"]: {role: output["object"] for role, output in m["outputs"].items()} for m in manifests}


def make(arguments, target: str, folder: Path, *more: str) -> str:
    command = ["make", "--silent", "-C", str(ROOT / "pipelines/world"), target, "BUILD=true"]
    command += [f"BIN={arguments.bin.resolve()}", f"STORE={folder / 'store'}", f"OUT={folder / 'out'}", *more]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def snakemake(arguments, folder: Path, *more: str) -> subprocess.Popen:
    """Starts the smoke study in a folder of its own, on the cluster."""
    folder.mkdir(exist_ok=True)
    study = folder / "study.json"
    study.write_text(make(arguments, "smoke", folder, "GOAL=print-study"))
    command = [str(arguments.snakemake.absolute()), "--snakefile", str(ROOT / "pipelines/study.smk")]
    command += ["--configfile", str(study), "--profile", str(ROOT / "pipelines/profiles/slurm")]
    # Accounting is off here, and polling every few seconds is enough for a test.
    command += ["--slurm-no-account", "--slurm-status-command", "squeue", "--latency-wait", "5"]
    log = open(folder / "log", "a")
    return subprocess.Popen([*command, *more], cwd=folder, stdout=log, stderr=log)


def finish(arguments, folder: Path):
    subprocess.run(
        [str(arguments.snakemake.absolute()), "--snakefile", str(ROOT / "pipelines/study.smk"), "--configfile",
         str(folder / "study.json"), "--unlock"], cwd=folder, check=True, capture_output=True,
    )
    run = snakemake(arguments, folder)
    if run.wait() != 0:
        raise RuntimeError(f"the study failed: see {folder / 'log'}")


def stage_pids() -> list[int]:
    found = subprocess.run(["pgrep", "-f", "samebasin-(finetune|pretrain) --store"], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def until_running() -> int:
    for _ in range(600):
        if pids := stage_pids():
            return pids[0]
        time.sleep(0.1)
    raise RuntimeError("no stage ever ran")


def kill_head(cluster: Cluster, head: subprocess.Popen):
    until_running()
    head.send_signal(signal.SIGKILL)
    head.wait()


def kill_node(cluster: Cluster, head: subprocess.Popen):
    until_running()
    for name in NODES:
        cluster.kill_node(name)
    head.wait()


def kill_stage(cluster: Cluster, head: subprocess.Popen):
    os.kill(until_running(), signal.SIGKILL)
    head.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True, help="folder of the programs")
    parser.add_argument("--snakemake", type=Path, required=True, help="the program snakemake, with its Slurm plugin")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        (scratch / "make").mkdir()
        make(arguments, "smoke", scratch / "make")
        expected = results(scratch / "make/store")
        cluster = Cluster(scratch / "slurm")
        failures = 0
        try:
            for name, disturb in [("undisturbed", None), ("head killed", kill_head), ("nodes killed", kill_node),
                                  ("stage killed", kill_stage)]:
                folder, start = scratch / name.replace(" ", "-"), time.time()
                head = snakemake(arguments, folder)
                if disturb:
                    disturb(cluster, head)
                    cluster.until_idle() if name != "head killed" else None
                    finish(arguments, folder)
                elif head.wait() != 0:
                    print((folder / "log").read_text(), file=sys.stderr)
                same = results(folder / "store") == expected
                damage = subprocess.run([str(arguments.bin / "samebasin-store"), "--store", str(folder / "store"), "verify"])
                ok = same and damage.returncode == 0
                failures += not ok
                print(f"{name}: {'same results' if ok else 'OTHER RESULTS'}, {time.time() - start:.0f} s", flush=True)
        finally:
            cluster.close()
    sys.exit(min(failures, 1))


if __name__ == "__main__":
    main()
