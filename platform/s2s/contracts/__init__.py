"""Floor 0: what a thing is. Frozen pydantic documents, the settings, and how a YAML becomes a document.

Nothing here reads a section, opens a socket or imports torch.
"""
