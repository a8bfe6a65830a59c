"""Controls in a notebook, by the name under which they are imported: this module is `notebook/widgets.py`."""

import sys

from .notebook import widgets

sys.modules[__name__] = widgets
