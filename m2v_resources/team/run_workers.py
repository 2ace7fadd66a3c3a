"""Dagster's own launcher of runs, which notices too when the process of a run is gone."""

from dagster import DagsterRun
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value


class RunWorkers(DefaultRunLauncher):
    """Runs are processes of the code location's server; the server knows which of them live.

    Dagster's launcher leaves a run that lost its server for ever under way: the new server knows nothing of it.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Failed, where the server answers and does not know the run's process; a silent server is waited for."""
        client = self._get_grpc_client_for_termination(run.run_id)
        if client is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        try:
            answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id))
        except DagsterUserCodeUnreachableError:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        if deserialize_value(answer, CanCancelExecutionResult).can_cancel:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "its process is gone: the code location was restarted")
