"""The network, its data consistency and its losses: everything about CDCIN that needs torch and nothing that needs data.

Windows come in as `(batch, 1, y, x)` tensors; where they come from and what becomes of the result is for the floors above.
"""

from s2s.network.batch import TERMS, Batch, TermBatch
from s2s.network.cdcin import CDCIN, predict
from s2s.network.consistency import enforce_consistency
from s2s.network.fill import fill
from s2s.network.losses import forward_terms, term_loss, total_loss

__all__ = ["CDCIN", "TERMS", "Batch", "TermBatch", "enforce_consistency", "fill", "forward_terms", "predict", "term_loss", "total_loss"]
