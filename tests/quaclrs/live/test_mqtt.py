"""Messages through a real broker, mosquitto, which the test starts, stops and starts again."""

from __future__ import annotations

import json
import queue
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quaclrs.errors import QuaclrsError
from quaclrs.live.mqtt import MqttPublisher

client = pytest.importorskip("paho.mqtt.client", reason="no MQTT test: paho-mqtt is not installed")
BROKER = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
needs_broker = pytest.mark.skipif(BROKER is None, reason="no MQTT test: mosquitto is not installed")


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def configuration(port: int, tmp_path: Path) -> Path:
    (tmp_path / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    return tmp_path / "mosquitto.conf"


def start(configuration: Path, port: int) -> subprocess.Popen:
    broker = subprocess.Popen([BROKER, "-c", configuration], stderr=subprocess.DEVNULL)
    for _ in range(500):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return broker
        time.sleep(0.02)
    raise AssertionError("mosquitto did not start")


def stop(broker: subprocess.Popen) -> None:
    broker.terminate()
    broker.wait()


@pytest.fixture
def broker(configuration, port) -> Iterator[subprocess.Popen]:
    running = start(configuration, port)
    yield running
    stop(running)


def subscribe(port: int, topic: str) -> tuple[client.Client, queue.Queue]:
    from paho.mqtt.enums import CallbackAPIVersion

    heard: queue.Queue = queue.Queue()
    subscriber = client.Client(CallbackAPIVersion.VERSION2)
    subscriber.on_connect = lambda *_: subscriber.subscribe(topic, qos=1)
    subscriber.on_message = lambda _, __, m: heard.put((m.topic, json.loads(m.payload), m.retain))
    subscriber.connect("127.0.0.1", port)
    subscriber.loop_start()
    return subscriber, heard


@needs_broker
def test_a_message_reaches_who_listens_and_who_comes_later(broker, port):
    publisher = MqttPublisher(f"mqtt://127.0.0.1:{port}/city/street%207")
    early, heard = subscribe(port, "city/#")
    publisher.publish({"label": "dog_bark", "score": 0.9})
    assert heard.get(timeout=10)[:2] == ("city/street 7", {"label": "dog_bark", "score": 0.9})
    publisher.close()
    late, retained = subscribe(port, "city/street 7")
    assert retained.get(timeout=10) == ("city/street 7", {"label": "dog_bark", "score": 0.9}, True)
    for subscriber in (early, late):
        subscriber.loop_stop()


@needs_broker
def test_a_broker_that_is_away_is_waited_for_and_gets_what_was_heard_meanwhile(configuration, port):
    told: list[str] = []
    publisher = MqttPublisher(f"mqtt://127.0.0.1:{port}/street", told.append)
    publisher.publish({"label": "drilling"})
    for _ in range(500):
        if told:
            break
        time.sleep(0.02)
    broker = start(configuration, port)
    subscriber, heard = subscribe(port, "street")
    assert heard.get(timeout=20)[1] == {"label": "drilling"}
    publisher.close()
    subscriber.loop_stop()
    stop(broker)
    assert told == [
        "the MQTT broker 127.0.0.1 cannot be reached; trying again",
        "the MQTT broker 127.0.0.1 is back",
    ]


def test_what_no_broker_ever_got_is_told_in_the_end(port):
    told: list[str] = []
    publisher = MqttPublisher(f"mqtt://127.0.0.1:{port}/street", told.append)
    publisher.publish({"label": "drilling"})
    publisher.close()
    assert told[-1] == "the MQTT broker 127.0.0.1 did not get what was heard last"


@pytest.mark.parametrize("url", ["http://host/topic", "mqtt://host", "mqtt:///topic", "mqtt://host:x/topic", "broker"])
def test_a_url_that_names_no_host_or_topic_is_refused_without_its_password(url):
    with pytest.raises(QuaclrsError, match=r"--mqtt takes mqtt://\[user:password@\]host"):
        MqttPublisher(url)


def test_a_topic_with_wildcards_is_refused():
    with pytest.raises(QuaclrsError, match="holds \\+ or #"):
        MqttPublisher("mqtt://host/city/+")
