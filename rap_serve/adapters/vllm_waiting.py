"""vLLM's processes on a machine of few cores: they sleep while they wait for each other.

By default whoever waits spins for a second after the last message, which costs a core as long as anything is asked:
welcome beside a GPU, and half the machine where there are two cores. A profile names both classes in ``mllm.engine``
(``worker_cls``, ``scheduler_cls``), so that the engine's process and its worker's each import this module.
"""

from vllm.distributed.device_communicators.shm_broadcast import SpinCondition
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.worker.cpu_worker import CPUWorker

_spinning_wait = SpinCondition.wait


def _sleeping_wait(condition: SpinCondition, timeout_ms: int | None = None) -> None:
    """Returns when there is something to read, without having spun for it."""
    condition.busy_loop_s = 0.0
    _spinning_wait(condition, timeout_ms)


SpinCondition.wait = _sleeping_wait


class PatientWorker(CPUWorker):  # type: ignore[misc]
    """vLLM's CPU worker in a process that does not spin."""


class PatientScheduler(Scheduler):  # type: ignore[misc]
    """vLLM's scheduler in a process that does not spin."""
