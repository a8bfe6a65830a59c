"""Plots in a notebook, by the name under which they are imported: this module is `notebook/plots.py`."""

import sys

from .notebook import plots

sys.modules[__name__] = plots
