"""vLLM's engine and its worker in one process, on a machine of few cores.

On a CPU vLLM gives the worker a process of its own, to bind the threads of several workers to cores, and
``ray.serve.llm`` insists on that. A single worker of one thread gains nothing by it: each step of the engine then costs
two messages, and whoever waits for one spins, or sleeps past it.
"""

from typing import Any

IN_ONE_PROCESS = "uni"
"""vLLM's name for it, as ``distributed_executor_backend`` of a profile's ``mllm.engine``."""


def keeping_executor(engine: type) -> type:
    """``ray.serve.llm``'s engine on vLLM, which keeps to that setting where the profile has it."""

    class Engine(engine):  # type: ignore[misc]
        """Sets what was asked for when nobody changes it any more."""

        def _start_async_llm_engine(self, arguments: Any, config: Any, placement_group: Any) -> Any:
            if self.llm_config.engine_kwargs.get("distributed_executor_backend") == IN_ONE_PROCESS:
                config.parallel_config.distributed_executor_backend = IN_ONE_PROCESS
            return super()._start_async_llm_engine(arguments, config, placement_group)

    return Engine
