"""The whole service on a cluster that is there already: what a Serve config's ``import_path`` names."""

from pydantic import BaseModel, ConfigDict
from ray.serve import Application

from deployments.app import build
from deployments.mllm import build_mllm
from rap_serve.settings import Settings


class Arguments(BaseModel):
    """``profile``: a name under ``deployments/profiles``, or a file that every node has."""

    model_config = ConfigDict(extra="forbid")

    profile: str


def app(arguments: Arguments) -> Application:
    """What ``profile`` and the environment say, built by Ray Serve on a node of the cluster."""
    return build(Settings.load(arguments.profile), build_mllm)
