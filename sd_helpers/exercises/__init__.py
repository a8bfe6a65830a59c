"""The checks of each notebook's exercises, one module a notebook."""
