"""Jupyter's settings for the labs: open the first one, and send kernel messages at once.

Without TCP_NODELAY a small message waits up to 40 ms for the browser's acknowledgement of the one before.
Read by `jupyter lab --config=binder/jupyter_server_config.py` and, installed by binder/postBuild, by Binder.
"""

from __future__ import annotations

from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection


class PromptConnection(ZMQChannelsWebsocketConnection):
    """Jupyter's own kernel connection with Nagle's algorithm off (tornado: `WebSocketHandler.set_nodelay`)."""

    def connect(self) -> Any:
        self.websocket_handler.set_nodelay(True)
        return super().connect()


settings = get_config()  # type: ignore[name-defined]  # noqa: F821, Jupyter provides it
settings.ServerApp.kernel_websocket_connection_class = PromptConnection
settings.LabApp.default_url = "/lab/tree/labs/00_start_here.ipynb"
