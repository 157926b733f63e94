"""What a conversion would refuse, seen without reading a picture: for callers who start long work after it."""

from traffic_yolo.dataset.convert import class_map_of
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.plug_ins import plug_ins
from traffic_yolo.dataset.sources.opening import open_source
from traffic_yolo.dataset.splits.plan import check_named_sites
from traffic_yolo.errors import DatasetError


def look_ahead(options: ConvertOptions) -> tuple[str, ...]:
    """The classes that the data set will have.

    Reads labels and the structure of recordings alone. Raises what `convert` raises for a source, label file, class
    map, mapping, layout or policy that cannot be read, and for sites that do not exist.
    """
    plug_ins(options)  # refuses a policy that makes no sense
    source = open_source(options)
    keys = tuple(source.keys())
    if not keys and options.device_labels == "never":
        raise DatasetError(f"{options.source}: no human labels; give labels, or use device_labels train")
    if keys:
        check_named_sites(keys, {*options.val_site_names, *options.test_site_names})
    return class_map_of(options, source).classes
