"""What a pod on a cluster has of the storage: where the NAS is, and what the secret for object storage holds."""

from traffic_yolo.storage.s3_settings import ENDPOINT_VARIABLE

NAS_MOUNT_PATH = "/nas"
# Keys of the secret, each the environment variable that it becomes
S3_SECRET_KEYS = (ENDPOINT_VARIABLE, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION")
# No secret has the name. A driver refuses an empty one (since 2.5), and in a loop one that is left out
NO_SECRET = "none"
