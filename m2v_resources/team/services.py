"""The services of a team's machine: where each listens, and whether it answers.

Docker asks every few seconds, so nothing heavy is imported here.
"""

import os
import socket
from dataclasses import dataclass

from m2v.errors import HostError

SERVICES = ("code", "webserver", "daemon")
PATIENCE_S = 5


@dataclass(frozen=True)
class ServiceAddress:
    """Where a service listens, from ``name:port``."""

    name: str
    port: int


def is_host() -> bool:
    """Tell whether the settings are a team's machine's."""
    return bool(os.environ.get("M2V_POSTGRES"))


def address(variable: str) -> ServiceAddress:
    """Return the address in an environment variable.

    Raises:
        HostError: It is not set, or no ``name:port``.
    """
    name, _, port = os.environ.get(variable, "").rpartition(":")
    if not name or not port.isdecimal():
        raise HostError(
            f"{variable} is {os.environ.get(variable)!r}; it must be name:port. docker-compose.yml sets it: start the "
            "service with `make up`."
        )
    return ServiceAddress(name, int(port))


def check(service: str) -> None:
    """Ask the code or the webserver of this machine whether it works.

    Raises:
        HostError: It does not answer, or there is no such service.
    """
    if service not in SERVICES:
        raise HostError(f"There is no service {service!r}; there are {', '.join(SERVICES)}.")
    import urllib.request

    port = address(f"M2V_{service.upper()}").port
    try:
        if service == "webserver":
            urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=PATIENCE_S).close()  # nosec B310
        else:
            _ask_grpc(port)
    except OSError as error:
        raise HostError(f"The {service} does not answer on port {port}: {error}.") from error


def _ask_grpc(port: int) -> None:
    # A port that nobody listens on is known without gRPC, which takes its time to load and to give up.
    socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S).close()
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        asked = health_pb2.HealthCheckRequest(service="DagsterApi")
        try:
            # The stub's methods are made when it is.
            answer = health_pb2_grpc.HealthStub(channel).Check(asked, timeout=PATIENCE_S)  # pyright: ignore[reportAttributeAccessIssue]
        except grpc.RpcError as error:
            raise OSError(str(error.code())) from error
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise OSError("it is not serving")
