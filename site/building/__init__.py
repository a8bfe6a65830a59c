"""What `export.py`, `reference.py` and `assemble.py` are made of."""
