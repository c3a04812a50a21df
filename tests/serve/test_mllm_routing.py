"""Requests of one owner meet what they left, on real replicas behind Ray Serve's handles."""

from collections.abc import Iterator

import pytest

from loadtest.bench.simulated_mllm import Asker, Outcome, Traffic, mllm_settings, own_ray
from loadtest.simulated.engine import Costs
from rap_serve.adapters.ray_handle import RayMllm
from rap_serve.domain.chat import Sampling
from rap_serve.domain.concept import Owner
from rap_serve.domain.prompt import LAYOUTS, Turn

COSTS = Costs(pass_seconds=0.001, picture_seconds=0.001, prompt_token_seconds=0, picture_tokens=16, answer_tokens=3)
REPLICAS = 3


@pytest.fixture(scope="module")
def ray_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Without any deployment."""
    with own_ray(str(tmp_path_factory.mktemp("ray"))):
        yield


async def asked(mllm: RayMllm, owner: Owner, turn: Turn) -> str:
    """The whole answer."""
    pieces = mllm.stream([turn], Sampling(), model="simulated", owner=owner, request_id="r")
    return "".join([delta.text async for delta in pieces])


@pytest.mark.slow
@pytest.mark.parametrize("router", ["owner", "power-of-two"])
async def test_a_picture_goes_to_a_replica_once(ray_of_our_own: None, router: str) -> None:
    """Every question is answered, wherever it goes; where owners stay, none has to be sent twice."""
    from ray import serve

    from loadtest.simulated.mllm import build_simulated

    handle = serve.run(build_simulated(mllm_settings(REPLICAS, COSTS), costs=COSTS, router=router), name="routing")
    outcome = Outcome()
    mllm = RayMllm(handle, deadline_seconds=60, secret=b"s", observer=outcome)
    asker = Asker(Traffic(reuse=0, rate=0, seconds=0, owners=12), LAYOUTS["rap"], seed=0)
    questions = [asker.next() for _ in range(20)]
    for _ in range(3):
        for owner, turn in questions:
            assert (await asked(mllm, owner, turn)).startswith("This is")
    assert outcome.spared > outcome.sent
    if router == "owner":
        assert outcome.resent == 0
    serve.delete("routing")
