"""What both doors to the library share, the command line and the KFP components: how a user's mistake ends them."""

import contextlib
import sys
from collections.abc import Iterator

from traffic_yolo.errors import (
    ERROR_PREFIX,
    GATE_EXIT_CODE,
    GATE_PREFIX,
    USER_ERROR_EXIT_CODE,
    GateError,
    ProblemsError,
    TrafficYoloError,
)
from traffic_yolo.messages import one_line
from traffic_yolo.processors import limit_threads

TORCH, TORCH_EXTRA = "torch", "train"  # a package that not everybody needs, and the extra that brings it


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Turns a `TrafficYoloError` inside the block into one line on stderr and exit code 2, without a traceback.

    A `ProblemsError` has a line for each problem. A `GateError` is no mistake of anybody's: its line begins otherwise,
    and the exit code is 1.

    Both doors to the library use it: the command line, and the KFP components, where it is the difference between one
    line and forty in the pod's log. So this is also where the threads of both are held to the container's limit.
    """
    try:
        limit_threads()
        yield
    except GateError as error:
        print(f"{GATE_PREFIX}{error}", file=sys.stderr, flush=True)
        raise SystemExit(GATE_EXIT_CODE) from None
    except TrafficYoloError as error:
        for line in error.lines if isinstance(error, ProblemsError) else (str(error),):
            print(f"{ERROR_PREFIX}{one_line(line)}", file=sys.stderr, flush=True)
        raise SystemExit(USER_ERROR_EXIT_CODE) from None
    except ModuleNotFoundError as error:
        if error.name != TORCH:
            raise
        advice = f'pip install "traffic-yolo[{TORCH_EXTRA}]"'
        print(f"{ERROR_PREFIX}this needs torch, which is not installed: {advice}", file=sys.stderr, flush=True)
        raise SystemExit(USER_ERROR_EXIT_CODE) from None
