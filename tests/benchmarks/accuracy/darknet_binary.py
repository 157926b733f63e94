"""Trains with Darknet's own program, from the cfg, the weights, the pictures and the numbers that a cell of ours has.

The program is the user's: `TRAFFIC_YOLO_DARKNET` names it. Its `detector train` seeds itself by the clock, so that no
two of its runs are alike, and makes no choice among weights: those after the last update are its result.
"""

import os
import shutil
import subprocess
from pathlib import Path

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.training.settings import Settings

VARIABLE = "TRAFFIC_YOLO_DARKNET"
SHOWN_LINES = 3  # of what a program that failed has printed


def darknet_binary() -> Path:
    """The program; raises `ValueError` where the variable names none that can be run."""
    named = os.environ.get(VARIABLE, "")
    expected = "expected the path of AlexeyAB's darknet, built for the CPU (make OPENMP=0 AVX=1 OPENCV=0)"
    if not named:
        raise ValueError(f"recipe darknet-binary: {VARIABLE} is not set; {expected}")
    path = Path(named).resolve()
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise ValueError(f"recipe darknet-binary: {VARIABLE}={named} is no program that can be run; {expected}")
    return path


def train_with_darknet(binary: Path, data: DataSet, run: Path, settings: Settings) -> None:
    """Trains the `model.cfg` and `model.weights` in the folder `run` on split train; the weights are replaced.

    `settings`: the numbers of the run. Raises `RuntimeError` with the end of what Darknet printed where it fails.
    """
    work = run / "darknet"
    backup = work / "backup"
    backup.mkdir(parents=True)
    cfg = darknet_cfg(Cfg.read(run / "model.cfg"), settings)
    cfg.write(work / "model.cfg")
    pictures = [image.path.resolve() for image in data.split("train")]  # each has its YOLO text beside it
    (work / "train.txt").write_text("".join(f"{path}\n" for path in pictures))
    (work / "model.data").write_text(
        f"classes = {len(data.classes)}\ntrain = {work / 'train.txt'}\nvalid = {work / 'train.txt'}\n"
        f"names = {run / 'classes.names'}\nbackup = {backup}\n"
    )
    files = [str(path) for path in (work / "model.data", work / "model.cfg", run / "model.weights")]
    done = subprocess.run(  # -clear: `seen` of the start weights would be counted as updates done
        [str(binary), "detector", "train", *files, "-dont_show", "-clear"],
        cwd=work,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    final = backup / "model_final.weights"
    if done.returncode or not final.is_file():
        last = " | ".join(done.stdout.split("\n")[-SHOWN_LINES:])
        raise RuntimeError(f"{binary} ended with exit code {done.returncode} and without {final.name}: {last}")
    shutil.move(final, run / "model.weights")


def darknet_cfg(cfg: Cfg, settings: Settings) -> Cfg:
    """A copy of the cfg that states the numbers of a run of recipe darknet."""
    found = cfg.copy()
    schedule = settings.schedule
    numbers = {
        "batch": settings.batch,
        "subdivisions": settings.subdivisions,
        "max_batches": settings.max_batches,
        "burn_in": schedule.burn_in,
        "learning_rate": schedule.learning_rate,
        "momentum": settings.momentum,
        "decay": settings.decay,
        "policy": schedule.policy,
        "steps": ",".join(map(str, schedule.steps)),
        "scales": ",".join(f"{scale:g}" for scale in schedule.scales),
    }
    for key, value in numbers.items():
        found.net.set(key, value)
    return found
