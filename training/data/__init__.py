"""RAP's data pipeline: pictures with boxes become conversations about personal concepts.

``python -m training.data world | coco | photographs`` makes them, ``read_records`` reads them back.
"""

from training.data.problems import BadData, Problem
from training.data.records import ConceptRecord, Message, RapRecord, read_records

__all__ = ["BadData", "ConceptRecord", "Message", "Problem", "RapRecord", "read_records"]
