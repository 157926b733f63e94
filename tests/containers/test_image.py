"""The CPU image: how large it is, what is not in it, and that any user can run it with nothing to write to but /tmp."""

import json
import os
from pathlib import Path

import pytest
from container_engine import GID, UID, Engine

MOST_BYTES = 1_600_000_000  # unpacked
# Runs every loop that is compiled in a build, and says how many came from there
LOOPS = """
import json, matplotlib.font_manager
from numba.core.dispatcher import Dispatcher
from traffic_yolo.tuning.warm_up import warm_up
warm_up()
import gc
loops = [one for one in gc.get_objects() if isinstance(one, Dispatcher) and one.stats.cache_path]
ours = [one for one in loops if one.py_func.__module__.startswith("traffic_yolo")]
print(json.dumps({
    "hits": sum(sum(one.stats.cache_hits.values()) for one in ours),
    "misses": sum(sum(one.stats.cache_misses.values()) for one in ours),
}))
"""
NOT_THERE = """
for name in pip wheel pytest hypothesis moto; do
    python -c "import $name" 2>/dev/null && echo "module $name"
done
for place in /etc/pip.conf /run/secrets /root/.cache /build /package; do test -e $place && echo "$place"; done
for folder in $(find /opt/venv -type d -name tests); do
    find $folder -type f ! -iname 'licen[cs]e*' ! -iname 'copying*' ! -iname 'notice*' ! -iname 'authors*'
done
true
"""


def test_it_is_small_enough(engine: Engine, train_image: str) -> None:
    size = engine.size_of(train_image)
    print(f"{size / 1e9:.2f} GB unpacked")
    assert size < MOST_BYTES


def test_nothing_that_only_builds_or_tests_is_in_it(engine: Engine, train_image: str) -> None:
    finished = engine.run(train_image, ["sh", "-c", NOT_THERE])
    assert (finished.returncode, finished.stdout) == (0, ""), finished.stderr


def test_licences_of_what_it_holds_stay(engine: Engine, train_image: str) -> None:
    code = """
import importlib.metadata as metadata
without = [d.metadata["Name"] for d in metadata.distributions()
           for f in [[f for f in d.files or [] if "licen" in f.name.lower() or "copying" in f.name.lower()]]
           if d.read_text("RECORD") and f and not any(one.locate().is_file() for one in f)]
print(without)
"""
    finished = engine.run(train_image, ["python", "-c", code])
    assert finished.stdout.strip() == "[]", finished.stderr


def test_it_names_its_user_by_number_and_records_no_secret_of_the_build(engine: Engine, train_image: str) -> None:
    assert engine.user_of(train_image) == "1000:1000"
    recorded = engine.history(train_image)
    for name in ("PIP_CONF", "CA_CERT"):
        if path := os.environ.get(name):
            lines = [line.partition("=")[2].strip() for line in Path(path).read_text().splitlines()]
            assert not [line for line in lines if len(line) > 8 and line in recorded], name


def test_any_user_finds_what_was_compiled_when_the_image_was_built(engine: Engine, train_image: str) -> None:
    finished = engine.run(train_image, ["python", "-W", "error", "-c", LOOPS])
    assert finished.returncode == 0, finished.stderr
    counted = json.loads(finished.stdout.splitlines()[-1])
    assert counted["hits"] > 5
    assert counted["misses"] == 0
    assert finished.stderr == ""  # neither matplotlib nor numba complains of a folder


@pytest.mark.parametrize("place", ["/", "/opt/venv", "/opt/numba-cache", "/home", "/var/tmp"])
def test_nothing_but_tmp_can_be_written_to(place: str, engine: Engine, train_image: str) -> None:
    finished = engine.run(train_image, ["sh", "-c", f"id -u; id -g; touch {place}/x && echo written; touch /tmp/x"])
    assert finished.stdout.split() == [str(UID), str(GID)]
    assert finished.returncode == 0


def test_a_mistake_is_one_line_there_too(engine: Engine, train_image: str) -> None:
    finished = engine.run(train_image, ["traffic-yolo", "train", "--dataset", "nas://x", "--out", "/tmp/run"])
    assert finished.returncode == 2
    assert len(finished.stderr.splitlines()) == 1
    assert "TRAFFIC_YOLO_NAS_ROOT" in finished.stderr
