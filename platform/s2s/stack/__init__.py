"""Floor 4: the servers of a laptop. S3 (SeaweedFS), MLflow and a Ray head, started, watched and ended on 127.0.0.1.

`local` tells the story (`up`, `down`, `status`); the other modules each know one thing. Nothing here imports mlflow, ray or
weed: they run as processes of their own, with the executables of this Python's environment.
"""
