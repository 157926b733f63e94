"""The pictures of a training, opened: samples, the cache shared with the validation, what was found about them."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.data_set import DataSet, LabelledImage
from traffic_yolo.errors import TrainingError
from traffic_yolo.training.augment import Augmentation
from traffic_yolo.training.augmentation_settings import keys_without_effect
from traffic_yolo.training.box_counts import BoxCounts, count_boxes
from traffic_yolo.training.loader import MOSAIC_WINDOW, Batch, Samples, batches
from traffic_yolo.training.network_sizes import NetworkSizes
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.picture_cache import PictureCache
from traffic_yolo.training.picture_store import NeededSize, PictureStore
from traffic_yolo.training.skipped_pictures import SkippedPictures

log = logging.getLogger(__name__)

SPLIT = "train"


@dataclass(frozen=True)
class TrainingPictures:
    """Split train of a data set for one run. `cache` has what the training left of the budget, for the validation."""

    samples: Samples
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
    ) -> "TrainingPictures":
        """Looks at the labels, reads no picture; logs what in the cfg has no effect. `images`: split train.

        Raises `DatasetError` for a class that the network does not have and for a split without pictures,
        `TrainingError` for one in which no box can be learnt from, `StorageError` for a cache folder without room.
        """
        counts = count_boxes(
            images,
            num_classes=network.num_classes,
            network_wh=(sizes.width, sizes.height),
            letterbox=network.letterbox,
        )
        if images and not counts.trained:
            raise TrainingError(
                f"split {SPLIT} has no boxes; nothing can be learnt from it ({counts.describe()}); "
                f"{data_set.filled_splits}"
            )
        for sentence in keys_without_effect(network.cfg):
            log.info("%s", sentence)
        cache = PictureCache(options.cache_mib, options.cache_folder)
        needed = NeededSize(augmentation, sizes.largest_wh, network.letterbox, options.reduced_decode)
        samples = Samples(
            PictureStore(images, cache=cache, needed=needed, window=MOSAIC_WINDOW + 1),
            augmentation,
            sizes=sizes,
            letterbox=network.letterbox,
            seed=options.seed,
            balanced_classes=network.num_classes if options.balanced_sampling else 0,
        )
        return cls(samples, SkippedPictures(len(images), most=options.max_bad_pictures), counts, cache)

    def batches(self, *, first: int, last: int, workers: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
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
