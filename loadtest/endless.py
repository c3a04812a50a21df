"""A copy of the tiny MLLM that never ends an answer by itself: what is cut off is then seen to be.

python -m loadtest.endless --out /tmp/endless
"""

import argparse
import json
import shutil
from pathlib import Path

from rap_serve.settings import PROJECT_ROOT

MLLM = PROJECT_ROOT / "models" / "tiny" / "mllm"
NEVER_SAID = ("<pad>", 0)
"""A token that answers do not contain, as text and as number; it ends the copy's."""

LONGEST_TOKENS = 1_800


def endless_mllm(folder: Path) -> Path:
    """Writes the copy."""
    shutil.copytree(MLLM, folder, dirs_exist_ok=True)
    text, number = NEVER_SAID
    _changed(folder / "tokenizer_config.json", eos_token=text)
    _changed(folder / "generation_config.json", eos_token_id=number)
    _changed(folder / "config.json", eos_token_id=number)
    return folder


def endless_environment(folder: Path) -> dict[str, str]:
    """Settings of a service with that model, whose engine works at one answer at a time."""
    return {
        "RAP_MLLM__SOURCE": str(endless_mllm(folder)),
        "RAP_MLLM__CONSTRAIN_NAMES": "false",
        "RAP_MLLM__MAX_TOKENS": str(LONGEST_TOKENS),
        "RAP_MLLM__ENGINE": json.dumps({"max_num_seqs": 1}),
    }


def _changed(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}, indent=1))


def main() -> None:
    """Parses the command line, writes the copy, prints the settings as lines for a shell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    for name, value in endless_environment(parser.parse_args().out.resolve()).items():
        print(f"export {name}='{value}'")


if __name__ == "__main__":
    main()
