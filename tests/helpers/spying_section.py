"""Sections that note which keys their readers ask for."""

from traffic_yolo.darknet.cfg import Cfg, Section


class SpyingSection(Section):
    """`asked` are the keys that were asked for, `numbers` those that were read as numbers or lists of numbers."""

    def __init__(self, section: Section) -> None:
        super().__init__(section.to_text().splitlines(keepends=True), file=section.file, line=section.line)
        self.asked: set[str] = set()
        self.numbers: set[str] = set()

    def has(self, key):
        self.asked.add(key)
        return super().has(key)

    def get_str(self, key, default):
        self.asked.add(key)
        return super().get_str(key, default)

    def _number(self, key, *rest):
        self.asked.add(key)
        self.numbers.add(key)
        return super()._number(key, *rest)

    def _numbers(self, key, *rest, **options):
        self.asked.add(key)
        self.numbers.add(key)
        return super()._numbers(key, *rest, **options)


def spy_on(cfg: Cfg) -> list[SpyingSection]:
    """Puts spies in place of the layer sections of the cfg, which is changed, and returns them."""
    spies = [SpyingSection(section) for section in cfg.layers]
    cfg.layers = list(spies)
    return spies
