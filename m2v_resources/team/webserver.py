"""Dagster's webserver behind its door: ``python -m m2v_resources.team.webserver --workspace FILE --port 3000``."""

import argparse
from pathlib import Path

import dagster as dg
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.version import __version__

from m2v_resources.team.door import Door, hosts

# Dagster's own defaults: milliseconds, seconds, connections.
STATEMENT_TIMEOUT_MS, POOL_RECYCLE_S, POOL_OVERFLOW = 15_000, 3600, 20
POLL_MS = 2000
# Open subscriptions do not end by themselves.
GRACE_S = 5


def main() -> None:
    """Serve the UI of the instance in ``DAGSTER_HOME`` until a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True, help="YAML that names the code's servers")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3000)
    given = parser.parse_args()
    with dg.DagsterInstance.get() as instance:
        instance.optimize_for_webserver(STATEMENT_TIMEOUT_MS, POOL_RECYCLE_S, POOL_OVERFLOW)
        target = WorkspaceFileTarget(paths=[str(given.workspace)])
        with WorkspaceProcessContext(instance, target, version=__version__) as context:
            app = create_app_from_workspace_process_context(context, "", POLL_MS)
            uvicorn.run(
                Door(app, hosts()),
                host=given.host,
                port=given.port,
                log_level="warning",
                timeout_graceful_shutdown=GRACE_S,
            )


if __name__ == "__main__":
    main()
