"""Which data sets a zoo names, and that `storage gc` leaves those alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
from judged_runs import publish

from traffic_yolo.cli import main
from traffic_yolo.errors import ModelError, StorageError
from traffic_yolo.registry.gates.rules import GateRules
from traffic_yolo.registry.ledger import ledger_of_zoo
from traffic_yolo.registry.published_data import published_data
from traffic_yolo.registry.zoo import versions
from traffic_yolo.trained_on import TrainedOn

MakeRun = Callable[..., dict[str, Path]]
JUDGED, TRAINED, REMOVED = "d" * 64, "e" * 64, "f" * 64


@pytest.fixture
def zoo(make_run: MakeRun, tmp_path: Path) -> Path:
    """A version that was trained on one data set and judged on another, and the record of one that was taken away."""
    for seed, data in ((0, REMOVED), (1, JUDGED)):
        run = make_run(seed, data=data)
        TrainedOn(TRAINED, (), (), "", "").write(run["model"] / "trained_on.json")
        publish(**run, zoo=tmp_path / "zoo", name="small", rules=GateRules(gate="any"))
    first = versions(tmp_path / "zoo", "small")[0]
    first.rename(tmp_path / "elsewhere")
    return tmp_path / "zoo"


def test_cards_weights_and_records_name_data_sets(zoo: Path) -> None:
    (version,) = versions(zoo, "small")
    found = published_data(zoo)
    assert set(found) == {JUDGED, TRAINED, REMOVED}
    assert found[JUDGED] == found[TRAINED] == f"published as small {version.name} in {zoo}"
    assert found[REMOVED].startswith("named by the record of small 0001-")


def test_what_cannot_be_read_stops_the_collection(zoo: Path) -> None:
    with pytest.raises(StorageError, match="model zoo not found"):
        published_data(zoo.with_name("none"))
    record = next(path for path in sorted(Path(ledger_of_zoo(zoo)).iterdir()))
    content = record.read_bytes()
    record.write_bytes(content[:-9])
    with pytest.raises(ModelError, match=r"corrupt: .*; nobody can say which data set it names, so nothing goes"):
        published_data(zoo)
    record.write_bytes(content)
    (version,) = versions(zoo, "small")
    for name, harmed in (("card.json", "{}"), ("card.json", "{"), ("trained_on.json", "[]")):
        path = version / name
        content = path.read_bytes()
        path.chmod(0o644)
        path.write_text(harmed)
        with pytest.raises(ModelError, match=name):
            published_data(zoo)
        path.write_bytes(content)


def test_collection_spares_what_a_zoo_names(zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    (store / ".leases").mkdir(parents=True)
    for name in (JUDGED, TRAINED, REMOVED, "0" * 64):
        (store / name).mkdir()
    with pytest.raises(SystemExit) as ended:
        main(["storage", "gc", "--data-store", str(store), "--zoo", str(zoo), "--older-than", "0d"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert f"{JUDGED[:12]} stays: published as small 0002-" in printed
    assert f"{REMOVED[:12]} stays: named by the record of small 0001-" in printed
    assert printed.endswith("1 data sets, 0.000 GB went\n")
    assert {path.name for path in store.iterdir()} == {JUDGED, TRAINED, REMOVED, ".leases"}
