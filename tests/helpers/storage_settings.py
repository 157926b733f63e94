"""Points this process at an S3 server."""

import uuid

import pytest
from s3_servers import S3Server

from traffic_yolo.storage.s3 import connect
from traffic_yolo.storage.s3_settings import S3Settings


def use(server: S3Server, patch: pytest.MonkeyPatch) -> str:
    """Sets the environment for a server; the answer is the name of a new bucket."""
    for name, value in server.environment.items():
        patch.setenv(name, value)
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    connect(S3Settings.from_environment()).make_bucket(bucket)
    return bucket
