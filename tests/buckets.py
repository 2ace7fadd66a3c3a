"""An S3 server of the tests' own: moto's, as a process, on a free port of loopback.

Between looking whether a key is there and writing it, moto's threads take turns, so that of two conditional writers
both could win, which no real server lets happen. Here one request is answered at a time.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import boto3
import httpx

KEYS = {"AWS_ACCESS_KEY_ID": "leek", "AWS_SECRET_ACCESS_KEY": "a-secret-potato", "AWS_REGION": "us-east-1"}


class Server:
    """A running server; its buckets are in its memory, and gone when it ends.

    Args:
        fault: "ignores conditions", or "loses an answer": of the first claim of a first version it does what it was
            asked and says that it failed.
    """

    def __init__(self, fault: str = "") -> None:
        command = [sys.executable, "-m", "tests.buckets", fault]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self.n_buckets = 0

    @property
    def environment(self) -> Mapping[str, str]:
        """What a client needs to reach it; it answers one request at a time, on a busy machine late."""
        return {**KEYS, "AWS_ENDPOINT_URL": self.url, "M2V_STORAGE_PATIENCE_S": "60"}

    def client(self, service: str = "s3") -> Any:
        """The server as boto3 sees it, beside our own door."""
        return boto3.client(
            service,  # pyright: ignore[reportArgumentType]
            endpoint_url=self.url,
            region_name=KEYS["AWS_REGION"],
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )

    def new(self) -> str:
        """A new bucket's address, with a prefix."""
        self.n_buckets += 1
        self.client().create_bucket(Bucket=f"garden-{self.n_buckets}")
        return f"s3://garden-{self.n_buckets}/team/a"

    def user(self, name: str, *actions: str) -> Mapping[str, str]:
        """A user who may do this, and nothing else once rights are asked for; what a client needs to be it."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        allowed = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_user_policy(UserName=name, PolicyName="garden", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        keys = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
        return {**self.environment, **keys}

    def ask_for_rights(self) -> None:
        """From now on everybody needs them, as on a real server."""
        httpx.post(f"{self.url}/moto-api/reset-auth", content=b"0").raise_for_status()

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()


def parts(address: str) -> tuple[str, str]:
    """Bucket and key of an address."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return bucket, key


def main(fault: str) -> None:
    """Serve until somebody ends us, or whoever started us is gone; the port goes to standard output."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    application, turn, lost = DomainDispatcherApplication(create_backend_app), threading.Lock(), list[str]()

    def one_at_a_time(environ: dict[str, Any], start: Any) -> Any:
        is_conditional = environ.get("HTTP_IF_NONE_MATCH") == "*"
        if fault == "ignores conditions":
            environ.pop("HTTP_IF_NONE_MATCH", None)
        with turn:
            path = environ["PATH_INFO"]
            if fault == "loses an answer" and is_conditional and path.endswith("/versions/1.json") and not lost:
                lost.append(path)
                b"".join(application(environ, lambda *_: None))
                start("500 Internal Server Error", [])
                return []
            return application(environ, start)

    server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True)
    print(server.server_port, flush=True)  # noqa: T201
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
