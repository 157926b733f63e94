"""Tells an address how a run ended. The address is a secret: from the environment, in no message."""

import json
import os

import urllib3

from traffic_yolo.errors import ClusterError, OptionsError

WEBHOOK_VARIABLE = "TRAFFIC_YOLO_WEBHOOK"
TIMEOUT_S = 10.0


def tell_webhook(text: str) -> bool:
    """Posts `{"text": …}`, as chats take it, to the address in `WEBHOOK_VARIABLE`; False where there is none.

    Raises `OptionsError` for a variable that holds no address, `ClusterError` where nobody takes the message.
    """
    address = os.environ.get(WEBHOOK_VARIABLE, "").strip()
    if not address:
        return False
    if not address.startswith(("https://", "http://")):
        raise OptionsError(f"{WEBHOOK_VARIABLE}: expected an address that begins with https://")
    try:
        with urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=TIMEOUT_S)) as pool:
            body = json.dumps({"text": text}).encode()
            headers = {"Content-Type": "application/json"}
            status = pool.request("POST", address, body=body, headers=headers, redirect=False).status
    except (urllib3.exceptions.HTTPError, OSError, UnicodeError) as error:
        # Its own words have the address in them
        raise ClusterError(f"the webhook gave no answer ({type(error).__name__})") from None
    if not 200 <= status < 300:
        raise ClusterError(f"the webhook refused: {status}")
    return True
