"""Floor 2: from stored sections and photographs to the batches of a training step.

`windows` chooses what to read and never reads; `sections` and `photographs` read and never choose; `batches` joins them.
Knows nothing of training.
"""
