/** The engine in a thread of its own; its name is the address of the manifest. */

import { Server } from "./server.js";

new Server(self, self.name);
