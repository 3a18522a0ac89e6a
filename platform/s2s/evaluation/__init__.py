"""Floor 1: how good an imputation is. Metrics, the rivals, the protocol that joins them, tables and figures.

Works on `lattice.Measured` and `lattice.HeldOut`; opens no store and trains nothing but rivals. The only home of
scikit-image, scikit-learn, matplotlib and fistnd.
"""
