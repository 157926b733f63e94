"""Freeze plans: what Darknet's three keys mean, and that a plan written is the plan read."""

import pytest

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.freeze_plan import (
    NEVER,
    FreezePlan,
    plan_for_trainable,
    read_freeze_plan,
    write_freeze_plan,
)
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.errors import DarknetFormatError, OptionsError

WEIGHTED = [0, 1, 4, 7, 12]  # of the small network


def states(cfg, **options):
    plan = read_freeze_plan(cfg)
    return [plan.state(index, **options) for index in WEIGHTED]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, ["trained"] * 5),
        ({4: ("stopbackward", 1)}, ["frozen"] * 3 + ["trained"] * 2),
        ({3: ("stopbackward", 1)}, ["frozen"] * 2 + ["trained"] * 3),
        ({1: ("stopbackward", 800)}, ["frozen to iteration 800"] * 2 + ["trained"] * 3),
        ({4: ("dont_update", 50)}, ["trained", "trained", "frozen to iteration 50", "trained", "trained"]),
        ({4: ("dont_update", 2000)}, ["trained", "trained", "frozen", "trained", "trained"]),
        ({4: ("train_only_bn", 1)}, ["statistics only"] * 3 + ["trained"] * 2),
    ],
)
def test_the_keys_mean_what_darknet_does(small_cfg, keys, expected):
    cfg = Cfg.parse(small_cfg)
    for index, (key, value) in keys.items():
        cfg.layers[index].set(key, value)
    assert states(cfg, max_batches=1000) == expected


@pytest.mark.parametrize(
    ("trainable", "adapt", "plan"),
    [
        ({0, 1, 4, 7, 12}, False, FreezePlan()),
        ({4, 7, 12}, False, FreezePlan(stopbackward={3: 1})),  # the route between: no convolution to decay
        ({7, 12}, False, FreezePlan(stopbackward={6: 1})),
        ({1, 7, 12}, False, FreezePlan(stopbackward={0: 1}, dont_update={0: NEVER, 4: NEVER})),
        ({12}, False, FreezePlan(stopbackward={11: 1})),
        ({0, 12}, False, FreezePlan(dont_update={1: NEVER, 4: NEVER, 7: NEVER})),
        ({7, 12}, True, FreezePlan(train_only_bn=frozenset([6]))),
        ({0, 1, 4, 7, 12}, True, FreezePlan()),
    ],
)
def test_a_plan_freezes_exactly_the_other_layers_and_survives_writing(small_cfg, trainable, adapt, plan):
    cfg = Cfg.parse(small_cfg)
    sections = read_sections(cfg)
    found = plan_for_trainable(sections, trainable, adapt_statistics=adapt)
    assert found == plan
    written = Cfg.parse(write_freeze_plan(cfg, found).to_text())
    assert read_freeze_plan(written) == plan
    still = "statistics only" if adapt else "frozen"
    assert states(written) == ["trained" if index in trainable else still for index in WEIGHTED]
    assert cfg.to_text() == small_cfg


def test_writing_replaces_the_plan_that_was_there_and_nothing_else(small_cfg):
    cfg = Cfg.parse(small_cfg)
    frozen = write_freeze_plan(cfg, FreezePlan({3: 1}, {4: 9}, frozenset([1])))
    assert frozen.to_text().count("=1\n") > small_cfg.count("=1\n")
    assert write_freeze_plan(frozen, FreezePlan()).to_text() == small_cfg


def test_published_frozen_cfgs_are_read(reference):
    for name, last in (("yolov4-csp-x-swish-frozen", 193), ("yolov4-p5-frozen", 233)):
        cfg = Cfg.read(reference / "cfg" / f"{name}.cfg")
        plan = read_freeze_plan(cfg)
        assert list(plan.stopbackward.values()) == [1]
        (layer,) = plan.stopbackward
        assert abs(layer - last) <= 2
        assert plan.state(layer) == "frozen"
        assert plan.state(layer + 1) == "trained"


def test_plans_that_cannot_be_are_refused(small_cfg):
    cfg = Cfg.parse(small_cfg)
    with pytest.raises(OptionsError, match="expected layers 0 to 13 of <cfg>, found 14"):
        write_freeze_plan(cfg, FreezePlan(dont_update={14: 5}))
    with pytest.raises(OptionsError, match="expected at least one trainable layer with weights, found none"):
        plan_for_trainable(read_sections(cfg), {2, 3})
    cfg.layers[1].set("stopbackward", "yes")
    with pytest.raises(DarknetFormatError, match="stopbackward: expected a whole number, found 'yes'"):
        read_freeze_plan(cfg)


def test_what_lasts_is_what_no_update_of_the_run_ends():
    plan = FreezePlan({3: 1, 4: 800, 5: 1000}, {6: 50, 7: 1000, 8: NEVER}, frozenset([1]))
    assert plan.for_good(max_batches=1000) == FreezePlan({3: 1, 5: 1000}, {7: 1000, 8: NEVER}, frozenset([1]))
    assert plan.for_good(max_batches=0) == FreezePlan({3: 1}, {8: NEVER}, frozenset([1]))
