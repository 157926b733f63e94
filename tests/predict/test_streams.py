"""Streams by a real server of MJPEG over HTTP: drops, slow networks, limits, and what is no stream."""

import contextlib
import csv
import functools
import http.server
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from rtsp_server import rtsp_server

from traffic_yolo.cli import main
from traffic_yolo.errors import PictureError
from traffic_yolo.predict.addresses import name_of, public_address
from traffic_yolo.predict.drawn_files import Drawing
from traffic_yolo.predict.inputs import Input, Inputs
from traffic_yolo.predict.options import ModelOptions, PredictOptions
from traffic_yolo.predict.predict import predict
from traffic_yolo.predict.streams import FIRST_WAIT_S, WAITING, LiveStream
from traffic_yolo.predict.video import video_facts

FRAMES = [cv2.imencode(".jpg", np.full((72, 96, 3), 10 * level, np.uint8))[1].tobytes() for level in range(25)]
LOW = ModelOptions(confidence_threshold=0.02)
Script = Callable[[int], Iterator[bytes]]


@contextlib.contextmanager
def served(script: Script) -> Iterator[str]:
    """The address of a server whose n-th connection (from 0) sends the JPEGs of `script(n)` and then ends."""
    connections, ended = iter(range(1000)), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            frames = script(next(connections))
            first = next(frames, None)
            if first is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            with contextlib.suppress(OSError):  # the reader has gone
                while first is not None and not ended.is_set():
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(first)}\r\n\r\n"
                    self.wfile.write(head.encode() + first + b"\r\n")
                    first = next(frames, None)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://viewer:secret@127.0.0.1:{server.server_port}/street?key=secret"
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def endless(_: int) -> Iterator[bytes]:
    pause = threading.Event()
    while not pause.wait(0.01):
        yield FRAMES[0]


def test_a_stream_that_drops_is_reached_again_and_no_frame_is_lost_uncounted() -> None:
    with served(lambda number: iter(FRAMES[5 * number : 5 * number + 5] if number < 2 else [])) as address:
        stream = LiveStream(address, attempts=3, first_wait_s=0.01)
        frames = list(stream.frames())
    assert (stream.num_read, stream.num_reached_again, stream.is_lost) == (10, 1, True)
    assert len(frames) + stream.num_dropped == 10
    for frame in frames:
        assert frame.pixels_rgb.shape == (72, 96, 3)
        assert frame.pixels_rgb.mean() == pytest.approx(10 * frame.number, abs=2)
    times = [frame.time_s for frame in frames]
    assert times == sorted(times)
    told = "\n".join(stream.notes())
    assert re.search(r"127.0.0.1:\d+/street: dropped and reached again 1 times", told)
    assert "ended after 10 frames and was not reached again in 3 attempts" in told
    assert "secret" not in told


def test_a_network_that_is_slower_sees_the_newest_frames_and_the_others_are_counted() -> None:
    seen_first = threading.Event()

    def script(number: int) -> Iterator[bytes]:
        if number == 0:
            while not seen_first.wait(0.01):  # FFmpeg wants some frames before it says that it is a video
                yield FRAMES[0]
            yield from FRAMES[:20]

    with served(script) as address:
        stream = LiveStream(address, attempts=0)
        frames = stream.frames()
        first = next(frames).number
        seen_first.set()
        with stream._changed:
            assert stream._changed.wait_for(lambda: stream._is_over, timeout=60)
        later = [frame.number for frame in frames]
    assert later == list(range(stream.num_read - WAITING, stream.num_read))
    assert first < later[0]
    assert stream.num_dropped == stream.num_read - 1 - WAITING >= 20 - WAITING
    told = next(stream.notes())
    assert f"{stream.num_dropped} of the {stream.num_read} frames that came were dropped" in told


def test_frames_between_the_stride_are_neither_looked_at_nor_dropped() -> None:
    with served(lambda number: iter(FRAMES[:21] if number == 0 else [])) as address:
        stream = LiveStream(address, stride=5, attempts=0)
        assert [frame.number for frame in stream.frames()] == [0, 5, 10, 15, 20]
    assert (stream.num_read, stream.num_dropped) == (21, 0)


def test_jpegs_that_come_over_a_bare_connection_are_a_stream_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"".join(FRAMES))

        thread = threading.Thread(target=serve)
        thread.start()
        stream = LiveStream(f"tcp://127.0.0.1:{server.getsockname()[1]}", stride=4, attempts=0)
        assert [frame.number for frame in stream.frames()] == [0, 4, 8, 12, 16, 20, 24]
        thread.join()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream is reached again after a hundredth of the time."""
    monkeypatch.setitem(LiveStream.__init__.__kwdefaults__, "first_wait_s", FIRST_WAIT_S / 100)


@pytest.fixture(scope="module")
def transport_stream(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Forty frames of MPEG-2 that grow brighter."""
    path = tmp_path_factory.mktemp("stream") / "street.ts"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MPG2"), 25, (96, 72))
    for level in range(40):
        writer.write(np.full((72, 96, 3), 5 * level, np.uint8))
    writer.release()
    return path.read_bytes()


@pytest.mark.usefixtures("soon")
def test_an_rtsp_camera_with_a_password_is_seen_reached_again_and_predicted(
    untrained_model: Path, transport_stream: bytes, tmp_path: Path
) -> None:
    # The first play is the look before the network is read; the third, after a drop; then there is none any more
    with rtsp_server(lambda number: transport_stream if number < 3 else b"") as (place, asked):
        address = f"rtsp://viewer:secret@{place}"
        options = PredictOptions(save=("jsonl",), seconds=100, reconnect=1)
        summary = predict(untrained_model, [address], tmp_path / "out", options, LOW)
        refused = f"rtsp://viewer:wrong@{place}"
        with pytest.raises(
            PictureError, match=r"^rtsp://127\.0\.0\.1:\d+/street: no video there; .*asks for a password"
        ):
            video_facts(refused, shown=public_address(refused))
    assert {"OPTIONS", "DESCRIBE", "SETUP", "PLAY"} <= set(asked)
    assert f"rtsp://{place}: dropped and reached again 1 times" in summary.text
    assert "was not reached again in 1 attempts" in summary.text
    lines = [json.loads(line) for line in (tmp_path / "out" / "detections.jsonl").read_text().splitlines()]
    dropped = (
        int(found[1]) if (found := re.search(r"(\d+) of the \d+ frames that came were dropped", summary.text)) else 0
    )
    assert 70 <= len(lines) + dropped <= 80  # the decoder may keep the last of each
    assert {line["source"] for line in lines} == {f"rtsp://{place}"}
    assert "secret" not in summary.text + (tmp_path / "out" / "detections.jsonl").read_text()


def test_seconds_end_a_stream_that_has_no_end() -> None:
    with served(endless) as address:
        stream = LiveStream(address)
        times = [frame.time_s for frame in stream.frames(seconds=0.3)]
    assert times[0] == 0
    assert max(times) < 0.3
    assert not [thread for thread in threading.enumerate() if thread.name == "reading a stream"]


@pytest.mark.usefixtures("soon")
def test_a_stream_is_predicted_drawn_and_written_though_it_drops(untrained_model: Path, tmp_path: Path) -> None:
    # The first connection is the look before the network is read
    def script(number: int) -> Iterator[bytes]:
        return iter(FRAMES[:6]) if number < 2 else endless(number)

    options = PredictOptions(save=("jsonl", "csv"), frames=12)
    with served(script) as address:
        summary = predict(untrained_model, [address], tmp_path / "out", options, LOW)
    lines = [json.loads(line) for line in (tmp_path / "out" / "detections.jsonl").read_text().splitlines()]
    assert summary.num_pictures == len(lines) == 12
    numbers = [line["frame"] for line in lines]
    assert numbers == sorted(set(numbers))
    assert "dropped and reached again 1 times" in summary.text
    drawn = next((tmp_path / "out" / "drawn").iterdir())
    assert re.fullmatch(r"127\.0\.0\.1_\d+_street\.avi", drawn.name)
    assert video_facts(drawn).size_wh == (96, 72)
    with (tmp_path / "out" / "detections.csv").open() as file:
        assert all(row["source"].endswith("/street") for row in csv.DictReader(file))
    assert not [path for path in (tmp_path / "out").iterdir() if path.is_file() and b"secret" in path.read_bytes()]


def test_a_drawn_stream_lasts_as_long_as_the_street_did_and_gaps_are_cut(tmp_path: Path) -> None:
    drawing = Drawing(tmp_path, ("CAR",))
    stream = Input("rtsp://camera/1", "camera", None, fps=10.0, is_live=True)
    written = []
    for time_s in (0.0, 0.1, 0.11, 0.5, 60.0, 60.1):
        times = drawing._times(stream, time_s)
        drawing._written += times
        written.append(times)
    # 0.11 s is the frame of 0.1 s again; four frames until 0.5 s; a minute's gap is two seconds; then the next frame
    assert written == [1, 1, 0, 4, 20, 1]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("rtsp://viewer:secret@127.0.0.1:1/street", "^error: SOURCE: rtsp://127.0.0.1:1/street has no end.*--seconds"),
        ("rtsp://", "names no machine"),
        ("camera:first", "expected camera: and a number from 0, found 'camera:first'"),
        ("camera:77 --max-frames 3", "^error: camera:77: OpenCV finds no such camera"),
        ("http://viewer:secret@127.0.0.1:1/street --max-frames 3", "^error: http://127.0.0.1:1/street: no video there"),
        ("camera:0 --seconds 0", "^error: --seconds: expected a number above 0, found 0"),
    ],
)
def test_what_is_no_stream_is_one_line(
    address: str, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["predict", "model", *address.split(), "--out", str(tmp_path / "out")])
    printed = capfd.readouterr().err.strip()
    assert caught.value.code == 2, printed
    assert re.search(message, printed)
    assert "\n" not in printed
    assert "secret" not in printed
    assert not list(tmp_path.iterdir())


def test_a_page_that_is_no_video_and_an_endless_stream_without_a_limit_are_refused() -> None:
    with served(lambda _: iter([b"<html>no picture</html>" * 50])) as address, pytest.raises(PictureError) as caught:
        video_facts(address, shown=public_address(address))
    assert re.match(r"http://127\.0\.0\.1:\d+/street: no (video there|frame of this video)", str(caught.value))


def test_a_video_at_an_address_has_an_end_and_is_read_to_it(tmp_path: Path) -> None:
    video = cv2.VideoWriter(str(tmp_path / "day.avi"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 72))
    for level in range(24):
        video.write(np.full((72, 96, 3), 10 * level, np.uint8))
    video.release()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            inputs = Inputs.find([f"http://127.0.0.1:{server.server_port}/day.avi"], PredictOptions())
            pictures = [picture for _, picture in inputs.pictures()]
        finally:
            server.shutdown()
            thread.join()
    assert (inputs.files[0].is_live, inputs.num_pictures, inputs.notes) == (False, 24, [])
    assert [picture.frame for picture in pictures] == list(range(24))  # more than would wait of a stream
    assert pictures[20].rgb().mean() == pytest.approx(200, abs=2)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("rtsp://u:p@10.0.0.1:554/street/1?x=y", "10.0.0.1_554_street_1"),
        ("camera:0", "camera_0"),
        ("http://h/../..", "h"),
    ],
)
def test_names_of_streams_are_names_of_files(address: str, name: str) -> None:
    assert name_of(address) == name
