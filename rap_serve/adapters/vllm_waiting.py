"""vLLM's processes on a machine of few cores: they sleep while they wait for each other.

By default whoever waits spins for a second after the last message, which costs a core as long as anything is asked:
welcome beside a GPU, and half the machine where there are two cores. A profile names both classes in ``mllm.engine``
(``worker_cls``, ``scheduler_cls``), so that the engine's process and its worker's each import this module.
"""

import time

from vllm.distributed.device_communicators.shm_broadcast import SpinCondition
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.worker.cpu_worker import CPUWorker

NAP_MILLISECONDS = 1
"""A message wakes who sleeps, but not every one does while they come fast: then it is found after this time."""

_spinning_wait = SpinCondition.wait


def _sleeping_wait(condition: SpinCondition, timeout_ms: int | None = None) -> None:
    """Returns when there may be something to read: naps where vLLM would spin, and waits where it would wait."""
    spins = condition.busy_loop_s
    would_spin = time.monotonic() <= condition.last_read + spins
    condition.busy_loop_s = 0.0
    try:
        _spinning_wait(condition, NAP_MILLISECONDS if would_spin else timeout_ms)
    finally:
        condition.busy_loop_s = spins


SpinCondition.wait = _sleeping_wait


class PatientWorker(CPUWorker):  # type: ignore[misc]
    """vLLM's CPU worker in a process that does not spin."""


class PatientScheduler(Scheduler):  # type: ignore[misc]
    """vLLM's scheduler in a process that does not spin."""
