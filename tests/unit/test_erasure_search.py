"""The search for what was erased finds what was planted."""

from pathlib import Path

import pyarrow
import pyarrow.parquet

from loadtest.erasure import searched, spellings

MARK = "zq0123456789abcdef"


def test_every_spelling_is_found(tmp_path: Path) -> None:
    """In the middle of anything."""
    for how, words in spellings(MARK).items():
        for place, word in enumerate(words):
            (tmp_path / f"{how}-{place}").write_bytes(b"\0" * 1_000 + word + b"\xff" * 10)
    files = sorted(tmp_path.iterdir())
    assert len(searched(files, [MARK])["found"]) == len(files)


def test_what_is_compressed_in_a_column_inside_another_file_is_found(tmp_path: Path) -> None:
    """As Milvus' server keeps it."""
    table = pyarrow.table({"body": [f"{number:05} {MARK} {number * 7_919:07}" for number in range(1_000)]})
    buffer = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, buffer, compression="zstd", use_dictionary=False, write_statistics=False)
    column = buffer.getvalue().to_pybytes()
    assert MARK.encode() not in column
    file = tmp_path / "insert_log"
    file.write_bytes(b"\xfc\xab\0header" + column + b"between" + column)
    assert searched([file], [MARK])["found"] == {f"{file}: plain": 2}


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    """Not even in a broken table."""
    file = tmp_path / "broken"
    file.write_bytes(b"PAR1 this is none PAR1")
    assert searched([file], [MARK])["found"] == {}
