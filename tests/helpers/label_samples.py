"""A small good file of each label format, and what reads it: for tests and fuzzers that damage it."""

import json
from pathlib import Path

import yaml

from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.problems import NOTED, Problem
from traffic_yolo.dataset.sources.label_formats import open_labels
from traffic_yolo.errors import TrafficYoloError

COCO = json.dumps(
    {
        "categories": [{"id": 1, "name": "CAR"}, {"id": 2, "name": "BUS", "supercategory": "ignored"}],
        "images": [{"id": 7, "file_name": "a.jpg", "width": 96, "height": 72, "scan": 3, "attributes": {"x": 1}}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "bbox": [1.5, 2, 3, 4], "iscrowd": 0, "area": 12, "ignore": 1},
            {
                "id": 2,
                "image_id": 7,
                "category_id": 2,
                "bbox": [1, 2, 3, 4],
                "label_source": "model",
                "confidence": 0.5,
            },
        ],
    }
)
CVAT = """<?xml version="1.0"?><annotations><meta><task><start_frame>0</start_frame><stop_frame>3</stop_frame>
<frame_filter>step=1</frame_filter><labels><label><name>CAR</name></label></labels></task></meta>
<image id="0" name="a.jpg" width="96" height="72"><box label="CAR" occluded="0" xtl="1" ytl="2" xbr="3" ybr="4">
<attribute name="confidence">0.5</attribute></box><polygon label="CAR" points="1,2;3,4;5,6"/></image>
<track id="1" label="CAR"><box frame="0" outside="0" xtl="1" ytl="2" xbr="3" ybr="4"/>
<box frame="2" outside="1" xtl="1" ytl="2" xbr="3" ybr="4"/></track></annotations>"""
VOC = """<annotation><filename>a.jpg</filename><size><width>96</width><height>72</height></size><object><name>CAR</name>
<difficult>0</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object></annotation>"""
KITTI = "Car 0.00 0 -1.57 599.41 156.40 629.75 189.25 2.85 2.63 12.34 0.47 1.49 69.44 -1.56 0.5\n"
LABELME = json.dumps(
    {
        "shapes": [{"label": "CAR", "points": [[1, 2], [3, 4]], "shape_type": "rectangle", "flags": {"a": True}}],
        "imagePath": "a.jpg", "imageHeight": 72, "imageWidth": 96, "flags": {},
    }
)  # fmt: skip
YOLO = "0 0.5 0.5 0.1 0.2\n1 0.25 0.5 0.1 0.2\n"
LABELSTUDIO = json.dumps(
    [
        {
            "id": 1, "data": {"image": "/data/upload/1/0a1b2c3d-a.jpg"}, "predictions": [],
            "annotations": [
                {
                    "was_cancelled": False,
                    "result": [
                        {
                            "id": "r", "type": "rectanglelabels", "from_name": "label", "to_name": "image",
                            "original_width": 96, "original_height": 72, "image_rotation": 0, "meta": {"lane": 2},
                            "value": {"x": 1.5, "y": 2, "width": 3, "height": 4, "rotation": 5, "rectanglelabels": ["CAR"]},
                        },
                        {"id": "r", "type": "choices", "from_name": "colour", "value": {"choices": ["red"]}},
                    ],
                }
            ],
        },
        {
            "data": {"image": "b.jpg"}, "annotations": [],
            "predictions": [
                {"result": [{"type": "polygonlabels", "score": 0.5, "value": {"points": [[1, 2], [3, 4], [5, 9]], "polygonlabels": ["BUS"]}}]}
            ],
        },
    ]
)  # fmt: skip
MOT = "1,7,11,21,30,40,1,3,0.75\n3,8,1,1,9,9,0,8,0\n"
CSV = "file,label,x1,y1,x2,y2\na.jpg,CAR,1,2,3,4\n"
MAPPING = {"file": "csv", "fields": {"image": "file", "class": "label", "box": ["x1", "y1", "x2", "y2"]}}
SIDECAR = json.dumps(
    {
        "picture": "a", "image_wh": [96, 72], "frame": {"site": "A", "attributes": {}},
        "boxes": [[0, "CAR", [1, 2, 3, 4], ["CAR", [1, 2, 3, 4], "device", 0.5, False, False, None, 1, {}]]],
    }
)  # fmt: skip

# format -> (the file that is broken, its good content)
SAMPLES = {
    "coco": ("instances.json", COCO),
    "cvat": ("annotations.xml", CVAT),
    "voc": ("Annotations/a.xml", VOC),
    "kitti": ("label_2/a.txt", KITTI),
    "labelme": ("a.json", LABELME),
    "yolo": ("labels/a.txt", YOLO),
    "labelstudio": ("a.json", LABELSTUDIO),
    "mot": ("gt/gt.txt", MOT),
    "mapped": ("a.csv", CSV),
}


def lay_out(folder: Path, name: str) -> Path:
    """A folder with a good sample of a format; returns what a reader opens."""
    file, content = SAMPLES[name]
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    if name == "yolo":
        (folder / "train.txt").write_text("images/a.jpg\n")
        (folder / "data.yaml").write_text(yaml.safe_dump({"train": "train.txt", "names": ["CAR", "BUS"]}))
    if name == "mapped":
        (folder / "mapping.yaml").write_text(yaml.safe_dump(MAPPING))
    return path if name == "mapped" else folder


def read(opened: Path, name: str, folder: Path) -> str:
    """Reads everything, strictly and as a check does; the refusal of the strict reading, "" for none."""
    options = ReadOptions(mapping=folder / "mapping.yaml" if name == "mapped" else None)
    problems: list[Problem] = []
    try:
        list(open_labels(opened, name, options).pictures(problems.append))
        list(open_labels(opened, name, options).pictures())
    except TrafficYoloError as error:
        return str(error)
    assert {problem.kind for problem in problems} <= NOTED
    return ""
