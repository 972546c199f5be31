"""Send kernel messages at once: without TCP_NODELAY small ones wait up to 40 ms for the browser's acknowledgement.

Read by Binder (binder/postBuild installs it) and by `jupyter lab --config=binder/jupyter_server_config.py`.
"""

from __future__ import annotations

from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection


class PromptConnection(ZMQChannelsWebsocketConnection):
    """Jupyter's own kernel connection with Nagle's algorithm off (tornado: `WebSocketHandler.set_nodelay`)."""

    def connect(self) -> Any:
        self.websocket_handler.set_nodelay(True)
        return super().connect()


get_config().ServerApp.kernel_websocket_connection_class = PromptConnection  # type: ignore[name-defined]  # noqa: F821
