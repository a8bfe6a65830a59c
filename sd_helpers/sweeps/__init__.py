"""Many pictures at once: tables of prompts and settings, drawn together, kept in folders, on one machine or several."""
