"""What lies in an evaluation folder, by name, and what ties raw detections to a data set; needs no torch."""

from traffic_yolo.dataset.data_set import DataSet

COCO_MAX_DETECTIONS = 100


def detections_name(split: str) -> str:
    """The file of a split's raw detections in an evaluation folder."""
    return f"detections_{split}.npz"


def images_fingerprint(data: DataSet, split: str) -> str:
    """What `Protocol.images_fingerprint` is for the pictures of one split."""
    return f"{data.fingerprint}/{split}"
