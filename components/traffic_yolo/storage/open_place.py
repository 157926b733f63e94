"""What does the work for a location, by its scheme."""

from traffic_yolo.storage.local import LocalPlace
from traffic_yolo.storage.locations import AnyPath, is_s3, local_path, location_text, parse_s3
from traffic_yolo.storage.places import Place


def open_place(location: AnyPath) -> Place:
    """What does the work for a location. minio is imported for object storage alone."""
    location = location_text(location)
    if is_s3(location):
        from traffic_yolo.storage.s3 import S3Place

        return S3Place(parse_s3(location))
    return LocalPlace(local_path(location))
