"""A stand-in for deepstream-app where there is no GPU: the simulator over the frames that the application names.

`python deepstream_app_stand_in.py -c APP_CONFIG` reads both configurations as they were written, and leaves what the
real one would: KITTI files, an engine beside the ONNX file, a few of nvinfer's lines.
"""

import configparser
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import cv2
from kitti_dump import write_kitti

from traffic_yolo.deepstream.config.nvinfer_config import NvinferConfig
from traffic_yolo.deepstream.simulate.simulator import Simulator
from traffic_yolo.model_folder import read_names


@dataclass(frozen=True)
class Frame:
    """What the simulator needs of a picture."""

    image_id: int
    path: Path
    width: int
    height: int


def main() -> None:
    path = Path(sys.argv[sys.argv.index("-c") + 1])
    application = configparser.ConfigParser(interpolation=None)
    application.read(path)
    config_path = path.parent / application["primary-gie"]["config-file"]
    config = NvinferConfig.read(config_path)
    kitti = path.parent / application["application"]["gie-kitti-output-dir"]
    pattern = unquote(application["source0"]["uri"].removeprefix("multifile://"))
    pictures = []
    while (frame := Path(pattern % len(pictures))).is_file():
        height, width = cv2.imread(str(frame)).shape[:2]
        muxer = application["streammux"]
        assert (muxer["width"], muxer["height"]) == (str(width), str(height))
        pictures.append(Frame(len(pictures), frame, width, height))
    engine = config_path.parent / config.text("model-engine-file")
    if engine.is_file():
        print(f"0:00:01 INFO nvinfer: Use deserialized engine model: {engine}")
    else:
        engine.write_bytes(b"engine")
        print(f"0:00:09 INFO nvinfer: serialize cuda engine to file: {engine} successfully")
    simulator = Simulator(config, config_path.parent)
    found = simulator.detections(simulator.run(pictures))
    classes = read_names(config_path.parent / config.text("labelfile-path"))
    write_kitti(kitti, found, range(len(pictures)), classes)
    print("** INFO: App run successful")


if __name__ == "__main__":
    main()
