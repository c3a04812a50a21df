"""Evaluation packs out of the generated world: ``python -m training.eval_packs --suite captioning --out DIR``.

All things are of the split ``test``, which nothing was trained or chosen on; four of its categories nothing has seen.
"""
