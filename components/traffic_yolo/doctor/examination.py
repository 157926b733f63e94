"""Every look that doctor takes, side by side, and the page that they come to."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from traffic_yolo.doctor import installed, machine, surroundings
from traffic_yolo.doctor.probe import Probe, ProbeResult

LOADING_S = 60.0  # what loads torch, OpenCV or matplotlib from a cold disk


def probes() -> list[Probe]:
    """In the order of the page."""
    variables = dict(os.environ)
    return [
        Probe("program", "versions", installed.program),
        Probe("program", "packages", installed.packages),
        Probe("extras", "extras", installed.extras),
        Probe("machine", "processor", machine.cpu),
        Probe("machine", "memory", machine.memory),
        Probe("machine", "disk", machine.disk),
        Probe("GPU", "PyTorch", machine.torch_devices, LOADING_S),
        Probe("GPU", "driver", machine.driver),
        Probe("OpenCV", "build", installed.opencv, LOADING_S),
        Probe("OpenCV", "fonts", installed.fonts, LOADING_S),
        Probe("storage", "nas://", partial(surroundings.nas, variables)),
        Probe("storage", "s3://", partial(surroundings.object_storage, variables)),
        Probe("cluster", "Kubeflow Pipelines", partial(surroundings.pipelines_server, variables)),
        Probe("cluster", "Kubernetes", partial(surroundings.kubernetes_server, variables)),
        Probe("environment", "variables", partial(surroundings.environment, variables)),
    ]


def examine(looks: Sequence[Probe]) -> list[ProbeResult]:
    """What all looks came to, in their order; they are taken at the same time, and none can keep it from ending."""
    with ThreadPoolExecutor(max_workers=max(1, len(looks))) as pool:
        return [result for found in pool.map(lambda look: look.results(), looks) for result in found]


def page(results: Sequence[ProbeResult]) -> str:
    """Plain text: a heading a section, a line a result, `!` before what is missing or wrong."""
    width = max((len(each.name) for each in results), default=0)
    lines: list[str] = []
    section = ""
    for each in results:
        if each.section != section:
            section = each.section
            lines += ["", section] if lines else [section]
        lines.append(f"{'!' if each.state != 'ok' else ' '} {each.name:<{width}}  {each.value}".rstrip())
    warnings = sum(each.state != "ok" for each in results)
    counted = {0: "nothing is amiss", 1: "1 line with ! is worth a look"}.get(
        warnings, f"{warnings} lines with ! are worth a look"
    )
    return "\n".join([*lines, "", counted])
