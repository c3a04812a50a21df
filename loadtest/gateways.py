"""Which of several gateways answered, as far as the metrics tell."""

import re
from collections import Counter

import httpx

METRICS_SECONDS = 12.0
"""Ray exports every ten."""

_COUNTED = re.compile(r'^ray_rap_requests_total\{.*replica="(\w+)",route="(?:/v1/|unmatched).*\} (\S+)$', re.MULTILINE)


async def requests_by_gateway(url: str) -> Counter[str]:
    """How many requests each has counted so far."""
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
        text = (await http.get("/metrics")).text
    counted = Counter[str]()
    for replica, count in _COUNTED.findall(text):
        counted[replica] += int(float(count))
    return counted
