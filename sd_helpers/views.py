"""Pictures in a notebook, by the name under which they are imported: this module is `notebook/views.py`."""

import sys

from .notebook import views

sys.modules[__name__] = views
