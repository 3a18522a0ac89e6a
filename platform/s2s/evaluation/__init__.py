"""Floor 1: how good an imputation is. Metrics, the classical rivals, the protocol that joins them, tables and figures.

Works on `lattice.Measured` and `lattice.HeldOut`; opens no store and trains nothing. The only home of scikit-image,
scikit-learn and matplotlib.
"""
