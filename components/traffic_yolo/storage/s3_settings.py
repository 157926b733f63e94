"""Where the object storage is and who asks: from the environment alone, never from an option."""

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from traffic_yolo.errors import OptionsError
from traffic_yolo.storage.retry import positive_number

ENDPOINT_VARIABLE = "TRAFFIC_YOLO_S3_ENDPOINT"
ANONYMOUS_VARIABLE = "TRAFFIC_YOLO_S3_ANONYMOUS"
TIMEOUT_VARIABLE = "TRAFFIC_YOLO_S3_TIMEOUT_S"
ENDPOINT_VARIABLES = (ENDPOINT_VARIABLE, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
CA_BUNDLE_VARIABLES = ("AWS_CA_BUNDLE", "SSL_CERT_FILE")
DEFAULT_REGION = "us-east-1"  # also what MinIO, SeaweedFS and Ceph call theirs unless told otherwise
DEFAULT_TIMEOUT_S = 60


@dataclass(frozen=True)
class S3Settings:
    """One server and one identity. `host` is name and port; an empty `access_key` asks anonymously.

    `timeout_s` bounds one wait for the server (to connect: a fifth of it), not a whole transfer.
    """

    host: str
    secure: bool
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False)
    ca_bundle: str
    timeout_s: int

    @classmethod
    def from_environment(cls) -> "S3Settings":
        """Reads the variables that docs/storage.md lists; `OptionsError` names what is missing or wrong."""
        host, secure = _endpoint()
        access_key, secret_key = os.environ.get("AWS_ACCESS_KEY_ID", ""), os.environ.get("AWS_SECRET_ACCESS_KEY", "")
        anonymous = os.environ.get(ANONYMOUS_VARIABLE, "") == "1"
        if not anonymous and not (access_key and secret_key):
            missing = " and ".join(
                name for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if not os.environ.get(name)
            )
            raise OptionsError(f"object storage: set {missing}, or {ANONYMOUS_VARIABLE}=1 for a public bucket")
        ca_bundle = _first(CA_BUNDLE_VARIABLES)
        if ca_bundle and not os.path.isfile(ca_bundle):
            raise OptionsError(f"certificate bundle not found: {ca_bundle}; check {' and '.join(CA_BUNDLE_VARIABLES)}")
        return cls(
            host=host,
            secure=secure,
            region=_first(REGION_VARIABLES) or DEFAULT_REGION,
            access_key="" if anonymous else access_key,
            secret_key="" if anonymous else secret_key,
            session_token="" if anonymous else os.environ.get("AWS_SESSION_TOKEN", ""),
            ca_bundle=ca_bundle,
            timeout_s=positive_number(TIMEOUT_VARIABLE, DEFAULT_TIMEOUT_S),
        )

    @property
    def url(self) -> str:
        """The server's address, for messages."""
        return f"{'https' if self.secure else 'http'}://{self.host}"


def _endpoint() -> tuple[str, bool]:
    """Host with port, and whether by TLS."""
    text = _first(ENDPOINT_VARIABLES)
    if not text:
        example = "http://minio-service.kubeflow:9000 or https://s3.amazonaws.com"
        raise OptionsError(f"object storage: set {ENDPOINT_VARIABLE} to the server's address, such as {example}")
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/") or parts.query:
        raise OptionsError(f"{ENDPOINT_VARIABLE}: expected http://host:port or https://host:port, found {text!r}")
    if "@" in parts.netloc:
        raise OptionsError(f"{ENDPOINT_VARIABLE}: credentials belong in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    return parts.netloc, parts.scheme == "https"


def _first(variables: tuple[str, ...]) -> str:
    return next((os.environ[name] for name in variables if os.environ.get(name)), "")
