"""Messages of MQTT about what is heard, for home and city platforms (paho-mqtt, extra `[live]`)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from ..errors import QuaclrsError
from ..extras import named_extra

#: Messages that wait while the broker is away; older ones stay, newer ones are dropped.
_MOST_WAITING = 1000

#: Seconds until the last messages are sent when listening ends.
_LAST_WORDS = 5.0


class MqttPublisher:
    """Publishes JSON to one topic, retained: who subscribes later gets the latest.

    Args:
        url: `mqtt://[user:password@]host[:port]/topic`, or `mqtts://` for TLS.
        tell: is told in one line when the broker is out of reach, or back.

    Raises:
        QuaclrsError: the URL names no host or topic, or paho-mqtt is not installed.
    """

    def __init__(self, url: str, tell: Callable[[str], object] = print) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        self.topic = unquote(parts.path.lstrip("/"))
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or not self.topic or port == -1:
            raise QuaclrsError("--mqtt takes mqtt://[user:password@]host[:port]/topic, or mqtts://…; check the URL")
        if "+" in self.topic or "#" in self.topic:
            raise QuaclrsError(f"--mqtt: the topic {self.topic} holds + or #; publish to one without them")
        with named_extra():
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        self._name, self._tell, self._is_away = parts.hostname, tell, False
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.max_queued_messages_set(_MOST_WAITING)
        self._client.reconnect_delay_set(1, 30)
        if parts.username:
            self._client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme == "mqtts":
            self._client.tls_set()
        self._client.on_connect = self._connected
        self._client.on_connect_fail = lambda *_: self._away("cannot be reached")
        self._received: int | None = None  # number of the latest message that the broker has
        self._client.on_publish = self._published
        self._client.on_disconnect = lambda *_: self._away("is gone")
        self._is_closing = False
        self._client.connect_async(parts.hostname, port or (8883 if parts.scheme == "mqtts" else 1883))
        self._client.loop_start()

    def _connected(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._away(f"refuses ({reason})")
        elif self._is_away:
            self._is_away = False
            self._tell(f"the MQTT broker {self._name} is back")

    def _published(self, client: Any, data: Any, number: int, reason: Any, properties: Any) -> None:
        self._received = number

    def _away(self, how: str) -> None:
        if not self._is_away and not self._is_closing:
            self._is_away = True
            self._tell(f"the MQTT broker {self._name} {how}; trying again")

    def publish(self, message: Mapping[str, Any]) -> None:
        """Send a message, or keep it until the broker can be reached."""
        self._last = self._client.publish(self.topic, json.dumps(message, ensure_ascii=False), qos=1, retain=True)

    def close(self) -> None:
        """Wait a moment for what was not sent, and leave; say so where it never was."""
        last = getattr(self, "_last", None)
        if last is not None:
            # `wait_for_publish` refuses what was published while the broker was away.
            end = time.monotonic() + _LAST_WORDS
            while last.mid != self._received and not self._is_away and time.monotonic() < end:
                time.sleep(0.01)
            if last.mid != self._received:
                self._tell(f"the MQTT broker {self._name} did not get what was heard last")
        self._is_closing = True
        self._client.disconnect()
        self._client.loop_stop()
