"""How vLLM's processes wait for each other on a machine of few cores."""

import threading
import time

from vllm.distributed.device_communicators.shm_broadcast import MessageQueue

from rap_serve.adapters.vllm_waiting import PatientScheduler, PatientWorker
from rap_serve.settings import Settings

PAUSE_SECONDS = 0.5


def test_who_waits_for_a_message_sleeps() -> None:
    """The pause between two messages costs no core, and the second one still wakes the reader."""
    writer = MessageQueue(1, 1)
    reader = MessageQueue.create_from_handle(writer.export_handle(), 0)
    ready = threading.Thread(target=writer.wait_until_ready)
    ready.start()
    reader.wait_until_ready()
    ready.join()
    writer.enqueue("first")
    assert reader.dequeue(timeout=10) == "first"
    later = threading.Timer(PAUSE_SECONDS, writer.enqueue, ("second",))
    later.start()
    spent = time.thread_time()
    assert reader.dequeue(timeout=10) == "second"
    assert time.thread_time() - spent < PAUSE_SECONDS / 5
    later.join()


def test_the_local_profile_names_both_processes_classes() -> None:
    """Each imports the module only because it is told to."""
    engine = Settings.load("local").mllm.engine
    named = {engine["worker_cls"], engine["scheduler_cls"]}
    assert named == {f"{c.__module__}.{c.__qualname__}" for c in (PatientWorker, PatientScheduler)}
