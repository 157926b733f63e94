"""What may go wrong between us and an S3 server: which faults pass, and what to say of the others."""

import http.client
import re
from xml.etree.ElementTree import ParseError

import urllib3.exceptions
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from traffic_yolo.errors import AlreadyExistsError, ChangedMeanwhileError, ChecksumError, NotFoundError, StorageError
from traffic_yolo.storage.retry import Fault

PASSING_STATUS = frozenset((408, 425, 429, 500, 502, 503, 504))
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; the digests: bytes that were harmed on the way
PASSING_CODES = frozenset(
    ("SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "OperationAborted", "TooManyRequests",
     "ConditionalRequestConflict", "BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody", "Throttling",
     "ThrottlingException", "RequestThrottled", "InvalidDigest")
)  # fmt: skip
ADVICE = {
    "NoSuchBucket": "no such bucket; check its name, or make it",
    "AccessDenied": "access denied; check the bucket's policy and AWS_ACCESS_KEY_ID",
    "InvalidAccessKeyId": "the server does not know this AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "wrong AWS_SECRET_ACCESS_KEY, or a proxy that changes the request",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
    "ExpiredToken": "the AWS_SESSION_TOKEN has expired; get new credentials",
    "InvalidRegion": "wrong region; check AWS_REGION",
    "AuthorizationHeaderMalformed": "wrong region; check AWS_REGION",
    "QuotaExceeded": "the quota is used up; free some space and run again",
    "XMinioStorageFull": "the server's disks are full; free some space and run again",
    "NotImplemented": "the server cannot do this (conditional writes, say); use a newer one",
}

_CONNECTION_OBJECT = re.compile(r"^<?[\w.]*Connection(?:Pool)?(?:\([^)]*\)| object at 0x[0-9a-f]+>): ")


class CutShortError(StorageError):
    """The connection ended before the content did."""


def fault_of(error: Exception) -> Fault | None:
    """Classifies what the client raised; None for what is no fault of storage."""
    if isinstance(error, AlreadyExistsError | NotFoundError):
        return Fault(str(error), passes=False)
    if isinstance(error, ChangedMeanwhileError | CutShortError | ChecksumError):
        return Fault(str(error), passes=True)
    if isinstance(error, S3Error):
        return _s3_fault(error)
    if isinstance(error, ServerError):
        return _status_fault(error.status_code)
    if isinstance(error, InvalidResponseError):  # a proxy's or a gateway's own page
        return _status_fault(int(error._code))
    if isinstance(error, urllib3.exceptions.HTTPError):
        return _connection_fault(error)
    if isinstance(error, ParseError | UnicodeDecodeError):
        return Fault("the server's answer is no XML", passes=True)
    if isinstance(error, http.client.HTTPException | ConnectionError | TimeoutError):
        return Fault(_words(error), passes=True)
    if isinstance(error, MinioException):
        return Fault(_words(error), passes=False)
    return None


def is_code(error: Exception, *codes: str) -> bool:
    """Whether the server refused with one of these codes."""
    return isinstance(error, S3Error) and error.code in codes


def _s3_fault(error: S3Error) -> Fault:
    status = int(getattr(error.response, "status", 0) or 0)
    if error.code in PASSING_CODES or status in PASSING_STATUS:
        return Fault(f"the server answers {status} {error.code}", passes=True, wait_s=_retry_after_s(error))
    if error.code in ADVICE:
        return Fault(ADVICE[error.code], passes=False)
    return Fault(f"the server refuses with {error.code}: {' '.join(str(error.message).split())}", passes=False)


def _status_fault(status: int) -> Fault:
    if status in PASSING_STATUS:
        return Fault(f"the server answers {status}", passes=True)
    hint = "access denied" if status in (401, 403) else "is this address an S3 server?"
    return Fault(f"the server answers {status} without an S3 error; {hint}", passes=False)


def _connection_fault(error: urllib3.exceptions.HTTPError) -> Fault:
    reason = getattr(error, "reason", None) or error
    words = _words(reason)
    if "CERTIFICATE_VERIFY_FAILED" in words:
        advice = "the server's certificate is not trusted; set AWS_CA_BUNDLE to its authority"
        return Fault(f"{advice} ({words})", passes=False)
    if "WRONG_VERSION_NUMBER" in words or "record layer failure" in words.lower():
        return Fault("the server does not speak TLS at this port; the endpoint may want http://", passes=False)
    if isinstance(reason, urllib3.exceptions.LocationParseError):
        return Fault(words, passes=False)
    return Fault(words, passes=True)


def _retry_after_s(error: S3Error) -> float:
    text = str(getattr(error.response, "headers", {}).get("Retry-After", ""))
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _words(error: BaseException) -> str:
    """The error on one line, without the Python object that it begins with."""
    text = _CONNECTION_OBJECT.sub("", " ".join(str(error).split()))
    return text or type(error).__name__
