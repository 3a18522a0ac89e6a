"""The linear step: what space alone tells about the positions between, before any network.

Noise is estimated per bin (`noise`), genes are drawn together into factors (`factors`), every field is kriged with a covariance
averaged over its candidates (`fields`), and `section` puts the three together for a whole section. numpy and scipy only.
"""
