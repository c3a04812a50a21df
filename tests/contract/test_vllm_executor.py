"""In how many processes vLLM's engine runs."""

from types import SimpleNamespace

import pytest
from ray.serve.llm.deployment import LLMServer
from vllm.v1.executor.abstract import Executor
from vllm.v1.executor.uniproc_executor import UniProcExecutor

from rap_serve.adapters.vllm_executor import IN_ONE_PROCESS, keeping_executor
from rap_serve.settings import Settings


class Started:
    """As much of an engine as chooses its executor. ``mp``: what ``ray.serve.llm`` and vLLM make of any other."""

    def __init__(self, **engine: str) -> None:
        self.llm_config = SimpleNamespace(engine_kwargs=engine)
        self.parallel = SimpleNamespace(distributed_executor_backend="mp")

    def start(self) -> type[Executor]:
        """Which one it takes."""
        return self._start_async_llm_engine(None, SimpleNamespace(parallel_config=self.parallel), None)

    def _start_async_llm_engine(self, _: object, config: SimpleNamespace, __: object) -> type[Executor]:
        return Executor.get_class(config)  # type: ignore[arg-type]


@pytest.mark.parametrize(("engine", "one"), [(Settings.load("local").mllm.engine, True), ({}, False)])
def test_the_profile_has_its_executor(engine: dict[str, str], one: bool) -> None:
    """And where it names none, nothing is changed."""
    assert (engine.get("distributed_executor_backend") == IN_ONE_PROCESS) is one
    assert (keeping_executor(Started)(**engine).start() is UniProcExecutor) is one


def test_the_engine_is_started_where_it_is_overridden() -> None:
    """Ray's engine still has the method that this rests on."""
    engine = LLMServer._get_default_engine_class(LLMServer)
    assert callable(engine._start_async_llm_engine)
