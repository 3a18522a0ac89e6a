"""Floor 3: the place where things are joined. Start with `single_shot.py`."""
