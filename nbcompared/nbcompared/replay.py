"""What a notebook stores after a cell's kernel messages, as JupyterLab would."""

from IPython.core.displayhook import DisplayHook


class Replay:
    """What a notebook stores after a cell's kernel messages: one method a message type, as in Jupyter's protocol."""

    def __init__(self, source: str):
        self.outputs = []
        self.ids = []  # of each output its display id, or None
        self.clear_first = False
        self.capturing = set()  # the Output widgets that swallow what is displayed
        # nbval's run leaves no history, by which IPython would know that a last ";" silences the result.
        self.silenced = DisplayHook.semicolon_at_end_of_expression(source)

    def take(self, messages: list[dict]) -> list[dict]:
        """The outputs in nbformat's form."""
        for message in messages:
            kind, content = message["msg_type"], message["content"]
            if kind == "comm_msg" or not self.capturing:
                getattr(self, f"_on_{kind}", lambda content: None)(content)
        return self.outputs

    def append(self, content: dict, **output) -> None:
        """Add an output, after a clear_output(wait=True) in place of those before."""
        if self.clear_first:
            self.clear()
        self.outputs.append(output)
        self.ids.append(content.get("transient", {}).get("display_id"))

    def clear(self) -> None:
        """Forget the outputs so far."""
        self.outputs, self.ids, self.clear_first = [], [], False

    def _on_stream(self, content: dict) -> None:
        self.append(content, output_type="stream", name=content["name"], text=content["text"])

    def _on_error(self, content: dict) -> None:
        self.append(content, output_type="error", ename=content["ename"], evalue=content["evalue"])

    def _on_display_data(self, content: dict) -> None:
        self._on_update_display_data(content)  # a display id that is used again changes its earlier places too
        self.append(content, output_type="display_data", data=content["data"])

    def _on_execute_result(self, content: dict) -> None:
        if not self.silenced:
            self.append(content, output_type="execute_result", data=content["data"])

    def _on_update_display_data(self, content: dict) -> None:
        wanted = content.get("transient", {}).get("display_id")
        for output, display_id in zip(self.outputs, self.ids):
            if wanted and display_id == wanted:
                output["data"] = content["data"]

    def _on_clear_output(self, content: dict) -> None:
        if content.get("wait"):
            self.clear_first = True
        else:
            self.clear()

    def _on_comm_msg(self, content: dict) -> None:
        state = content.get("data", {}).get("state", {})
        if "msg_id" in state:  # an Output widget begins or ends to capture
            (self.capturing.add if state["msg_id"] else self.capturing.discard)(content["comm_id"])
