"""The chief of a search and its clients: keras-tuner's gRPC service of an oracle, with errors instead of waiting."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import Any

import grpc
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer
from keras_tuner.src.distribute.oracle_client import OracleClient
from keras_tuner.src.engine.trial import Trial as TunerTrial

from cnnrecipes.errors import TrainingError, one_line
from cnnrecipes.tuning.kept_oracle import KeptOracle
from cnnrecipes.tuning.roles import ID, IP, NAMES, PORT, TIMEOUT, Role


class Chief:
    """Serves an oracle to workers; a context manager.

    Args:
        oracle: the oracle.
        address: host:port to listen at; port 0: a free one.

    Attributes:
        port: the port.

    Raises:
        TrainingError: the port is taken, or the host is not this machine.
    """

    def __init__(self, oracle: KeptOracle, address: str):
        self.oracle = oracle
        # By default Linux lets two processes listen at one port, and workers would meet either of them.
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=1), options=[("grpc.so_reuseport", 0)])
        self._servicer = OracleServicer(oracle)
        protos.get_service_grpc().add_OracleServicer_to_server(self._servicer, self._server)
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError:
            self.port = 0
        if not self.port:
            raise TrainingError(
                f"the chief cannot listen at {address}: the port is taken, or the host is not this machine; choose "
                f"another {PORT}, or stop the search that uses it"
            )

    @property
    def searched(self) -> bool:
        """True if all trials are over."""
        return self._servicer.stop_triggered and not self.oracle.ongoing_trials

    @property
    def running(self) -> dict[str, str]:
        """The worker of each trial that is running."""
        return {trial.trial_id: worker for worker, trial in dict(self.oracle.ongoing_trials).items()}

    def __enter__(self) -> Chief:
        self._server.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.stop(grace=None).wait()


class Client:
    """The chief's oracle as a worker sees it.

    Args:
        role: of the worker.
        seconds: to wait for an answer.

    Raises:
        TrainingError: from its methods: the chief cannot be reached, or has an error.
    """

    def __init__(self, role: Role, seconds: float):
        host, _, port = role.address.rpartition(":")
        before = {name: os.environ.get(name) for name in NAMES}
        os.environ.update({ID: role.name, IP: host, PORT: port})  # which keras-tuner reads
        try:
            self._client = OracleClient(None)
        finally:
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        self._client.stub = _TimedStub(self._client.stub, role.address, seconds)

    def create_trial(self, tuner_id: str) -> TunerTrial:
        """Return the next trial of this worker."""
        return self._client.create_trial(tuner_id)

    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> TunerTrial:
        """Report the objective of a trial."""
        return self._client.update_trial(trial_id, dict(metrics), step)

    def end_trial(self, trial: TunerTrial) -> None:
        """Report that a trial is over."""
        self._client.end_trial(trial)


class _TimedStub:
    """The stub of keras-tuner's service, whose calls wait for a given time, not for an hour."""

    def __init__(self, stub: Any, address: str, seconds: float):
        self._stub, self._address, self._seconds = stub, address, seconds

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._stub, name)

        def call(request: Any, **_: Any) -> Any:
            try:
                return method(request, wait_for_ready=True, timeout=self._seconds)
            except grpc.RpcError as error:
                raise self._explained(error) from None

        return call

    def _explained(self, error: grpc.RpcError) -> TrainingError:
        code = error.code() if hasattr(error, "code") else None
        if code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            return TrainingError(
                f"the chief at {self._address} did not answer within {self._seconds:g} s; check that it is running and "
                f"its port open, and start this worker again; {TIMEOUT} sets the seconds"
            )
        details = one_line(error.details()) if hasattr(error, "details") else one_line(error)
        return TrainingError(f"the chief at {self._address} has an error ({details}); see its output")
