"""The built page's folder, and what serves it."""

import http.server
from pathlib import Path

SITE = Path(__file__).parents[1]
SCREENSHOTS = SITE.parent / "test-report" / "site"


class Server(http.server.SimpleHTTPRequestHandler):
    """Files of a folder; the names in `gone` are missing."""

    gone: set = set()
    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript"}

    def do_GET(self):
        if any(name in self.path for name in self.gone):
            self.send_error(404)
        else:
            super().do_GET()

    def log_message(self, *told):
        pass
