"""The pictures of a training, opened: samples, the cache shared with the validation, what was found about them."""

import logging
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.data_set import DataSet, LabelledImage
from traffic_yolo.errors import TrainingError
from traffic_yolo.training.augment import Augmentation
from traffic_yolo.training.augmentation_settings import keys_without_effect
from traffic_yolo.training.box_counts import BoxCounts, count_boxes
from traffic_yolo.training.distributed import Processes
from traffic_yolo.training.loader import MOSAIC_WINDOW, Batch, Samples, batches
from traffic_yolo.training.network_sizes import NetworkSizes
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.picture_cache import PictureCache
from traffic_yolo.training.picture_store import NeededSize, PictureStore
from traffic_yolo.training.skipped_pictures import SkippedPicture, SkippedPictures

log = logging.getLogger(__name__)

SPLIT = "train"


@dataclass(frozen=True)
class TrainingPictures:
    """Split train of a data set for one run. `cache` has what the training left of the budget, for the validation.

    `there`: the names of the files that lay there when it was opened.
    """

    samples: Samples
    there: tuple[str, ...]
    skipped: SkippedPictures
    box_counts: BoxCounts
    cache: PictureCache

    @classmethod
    def open(
        cls,
        data_set: DataSet,
        images: Sequence[LabelledImage],
        network: Network,
        options: TrainingOptions,
        *,
        augmentation: Augmentation,
        sizes: NetworkSizes,
        processes: Processes | None = None,
    ) -> "TrainingPictures":
        """Looks at the labels, reads no picture; logs what in the cfg has no effect. `images`: split train.

        Raises `DatasetError` for a class that the network does not have and for a split without pictures,
        `TrainingError` for one in which no box can be learnt from or too many files are missing, `StorageError` for a
        cache folder without room.
        """
        counts = count_boxes(
            images,
            num_classes=network.num_classes,
            network_wh=(sizes.width, sizes.height),
            letterbox=network.letterbox,
        )
        if images and not counts.trained:
            raise _nothing_to_learn(data_set, counts)
        skipped = SkippedPictures(len(images), most=options.max_bad_pictures, processes=processes)
        # Now, and not when a batch meets them after a validation; those that are not too many are counted as they come
        missing = [_missing(image) for image in images if not image.path.is_file()]
        skipped.check(missing)
        absent = {picture.file_name for picture in missing}
        for sentence in keys_without_effect(network.cfg):
            log.info("%s", sentence)
        cache = PictureCache(options.cache_mib, options.cache_folder)
        needed = NeededSize(augmentation, sizes.largest_wh, network.letterbox, options.reduced_decode)
        store = PictureStore(images, cache=cache, needed=needed, window=MOSAIC_WINDOW + 1)
        log.info("%d of %d pictures are decoded once and kept; see --cache-mib", store.num_kept, len(store))
        samples = Samples(
            store,
            augmentation,
            sizes=sizes,
            letterbox=network.letterbox,
            seed=options.seed,
            balanced_classes=network.num_classes if options.balanced_sampling else 0,
        )
        there = tuple(image.file_name for image in images if image.file_name not in absent)
        return cls(samples, there, skipped, counts, cache)

    def batches(
        self, *, first: int, last: int, workers: int, rank: int = 0, world_size: int = 1
    ) -> Generator[Batch, None, None]:
        """As `loader.batches`; pictures that cannot be used are counted in `skipped`."""
        return batches(
            self.samples,
            first=first,
            last=last,
            workers=workers,
            rank=rank,
            world_size=world_size,
            skipped=self.skipped,
        )


def _nothing_to_learn(data_set: DataSet, counts: BoxCounts) -> TrainingError:
    if not counts.total:
        return TrainingError(
            f"{data_set.coco_path(SPLIT)}: split {SPLIT} has no boxes, so nothing can be learnt from it; look for the "
            f"labels, or convert with other splits (shares such as 0.8/0.1/0.1) or val_sites"
        )
    return TrainingError(
        f"{data_set.coco_path(SPLIT)}: split {SPLIT} has {counts.total} boxes, and none can be learnt from "
        f"({counts.describe()}); look at its labels, at the class map, and at --width and --height"
    )


def _missing(image: LabelledImage) -> SkippedPicture:
    return SkippedPicture(image.file_name, "missing", f"picture not found: {image.path}")
