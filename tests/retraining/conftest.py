"""A share that people label, a zoo whose versions are made up, and a look at both as a scheduled run takes it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from records import made_up_record
from small_shares import Share, three_sites

from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.registry.bundle import BUNDLE_FILES, CARD_NAME, SUMS_NAME
from traffic_yolo.registry.history import note_use
from traffic_yolo.registry.ledger import LedgerEntry, add_entry, ledger_of_zoo
from traffic_yolo.retraining.attempts import Attempts
from traffic_yolo.retraining.closing import close, note_model
from traffic_yolo.retraining.look import Looked, Run, look
from traffic_yolo.retraining.options import NewDataOptions
from traffic_yolo.snapshot.content import ShareContent
from traffic_yolo.snapshot.snapshot import take_snapshot

NAME = "m"
START = datetime(2026, 11, 29, 3, tzinfo=UTC)


@dataclass
class Scheduled:
    """A model that is retrained now and then; `hours` go by between two calls of anything."""

    root: Path
    share: Share
    options: NewDataOptions = field(default_factory=lambda: NewDataOptions(min_new_frames=2))
    convert: Mapping[str, Any] = field(default_factory=dict)
    now: datetime = START
    runs: int = 0

    @property
    def zoo(self) -> Path:
        return self.root / "zoo"

    @property
    def attempts(self) -> Attempts:
        return Attempts.read(self.zoo / NAME)

    def later(self, hours: float = 24.0) -> datetime:
        self.now += timedelta(hours=hours)
        return self.now

    def look(self, run_id: str = "", *, owner: Mapping[str, Any] | None = None) -> Looked:
        """The first two steps of a run."""
        self.runs += 1
        taken = take_snapshot(self.share.recordings, labels=self.share.label_file)
        return look(
            ConvertOptions(str(self.share.recordings), labels=str(self.share.label_file), **self.convert),
            self.options,
            Run(run_id or f"run-{self.runs}", self.later(), owner or {}),
            zoo=self.zoo,
            model_name=NAME,
            fingerprint=str(ShareContent.of(taken)),
        )

    def train(self, seed: int, *, learnt: bool = True) -> Path:
        """The model folder of this run's training."""
        model = self.root / f"model{seed}"
        model.mkdir(exist_ok=True)
        (model / "model.weights").write_bytes(f"weights {seed}".encode())
        verdict = {"schema_version": 1, "learnt": learnt, "worse": []}
        (model / "verdict.json").write_text(json.dumps(verdict))
        return model

    def note(self, seed: int, *, learnt: bool = True) -> None:
        note_model(
            f"run-{self.runs}", self.train(seed, learnt=learnt), zoo=self.zoo, model_name=NAME, now=self.later(1)
        )

    def place(self, seed: int, *, passed: bool = True) -> str:
        """What publish writes first: a bundle."""
        card = {"schema_version": 1, "parity": {"passed": passed, "problems": [] if passed else ["AP50 falls"]}}
        files = {name: name.encode() for name in BUNDLE_FILES}
        files |= {"model.weights": f"weights {seed}".encode(), CARD_NAME: json.dumps(card).encode()}
        sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items()))
        version = f"{len(list(self.zoo.glob(f'{NAME}/0*'))) + 1:04d}-{hashlib.sha256(sums.encode()).hexdigest()[:12]}"
        folder = self.zoo / NAME / version
        folder.mkdir(parents=True)
        for name, data in {**files, SUMS_NAME: sums.encode()}.items():
            (folder / name).write_bytes(data)
        return version

    def use(self, version: str) -> None:
        (self.zoo / NAME / "current").write_text(f"{version}\n")
        note_use(self.zoo / NAME, version, "publish", after=0)

    def record(self, version: str) -> None:
        add_entry(ledger_of_zoo(self.zoo), LedgerEntry.of_record(NAME, version, made_up_record()))

    def publish(self, seed: int, *, rejected: bool = False) -> str:
        """All of what publish does: into use, or kept with its record."""
        version = self.place(seed, passed=not rejected)
        if not rejected:
            self.use(version)
        self.record(version)
        return version

    def close(self, failure: str = "train FAILED: out of memory") -> str:
        return close(f"run-{self.runs}", zoo=self.zoo, model_name=NAME, failure=failure, now=self.later(1))

    def whole_run(self, seed: int, *, rejected: bool = False) -> Looked:
        """A run from the look to its end, which has to begin an attempt."""
        looked = self.look()
        assert looked.verdict.word == "retrain", looked.verdict.text
        self.note(seed)
        self.publish(seed, rejected=rejected)
        self.close()
        return looked

    def label_more(self, site: str, number: int, frames: int = 3) -> None:
        """A new recording of a site, of which people label every frame."""
        recording = self.share.site(site, number, frames=frames)
        for scan in range(frames):
            self.share.label(recording, scan, [(3, [10.5, 8.25, 20, 16])])
        self.share.save()


@pytest.fixture
def scheduled(tmp_path: Path) -> Scheduled:
    """Three sites: A trains, B is for choosing, C for judging."""
    return Scheduled(tmp_path, three_sites(tmp_path / "nas"), convert={"val_sites": "B", "test_sites": "C"})
