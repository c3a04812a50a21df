"""A Milvus server beside a service, started again whenever it dies, for runs that kill it.

    RAP_SERVICE_HOME=$PWD/.rap python -m loadtest.milvus_server --data /tmp/milvus --port 19555
    RAP_MILVUS__EMBEDDED=false RAP_MILVUS__URI=http://127.0.0.1:19555 rap up --home .rap

``RAP_SERVICE_HOME`` makes it a part of that home's service: outages find it, and ``rap down`` ends it.
"""

import argparse
import time
from pathlib import Path

from tests.contract.milvus_server import MilvusServer

WATCH_SECONDS = 0.5


def main() -> None:
    """Serves for ever."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--time-tick-ms", type=int, default=50, help="how long a read waits for the latest write")
    options = parser.parse_args()
    data, programs = options.data / "data", options.data / "programs"
    data.mkdir(parents=True, exist_ok=True)
    server = MilvusServer(data, programs=programs, time_tick_ms=options.time_tick_ms, port=options.port)
    try:
        while True:
            if not server.alive():
                began = time.monotonic()
                try:
                    server.start()
                    print(f"up after {time.monotonic() - began:.1f} s", flush=True)
                except RuntimeError as error:  # on a busy machine a start may take longer than is waited for
                    print(error, flush=True)
            time.sleep(WATCH_SECONDS)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
