"""kill -9 of every process right after acknowledged writes, then a new start: is everything there?

python -m loadtest.durability --home /tmp/durable --writes 50 --times 3
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import httpx
import psutil

from loadtest import drawn
from loadtest.processes import service_processes


def up(home: Path, port: int) -> dict[str, str]:
    """Starts the service; its address and key."""
    command = [sys.executable, "-m", "rap_serve.cli.main", "up", "--home", str(home), "--port", str(port), "--json"]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def kill_everything(home: Path) -> int:
    """kill -9 of all processes at once; how many there were."""
    victims = service_processes(home)
    for process in victims:
        if process.is_running():
            process.kill()
    psutil.wait_procs(victims, timeout=10)
    return len(victims)


def write(service: dict[str, str], user: str, count: int) -> list[str]:
    """Remembers ``count`` concepts one after the other; the names that were acknowledged."""
    headers = {"Authorization": f"Bearer {service['api_key']}"}
    names = []
    with httpx.Client(base_url=service["url"], headers=headers, timeout=60, trust_env=False) as http:
        for i in range(count):
            body = drawn.concept(f"thing-{i}", drawn.thing(i), i)
            http.post(f"/v1/users/{user}/concepts", json=body).raise_for_status()
            names.append(f"thing-{i}")
    return names


def read(service: dict[str, str], user: str) -> list[str]:
    """The names in memory."""
    headers = {"Authorization": f"Bearer {service['api_key']}"}
    with httpx.Client(base_url=service["url"], headers=headers, timeout=60, trust_env=False) as http:
        page = http.get(f"/v1/users/{user}/concepts", params={"limit": 100}).raise_for_status().json()
    return [c["name"] for c in page["data"]]


def main() -> None:
    """Parses the command line and prints a line of JSON for each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--writes", type=int, default=50)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    service = up(options.home, options.port)
    for round_ in range(options.times):
        names = write(service, f"round-{round_}", options.writes)
        killed = kill_everything(options.home)
        service = up(options.home, options.port)
        lost = sorted(set(names) - set(read(service, f"round-{round_}")))
        print(json.dumps({"round": round_, "acknowledged": len(names), "killed_processes": killed, "lost": lost}))


if __name__ == "__main__":
    main()
