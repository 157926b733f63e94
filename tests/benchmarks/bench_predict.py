"""`predict` on a video of 1920 x 1080 beside the bare network, its memory over many frames, and a call of the API.

The video is made of the reference's traffic pictures, each held for some frames; without the reference folder there
are no rows. yolov4-tiny at 416 x 416 has random weights: what it reports is noise, so the threshold is set where about
twenty boxes a frame are drawn, as on a busy street. Memory is watched over a video of 320 x 180, with the network at
64 x 64: what a frame leaves behind does not depend on its size, and ten thousand of them take some minutes.

BENCH_PREDICT="steps memory" chooses rows; BENCH_PREDICT_FRAMES says how many frames memory is watched over.
"""

import dataclasses
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import torch
from darknet_models import darknet_pair
from harness import Row, interleaved, resident_mib
from numpy.typing import NDArray
from training_data import REFERENCE

from traffic_yolo.darknet.resize import stretch_into
from traffic_yolo.predict.arrays import picture_of
from traffic_yolo.predict.drawing import draw
from traffic_yolo.predict.model import Model
from traffic_yolo.predict.options import ModelOptions, PredictOptions
from traffic_yolo.predict.predict import predict
from traffic_yolo.predict.video import encoded

TOPIC = "predict"
SIZE, NETWORK = (1920, 1080), 416
FRAMES = int(os.environ.get("BENCH_PREDICT_VIDEO", "64"))  # of the video: eight batches
PICTURES = 12  # that it is made of
BOXES = 20  # that are drawn on a frame, about
REPEATS = 3
MANY_FRAMES = int(os.environ.get("BENCH_PREDICT_FRAMES", "10000"))  # for memory
SMALL, SMALL_NETWORK = (320, 180), 64  # of that video, and the network that looks at it
TOPICS = tuple(os.environ.get("BENCH_PREDICT", "steps speed memory call").split())
SINGLE_CALLS = 80


def rows() -> Iterator[Row]:
    """Frames a second, memory and a call's own time."""
    paths = sorted((REFERENCE / "traffic" / "images").rglob("*.jpg"))[:PICTURES]
    if not paths:
        return
    os.environ["TRAFFIC_YOLO_PROGRESS"] = "0"
    with tempfile.TemporaryDirectory(prefix="bench-predict-") as folder:
        bench = _Bench(Path(folder), paths)
        for topic in TOPICS:
            yield from getattr(bench, topic)()


class _Bench:
    def __init__(self, folder: Path, paths: list[Path]) -> None:
        self.folder, self._runs = folder, 0
        cfg, self.weights = darknet_pair("yolov4-tiny", NETWORK)
        self.names = folder / "classes.names"
        self.names.write_text("".join(f"class{index}\n" for index in range(80)))
        self.stills = [cv2.resize(cv2.imread(str(path)), SIZE, interpolation=cv2.INTER_CUBIC) for path in paths]
        self.video = self._video("street.avi", FRAMES)
        self.options = self._options(cfg, self.weights)
        self.model = Model.open(self.weights, self.options)

    def _video(self, name: str, frames: int, size_wh: tuple[int, int] = SIZE) -> Path:
        writer = cv2.VideoWriter(str(self.folder / name), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 25, size_wh)
        stills = [cv2.resize(still, size_wh, interpolation=cv2.INTER_AREA) for still in self.stills]
        for number in range(frames):
            writer.write(stills[number * len(stills) // frames])
        writer.release()
        return self.folder / name

    def _options(self, cfg: Path, weights: Path) -> ModelOptions:
        low = ModelOptions(cfg=str(cfg), weights_names=str(self.names), confidence_threshold=0.01)
        return dataclasses.replace(low, confidence_threshold=self._threshold(weights, low))

    def _threshold(self, weights: Path, options: ModelOptions) -> float:
        """Above which NMS leaves about `BOXES` boxes a picture; random scores lie so close that most would be above."""
        model = Model.open(weights, options)
        stills = self.stills
        raws = list(model._detector.run([_picture(still, number) for number, still in enumerate(stills, 1)], _rgb))
        scores = np.sort(np.concatenate([raw.scores for raw in raws]))[::-1]
        above = BOXES * len(stills)
        while True:
            threshold = float(scores[min(above, len(scores) - 1)])
            nms = dataclasses.replace(model.reporting.nms, confidence_threshold=threshold)
            reporting = dataclasses.replace(model.reporting, nms=nms, thresholds=(threshold,) * len(model.classes))
            if above >= len(scores) or sum(len(reporting.reported(raw)) for raw in raws) >= BOXES * len(stills):
                return threshold
            above *= 2

    def predict(self, video: Path, *, draw: bool = True) -> None:
        """One run of the command with the model that is open: reading it anew would drown what a few frames take."""
        self._runs += 1
        options = PredictOptions(save=("csv",), draw=draw)
        with mock.patch.object(Model, "open", return_value=self.model):
            predict(self.weights, [video], self.folder / f"out{self._runs}", options, self.options)

    def speed(self) -> Iterator[Row]:
        """Frames a second of the whole, and of the network alone on inputs that are there."""
        inputs = np.random.default_rng(0).random((8, 3, NETWORK, NETWORK), dtype=np.float32)
        runtime = self.model._detector._runtime
        short = self._video("short.avi", 8)

        def bare() -> None:
            for _ in range(FRAMES // 8):
                runtime(inputs)

        rivals = {
            "bare": bare,
            "predict": lambda: self.predict(self.video),
            "undrawn": lambda: self.predict(self.video, draw=False),
            "begin": lambda: self.predict(short),
        }
        wall = interleaved(rivals, repeats=REPEATS)
        processor = interleaved(rivals, repeats=1, warm_up=0, clock=time.process_time)
        bare_fps = FRAMES / wall["bare"].median_s
        for name, what, target in (("predict", "drawn video", "at least 0.9"), ("undrawn", "csv alone", "")):
            fps = (FRAMES - 8) / (wall[name].median_s - wall["begin"].median_s)
            work = (processor[name].median_s - processor["begin"].median_s) / (FRAMES - 8)
            alone = processor["bare"].median_s / FRAMES
            yield Row(
                TOPIC, f"1080p video, yolov4-tiny@416, {what}", fps, "frames/s",
                f"the bare network, {bare_fps:.3g} frames/s; processor time {1e3 * work:.3g} ms a frame against "
                f"{1e3 * alone:.3g}", fps / bare_fps, target,
            )  # fmt: skip

    def steps(self) -> Iterator[Row]:
        """Processor time of a frame's steps, each in one thread, and what it allows where processors are all busy."""
        still = self.stills[0].copy()
        inputs = np.empty((1, 3, NETWORK, NETWORK), np.float32)
        runtime, reporting = self.model._detector._runtime, self.model.reporting
        (raw,) = self.model._detector.run([_picture(still)], _rgb)
        found = reporting.reported(raw)
        boxes = found.boxes_xyxy, found.scores, found.class_ids, self.model.classes
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            ms = {
                "decode": self._decoding_ms(),
                "resize": _thread_ms(lambda: stretch_into(still[..., ::-1], inputs[0])),
                "network": _thread_ms(lambda: runtime(inputs)),
                "draw": _thread_ms(lambda: draw(still, *boxes)),
                "encode": _thread_ms(lambda: encoded(still)),
            }
        finally:
            torch.set_num_threads(threads)
        beside = sum(ms.values()) - ms["network"]
        shown = ", ".join(f"{step} {value:.1f}" for step, value in ms.items())
        bound = ms["network"] / (ms["network"] + beside)
        yield Row(TOPIC, "steps of a 1080p frame beside the network, a thread", beside, "ms", f"ms: {shown}", bound)

    def _decoding_ms(self) -> float:
        """Of a frame of the video, FFmpeg with a single thread."""
        capture = cv2.VideoCapture(str(self.video), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        return _thread_ms(capture.read, repeats=min(16, FRAMES - 1))

    def memory(self) -> Iterator[Row]:
        """By how much resident memory is higher in the last quarter of a long run than in its second."""
        video = self._video("long.avi", MANY_FRAMES, SMALL)
        cfg, weights = darknet_pair("yolov4-tiny", SMALL_NETWORK)
        options = self._options(cfg, weights)
        seen, over = [], threading.Event()

        def watch() -> None:
            while not over.wait(0.1):
                seen.append(resident_mib())

        thread = threading.Thread(target=watch)
        thread.start()
        started = time.process_time()
        try:
            line = "middle=160,0,160,180"
            asked = PredictOptions(save=("csv", "jsonl", "coco"), track=True, count_line=(line,))
            predict(weights, [video], self.folder / "many", asked, options)
        finally:
            over.set()
            thread.join()
        quarter = len(seen) // 4
        growth = float(np.median(seen[-quarter:]) - np.median(seen[quarter : 2 * quarter]))
        marks = ", ".join(f"{seen[len(seen) * part // 8 - 1]:.1f}" for part in range(2, 9))
        in_use = (
            f"MiB in use at each eighth from the second: {marks}; {time.process_time() - started:.0f} s of processor"
        )
        what = f"growth of memory, {MANY_FRAMES} frames tracked, counted, drawn"
        yield Row(TOPIC, what, growth, "MiB", in_use, growth, "at most 16")

    def call(self) -> Iterator[Row]:
        """What a call of the API takes beside resizing, network, decoding and NMS."""
        still = self.stills[0]
        detector = self.model._detector
        pixels = _picture(still)

        def steps() -> None:
            (raw,) = detector.run([pixels], _rgb)
            self.model.reporting.reported(raw)

        # Turn by turn, and the median of the differences: a few milliseconds are less than the machine's own changes
        steps()
        self.model(still)
        pairs = [(_wall_ms(steps), _wall_ms(lambda: self.model(still))) for _ in range(SINGLE_CALLS)]
        extra_ms = float(np.median([whole - bare for bare, whole in pairs]))
        whole_ms = float(np.median([whole for _, whole in pairs]))
        yield Row(TOPIC, "a call on a 1080p array, beyond its steps", extra_ms, "ms", f"the call, {whole_ms:.4g} ms",
                  extra_ms, "at most 3")  # fmt: skip


def _picture(still: NDArray[np.uint8], image_id: int = 1) -> Any:
    return picture_of(still, image_id=image_id, channels="bgr")


def _rgb(picture: Any) -> Any:
    return picture.rgb()


def _wall_ms(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - begin)


def _thread_ms(work: Callable[[], Any], *, repeats: int = 12) -> float:
    """The median of its processor time in this thread."""
    work()
    spent = []
    for _ in range(repeats):
        begin = time.thread_time()
        work()
        spent.append(time.thread_time() - begin)
    return 1e3 * float(np.median(spent))
