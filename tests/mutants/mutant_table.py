"""The mutants: small faults that a tired maintainer could make, each beside the tests that have to notice it.

A module stands once, by its import name, so that a rename is one line. What is chosen: limits (is the number itself in
or out?), roundings, the order of equals, ends of ranges, what a fault of machine or network leaves behind.
"""

from mutant import Mutant, Target

_SAME_BITS = "both give the same number: what is left of the frame is as wide as the box, but for a rounding"
_EQUAL = "tests/darknet/test_nms_kernels.py::test_an_overlap_equal_to_the_threshold_to_the_last_bit_removes_nothing"
_PAIRS = "tests/darknet/test_nms_kernels.py::test_pairs_at_the_edge_of_what_one_box_can_remove_are_those_of_plain_loops"
# Those that start no processes
_LEASE = tuple(
    f"tests/storage/test_lease.py::{name}"
    for name in (
        "test_a_holder_that_renews_is_left_alone_however_long_it_takes",
        "test_a_holder_is_left_alone_up_to_the_expiry_and_not_beyond",
        "test_a_process_number_that_another_process_has_now_is_no_holder",
        "test_a_process_that_ended_and_is_not_yet_waited_for_is_no_holder",
        "test_a_link_whose_answer_was_lost_is_a_lease_that_is_held",
    )
)

TARGETS = (
    Target(
        "traffic_yolo.darknet.resize",
        (
            "tests/darknet/test_resize.py::test_letterbox_size_is_the_cut_quotient",
            "tests/darknet/test_resize.py::test_letterbox_pastes_the_stretched_picture_on_grey_at_the_cut_half",
            "tests/darknet/test_resize.py::test_boxes_of_a_letterboxed_picture_leave_the_border",
        ),
        (
            Mutant("height rounded", "height * network_width // width)", "round(height * network_width / width))"),
            Mutant("width rounded", "width * network_height // height)", "round(width * network_height / height))"),
            Mutant("no least height", "max(1, height * network_width // width)", "height * network_width // width"),
            Mutant("margin rounded up", "(height - new_height) // 2,", "-(-(height - new_height) // 2),"),
            Mutant("margin of whole pixels", "margin = (1 - ratio) / 2", "margin = np.floor(1 - ratio) / 2"),
        ),
    ),
    Target(
        "traffic_yolo.dataset.splits.assignment",
        ("tests/dataset/splits/test_assignment.py", "tests/dataset/splits/test_choice.py"),
        (
            Mutant("distance not by share", " / wanted[split] for c, own", " for c, own"),
            Mutant("closed share lost", "opened[heir] = opened.get(heir, 0.0) + rest", "pass"),
            Mutant("closed share to the last", 'next(iter(opened), "train")', "list(opened)[-1]"),
            Mutant("val filled first", '("test", free), ("val", free)', '("val", free), ("test", free)'),
            Mutant("test filled from the far end", '("test", free)', '("test", free[::-1])'),
            Mutant("train filled from the near end", '("train", free[::-1])', '("train", free)'),
            Mutant("a split emptied to fill another", "counts[splits[name]] > 1", "counts[splits[name]] > 0"),
            Mutant("smallest group first", "-sum(shares[name].values())", "sum(shares[name].values())"),
            Mutant(
                "border in the lower split",
                "if position < border",
                "if position <= border",
                "no name's hash lies on a border: a chance of 2 ** -64",
            ),
        ),
    ),
    Target(
        "traffic_yolo.metrics.coco",
        (
            "tests/metrics/test_match_table.py::test_ap75_is_read_at_an_iou_of_75_hundredths_and_not_beside_it",
            "tests/metrics/test_match_table.py::test_per_class_and_per_area_numbers_are_means_of_the_curves",
        ),
        (
            Mutant(
                "ap75 of a class at .70",
                "ap75=_at_iou(precision[..., 0], settings, 0.75)",
                "ap75=_at_iou(precision[..., 0], settings, 0.7)",
            ),
            Mutant(
                "ap50 of a class at .55",
                "ap50=_at_iou(precision[..., 0], settings, 0.5)",
                "ap50=_at_iou(precision[..., 0], settings, 0.75)",
            ),
            Mutant("ap75 at .80", "ap75=_at_iou(curves, settings, 0.75)", "ap75=_at_iou(curves, settings, 0.8)"),
            Mutant("undefined counts as 0", "values[values > -1]", "np.maximum(values, 0)"),
        ),
    ),
    Target(
        "traffic_yolo.metrics.coco_kernels",
        (
            "tests/metrics/test_operating_point.py::test_an_overlap_of_exactly_a_half_is_a_match",
            "tests/metrics/test_operating_point.py::test_of_true_boxes_that_overlap_equally_the_last_one_is_found_as_in_pycocotools",
        ),
        (
            Mutant("threshold left out", "if value >= lowest", "if value > lowest"),
            Mutant("first of equals", "if overlaps[index] < best_overlap", "if overlaps[index] <= best_overlap"),
        ),
    ),
    Target(
        "traffic_yolo.metrics.operating_point",
        (
            "tests/metrics/test_operating_point.py::test_the_confusion_matrix_tells_wrong_class_from_background",
            "tests/metrics/test_operating_point.py::test_an_ignore_region_takes_detections_of_every_class_and_is_never_missed",
        ),
        (
            Mutant(
                "columns are truth",
                "(truth.class_ids[found], predicted[right])",
                "(predicted[right], truth.class_ids[found])",
            ),
            Mutant("ignored boxes are missed", "missed = ~truth.ignore", "missed = np.ones_like(truth.ignore)"),
            Mutant("found boxes are missed", "missed[found] = False", "pass"),
        ),
    ),
    Target(
        "traffic_yolo.metrics.thresholds",
        tuple(
            f"tests/metrics/test_thresholds.py::{name}"
            for name in (
                "test_what_all_classes_share_stays_where_the_ratios_lead_to_less",
                "test_a_class_of_twenty_true_boxes_has_a_threshold_of_its_own_and_one_of_nineteen_has_not",
                "test_the_knapsack_of_false_positives_takes_the_best_ratios_first",
                "test_thresholds_of_classes_are_the_best_of_all_pairs",
                "test_recall_at_false_positives_is_that_of_the_longest_prefix_borne",
            )
        ),
        (
            Mutant(
                "no fallback", "return kept if wrong[1] <= limit and right[1] > right[0] else chosen", "return chosen"
            ),
            Mutant("fallback beyond the limit", "wrong[1] <= limit and right[1]", "right[1]"),
            Mutant("fallback below the limit", "wrong[1] <= limit and", "wrong[1] < limit and"),
            Mutant("rare at the limit", "if count >= least_truths", "if count > least_truths"),
            Mutant("limit not spent", "spent + paid <= limit", "spent + paid < limit"),
            Mutant("worst ratio first", "max(steps)", "min(steps)"),
        ),
    ),
    Target(
        "traffic_yolo.metrics.objective",
        (
            "tests/metrics/test_thresholds.py::"
            "test_a_class_of_twenty_true_boxes_has_a_threshold_of_its_own_and_one_of_nineteen_has_not",
        ),
        (
            Mutant("one more", "LEAST_TRUTHS = 20", "LEAST_TRUTHS = 21"),
            Mutant("one less", "LEAST_TRUTHS = 20", "LEAST_TRUTHS = 19"),
        ),
    ),
    Target(
        "traffic_yolo.registry.card",
        ("tests/registry/test_card.py::test_a_class_measured_on_fewer_than_fifty_true_boxes_is_a_limit",),
        (
            Mutant("few at the limit", '("num_truths", 0) < LEAST_TRUTHS', '("num_truths", 0) <= LEAST_TRUTHS'),
            Mutant("one less", "    50  # of a class", "    49  # of a class"),
        ),
    ),
    Target(
        "traffic_yolo.deepstream.simulate.nms",
        (
            "tests/deepstream/simulate/test_nvinfer_rules.py::test_a_score_equal_to_the_post_cluster_threshold_goes_whatever_topk_says",
            "tests/deepstream/simulate/test_nvinfer_rules.py::test_topk_keeps_so_many_none_at_all_at_zero",
            "tests/deepstream/simulate/test_nvinfer_rules.py::test_equal_scores_keep_the_order_of_the_network",
            "tests/deepstream/simulate/test_nvinfer_rules.py::test_nms_works_class_by_class_and_keeps_an_overlap_equal_to_the_threshold",
        ),
        (
            Mutant(
                "post-cluster threshold kept", "scores[index] > post_thresholds", "scores[index] >= post_thresholds"
            ),
            Mutant("topk 0 keeps all", "if taken != limit", "if (limit <= 0 or taken != limit)"),
            Mutant("topk one more", "if taken != limit", "if (limit < 0 or taken <= limit)"),
            Mutant(
                "overlap at the threshold goes", "overlap / union > iou_threshold", "overlap / union >= iou_threshold"
            ),
        ),
    ),
    Target(
        "traffic_yolo.deepstream.simulate.postprocess",
        tuple(
            f"tests/deepstream/simulate/test_nvinfer_rules.py::{name}"
            for name in (
                "test_a_box_less_than_a_pixel_over_the_right_edge_is_cut_too",
                "test_the_right_edge_is_cut_only_with_cropping",
                "test_parser_cuts_at_the_edges_and_drops_what_is_below_a_pixel",
                "test_parser_keeps_a_score_equal_to_the_threshold_of_its_class",
                "test_a_box_that_touches_the_bottom_edge_exactly_stays",
                "test_size_filters_are_in_frame_pixels_and_per_class",
            )
        ),
        (
            Mutant("right edge cut from a pixel on", "left + width >= frame_width", "left + width >= frame_width + 1"),
            Mutant("right edge touched", "left + width >= frame_width", "left + width > frame_width", _SAME_BITS),
            Mutant("a pixel is too little", "(size >= 1)", "(size > 1)"),
            Mutant("threshold left out", "output[:, 4] >= thresholds", "output[:, 4] > thresholds"),
            Mutant("bottom edge touched", "(top + height > low_edge)", "(top + height >= low_edge)"),
            Mutant("least width left out", "(width < of_each", "(width <= of_each"),
        ),
    ),
    Target(
        "traffic_yolo.training.overlaps",
        (
            "tests/training/test_overlaps.py::test_a_prediction_is_ignored_with_more_than_half_of_it_in_an_ignored_box",
            "tests/training/test_overlaps.py::test_best_truths_are_those_of_all_pairs",
        ),
        (
            Mutant("two fifths", "IGNORE_REGION = 0.5", "IGNORE_REGION = 0.4"),
            Mutant("a little more", "IGNORE_REGION = 0.5", "IGNORE_REGION = 0.505"),
            Mutant("half is enough", "inside > IGNORE_REGION", "inside >= IGNORE_REGION"),
            Mutant("threshold is enough", "(iou > lowest)", "(iou >= lowest)"),
        ),
    ),
    Target(
        "traffic_yolo.dataset.formats.yolo",
        (
            "tests/dataset/formats/test_yolo.py::test_faults_name_file_and_line",
            "tests/dataset/formats/test_yolo.py::test_a_box_may_reach_a_picture_s_size_beyond_the_picture",
            "tests/dataset/formats/test_yolo.py::test_a_box_of_which_nothing_is_inside_the_picture_gets_no_line",
        ),
        (
            Mutant("pixels pass for shares", "-1 <= v <= 2", "-1 <= v <= 20"),
            Mutant("the limit left out", "-1 <= v <= 2", "-1 < v < 2"),
            Mutant("below -1", "-1 <= v <= 2", "-2 <= v <= 2"),
            Mutant("zero width at the edge", "right <= left", "right < left"),
            Mutant("zero height at the edge", "bottom <= top", "bottom < top"),
        ),
    ),
    Target(
        "traffic_yolo.darknet.nms_kernels",
        (f"{_PAIRS}[1.0-0.1]", f"{_PAIRS}[608.0-0.3]", f"{_PAIRS}[1.0-0.5]", _EQUAL),
        (
            Mutant("reach of equal lengths", "length if iou_threshold >= HALF else length / iou_threshold", "length"),
            Mutant(
                "no farther than a length",
                "max(length, most), ZERO) + SLACK * length",
                "max(length, most), ZERO) * ZERO + length",
            ),
            Mutant(
                "threshold goes",
                "(overlap > iou_threshold) & (rank[other] > box)\n                continue",
                "(overlap >= iou_threshold) & (rank[other] > box)\n                continue",
            ),
        ),
    ),
    Target(
        "traffic_yolo.katib.run.suggestions",
        (
            "tests/katib/run/test_suggestions.py::test_hyperband_rounds_as_katibs_service_does",
            "tests/katib/run/test_suggestions.py::test_hyperband_goes_on_with_the_best",
        ),
        (
            Mutant("fewer go on", "math.ceil(len(ranked) / self._eta)", "math.floor(len(ranked) / self._eta)"),
            Mutant("rounded go on", "math.ceil(len(ranked) / self._eta)", "round(len(ranked) / self._eta)"),
            Mutant("brackets rounded", "int(math.log(most) / math.log(eta))", "round(math.log(most) / math.log(eta))"),
            Mutant("least amount rounded", "least = int(", "least = round("),
            Mutant("amount rounded at the end", "least = int(", "least = ("),
            Mutant("bracket cut", "count = math.ceil(", "count = math.floor("),
        ),
    ),
    Target(
        "traffic_yolo.katib.check.rules_search",
        (
            "tests/katib/check/test_rules.py::test_rule_objects_and_text_and_json_say_so",
            "tests/katib/check/test_rules.py::test_rule_lets_pass",
        ),
        (
            Mutant(
                "TensorFlowEvent stops",
                'not in ("StdOut", "File", "")',
                'not in ("StdOut", "File", "TensorFlowEvent", "")',
            ),
            Mutant("Custom stops", 'not in ("StdOut", "File", "")', 'not in ("StdOut", "File", "Custom", "")'),
            Mutant("File stops nothing", 'not in ("StdOut", "File", "")', 'not in ("StdOut", "")'),
        ),
    ),
    Target(
        "traffic_yolo.storage.lease",
        _LEASE,
        (
            Mutant("never expires", "or time.monotonic() - since >= timing.expiry_s", "or False"),
            Mutant(
                "expires at once",
                "time.monotonic() - since >= timing.expiry_s",
                "time.monotonic() - since >= timing.poll_s",
            ),
            Mutant("expires late", "since >= timing.expiry_s", "since >= 3 * timing.expiry_s"),
            Mutant(
                "the beat is not looked at",
                "seen = (generation, _record(folder, generation))",
                "seen = (generation, _record(folder, generation)[:0])",
            ),
            Mutant("a lost answer is a lost race", "st_nlink == 2", "st_nlink == 3"),
            Mutant("a release is not seen", 'if holder["state"] == "free"', 'if holder["state"] == "gone"'),
            Mutant("the dead are waited for", "return process_identity.is_gone(holder)", "return False"),
        ),
    ),
    Target(
        "traffic_yolo.process_identity",
        _LEASE,
        (
            Mutant("a zombie holds", '"" if fields[0] == "Z" else fields[19]', "fields[19]"),
            Mutant(
                "a reused number holds",
                'started(int(record["pid"])) != record["started"]',
                'started(int(record["pid"])) == ""',
            ),
            Mutant("elsewhere is gone too", "is_here(record) and started", "started"),
        ),
    ),
    Target(
        "traffic_yolo.storage.atomic",
        (
            "tests/storage/test_atomic.py::test_file_and_its_name_are_on_the_disk_when_the_write_returns",
            "tests/storage/test_atomic.py::test_file_appears_whole_and_readable_by_others",
        ),
        (
            Mutant("folder not synced", "        sync_folder(path.parent)\n", ""),
            Mutant("file not synced", "            os.fsync(file.fileno())\n", ""),
            Mutant("not flushed", "            file.flush()\n", ""),
            Mutant("for its owner alone", "os.chmod(temporary, 0o644)", "os.chmod(temporary, 0o600)"),
        ),
    ),
    Target(
        "traffic_yolo.compression.surgeon",
        (
            "tests/compression/test_surgeon.py",
            "tests/compression/test_prune.py::test_obs_takes_more_than_half_of_a_layer_only_where_it_has_to",
        ),
        (
            Mutant(
                "the kernels' own product twice",
                "column - 0.5 * column[position] * row",
                "column - column[position] * row",
            ),
            Mutant("weights stay with what went", "        self.weights -= np.outer(row, halved)\n", ""),
            Mutant(
                "what went still counts",
                "        self.inverse -= np.outer(self.inverse[:, position].copy(), row)\n",
                "",
            ),
            Mutant("dearest first", "np.argmin(cost[allowed]", "np.argmax(cost[allowed]"),
            Mutant("BFLOPs do not count", "cost[allowed] / saved[allowed]", "cost[allowed]"),
            Mutant("errors cost alike", "np.sqrt(costs)[:, None", "np.ones(len(costs))[:, None"),
            Mutant("costs add up", "            layer.take_from(cost)\n", ""),
            Mutant("others do not count among those that stay", "keep_at_least) - family.others", "keep_at_least)"),
            Mutant("what [connected] reads costs nothing", "is_told[ties.inputs[section.index][0]] = False", "pass"),
        ),
    ),
    Target(
        "traffic_yolo.compression.refit",
        ("tests/compression/test_refit.py",),
        (
            Mutant("no constant", "    shift = np.einsum", "    shift = 0 * np.einsum"),
            Mutant("means the wrong way", "[kept] - torch.from_numpy(shift)", "[kept] + torch.from_numpy(shift)"),
            Mutant("biases the wrong way", "[kept] + torch.from_numpy(shift)", "[kept] - torch.from_numpy(shift)"),
            Mutant("what is left, twice", "combined.T @ between - between.T @ combined", "combined.T @ between"),
            Mutant("sharers too", "if index in shared or", "if"),
        ),
    ),
    Target(
        "traffic_yolo.compression.planes",
        ("tests/compression/test_refit.py",),
        (
            Mutant("means stay in", " - np.outer(moved[index], moved[index])", ""),
            Mutant("the last picture alone", "products[index] += (read", "products[index] = (read"),
        ),
    ),
)
