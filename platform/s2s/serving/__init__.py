"""Tissue models behind HTTP: one door (`app`), processes that impute (`imputer`), one that looks after jobs (`runner`), on Ray Serve.

What is answered is decided in `recipes.serving`; here it is said in HTTP, and spread over a cluster.
"""
