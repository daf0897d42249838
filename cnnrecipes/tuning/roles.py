"""The role of this process in a search of several: keras-tuner's environment variables, or SLURM's tasks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass

from cnnrecipes._support.cluster import find_cluster
from cnnrecipes.errors import TrainingError

ID, IP, PORT = NAMES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
TIMEOUT = "CNNRECIPES_CHIEF_TIMEOUT"
_SECONDS = 300.0  # that a worker waits for the chief; SLURM may start it minutes later
_OF_SLURM = ("SLURM_PROCID", "SLURM_NTASKS")


@dataclass(frozen=True)
class Role:
    """The chief, which has the oracle, or a worker, which runs trials.

    Attributes:
        name: of the worker; another process of this name gets its trial. The chief's has "chief" in it.
        address: host:port of the chief.
    """

    name: str
    address: str

    @property
    def is_chief(self) -> bool:
        """True for the process that has the oracle."""
        return "chief" in self.name


def find_role(environment: Mapping[str, str] | None = None) -> Role | None:
    """Return the role of this process; None if it searches alone.

    Raises:
        TrainingError: some of keras-tuner's variables are missing, the port is no port, or SLURM's are invalid.
    """
    environment = os.environ if environment is None else environment
    given = {name: environment[name] for name in NAMES if environment.get(name)}
    if given:
        if missing := [name for name in NAMES if name not in given]:
            raise TrainingError(
                f"{', '.join(given)} is set, and {', '.join(missing)} is not; set all three: an id with chief in it "
                "for one process, for example chief, another one for each worker, and the chief's host and port"
            )
        if not given[PORT].isdigit() or not 0 < int(given[PORT]) < 2**16:
            raise TrainingError(f"{PORT} is {given[PORT]!r}; a port is a whole number from 1 to 65535")
        return Role(given[ID], f"{given[IP]}:{given[PORT]}")
    if "SLURM_PROCID" not in environment or environment.get("TF_CONFIG"):
        return None
    cluster = find_cluster(environment)
    if cluster is None:
        return None
    return Role("chief" if cluster.index == 0 else f"worker{cluster.index}", cluster.workers[0])


@contextlib.contextmanager
def outside_of_cluster(environment: MutableMapping[str, str] | None = None) -> Iterator[None]:
    """Remove SLURM's number of this task in the `with` block: the trials of several tasks are not one training."""
    environment = os.environ if environment is None else environment
    before = {name: environment.pop(name) for name in _OF_SLURM if name in environment}
    try:
        yield
    finally:
        environment.update(before)


def chief_timeout(environment: Mapping[str, str] | None = None) -> float:
    """Return the seconds that a worker waits for an answer of the chief. Raises TrainingError if it is no number."""
    environment = os.environ if environment is None else environment
    text = environment.get(TIMEOUT, str(_SECONDS))
    try:
        seconds = float(text)
        if seconds <= 0:
            raise ValueError
    except ValueError:
        raise TrainingError(f"{TIMEOUT} is {text!r}; give seconds above 0, for example 600") from None
    return seconds
