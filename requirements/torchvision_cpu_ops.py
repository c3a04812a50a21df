"""Lets the CUDA build of torchvision be imported beside a CPU build of torch.

That build registers fake kernels for ``torchvision::nms`` and ``torchvision::qnms`` on import, which fails
where its compiled operators cannot load. Declaring their schemas first is enough: nothing here calls them.
Where the compiled operators do load, nothing is declared. Copied into site-packages together with a
``.pth`` file, so that every interpreter of the environment has it, engine subprocesses included.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


class _DeclareOpsFirst(importlib.abc.MetaPathFinder):
    """Steps in once, when torchvision is about to be imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "torchvision":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and not _compiled_ops_load(spec):
            _declare()
        return spec


def _compiled_ops_load(spec: importlib.machinery.ModuleSpec) -> bool:
    import pathlib

    import torch

    for folder in spec.submodule_search_locations or ():
        for library in pathlib.Path(folder).glob("_C*.so"):
            try:
                torch.ops.load_library(str(library))
            except OSError:
                return False
            return True
    return False


def _declare() -> None:
    import torch

    for schema in _SCHEMAS:
        torch.library.define(f"torchvision::{schema.split('(')[0]}", schema[schema.index("(") :])


sys.meta_path.insert(0, _DeclareOpsFirst())
