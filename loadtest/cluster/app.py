"""The service of ``deployments.cluster`` with a simulated engine: what the Serve config of a trial names."""

from pydantic import BaseModel, ConfigDict
from ray.serve import Application

from deployments.app import build
from loadtest.simulated.engine import Costs
from loadtest.simulated.mllm import simulated
from rap_serve.settings import Settings


class Arguments(BaseModel):
    """``profile``: a file. ``pass_seconds``, ``answer_tokens``: of the engine.

    ``revision``: what Serve runs is of another version whenever any argument is another.
    """

    model_config = ConfigDict(extra="forbid")

    profile: str
    pass_seconds: float
    answer_tokens: int
    revision: int = 1


def app(arguments: Arguments) -> Application:
    """Built by Ray Serve on a node of the cluster."""
    costs = Costs(pass_seconds=arguments.pass_seconds, answer_tokens=arguments.answer_tokens)
    return build(Settings.load(arguments.profile), simulated(costs, "owner"))
