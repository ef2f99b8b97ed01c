"""Messages of rollouts go only where the administrator lets them; webhooks are signed, and follow nothing."""

import base64
import hashlib
import hmac
import importlib
import threading

import pytest

from modelrollout.sources.messages import webhook
from modelrollout.sources.messages.addresses import (
    ON_A_HOST,
    ONE_FOR_ALL,
    Addresses,
    NotDelivered,
    addresses_from,
    check_webhook,
)
from modelrollout.sources.messages.chats import SERVICES, Message, send
from modelrollout.sources.transport import Line
from tests.unit.receiver import Receiver

pytestmark = pytest.mark.filterwarnings(
    "ignore:'imghdr' is deprecated:DeprecationWarning"
)  # by Apprise's mail

HELLO = Message("ml/chat: promoted", "All is well.", bad=False, good=True)
ALLOWED = ("hooks.example.com", "*.corp.example")


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


# ── what a Secret says ──────────────────────────────────────────────────────────────────────────


def test_urls_are_lines_and_comments_are_left_out():
    found = addresses_from({"urls": "# the team\nslack://a/b/c/\n\n  discord://d/e\n", "else": "x"})
    assert found.urls == ("slack://a/b/c/", "discord://d/e")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "neither the key urls nor the key webhook"),
        ({"webhook": "https://hooks.example.com"}, "no webhook-key"),
        ({"urls": "slack://a/b/c\n" * 17}, "at most 16"),
        ({"webhook": "https://hooks.example.com", "webhook-key": "whsec_no base64"}, "base64"),
    ],
)
def test_a_secret_that_cannot_be_used_is_not_tried_again(keys, said):
    with pytest.raises(NotDelivered, match=said) as error:
        addresses_from(keys)
    assert error.value.lasting


def test_no_address_and_no_key_is_ever_shown():
    found = addresses_from(
        {"urls": "slack://hunter2/b/c", "webhook": "https://x/hunter2", "webhook-key": "hunter2"}
    )
    assert "hunter2" not in repr(found)


# ── what rollouts may name ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "url",
    [
        "json://hooks.example.com/",
        "https://hooks.example.com/",
        "file:///etc/passwd",
        "syslog://localhost",
        "dbus://",
        "windows://",
        "form://hooks.example.com",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?template=/etc/passwd",
        "workflows://prod-1.westus.logic.azure.com:443/wf/sig?Template=/etc/passwd",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?%74emplate=/etc/passwd",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?cto=600&rto=600",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?retry=1000",
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js?redirect=yes",
        "mailtos://user:pass@corp.example/?wkd=yes",
        "mailto://user:pass@evil.example",
        "mailto://user:pass@mail.corp.example?smtp=169.254.169.254",
        "mailto://user:pass@mail.corp.example?smtp=evil.example",
        "gotify://hooks.example.com@evil.example/token",
        "gotify://evil.example#@hooks.example.com/token",
        "gotify://evil.example\\@hooks.example.com/token",
        "gotify://evil.example/token?host=hooks.example.com",
        "mmost://10.0.0.1/3ccdd113474722377935511fc85d3dd4",
        "workflows://evil.example:443/wf/sig",
        "slack://a/b/c\r\nX-Header: 1",
        "",
    ],
)
def test_a_rollout_cannot_make_apprise_read_run_wait_or_call_what_nobody_allowed(url):
    with pytest.raises(NotDelivered) as error:
        send(url, HELLO, ALLOWED)
    assert error.value.lasting


def test_a_rollout_reaches_a_host_that_the_administrator_named_and_the_message_is_whole(receiver):
    send(f"gotify://127.0.0.1:{receiver.port}/token", HELLO, (f"127.0.0.1:{receiver.port}",))
    ((_, _, body),) = receiver.got
    assert b"All is well." in body


def test_another_port_of_a_named_host_is_another_place(receiver):
    with pytest.raises(NotDelivered, match=r"notify\.allowed"):
        send(f"gotify://127.0.0.1:{receiver.port}/token", HELLO, ("127.0.0.1:1",))
    assert receiver.got == []


def test_the_administrators_own_address_may_be_any(receiver):
    send(f"gotify://127.0.0.1:{receiver.port}/token", HELLO, None)
    assert len(receiver.got) == 1


def test_a_service_that_sends_elsewhere_is_not_followed(receiver):
    with Receiver() as other:
        receiver.answer = (302, {"Location": other.url})
        with pytest.raises(NotDelivered):
            send(f"gotify://127.0.0.1:{receiver.port}/token", HELLO, None)
        assert other.got == []


@pytest.mark.parametrize("url", ["slack://x", "gotify://", "discord://only-one-part"])
def test_an_address_that_apprise_does_not_understand_is_not_tried_again(url):
    with pytest.raises(NotDelivered, match="not understood") as error:
        send(url, HELLO, None)
    assert error.value.lasting


def test_each_scheme_that_rollouts_may_use_is_a_service_that_apprise_has():
    assert SERVICES.keys() == ONE_FOR_ALL | ON_A_HOST
    for scheme, (module, name) in SERVICES.items():
        if scheme not in ("mailto", "mailtos"):  # its module imports one that Python has deprecated
            service = getattr(importlib.import_module(f"apprise.plugins.{module}"), name)
            known = (service.protocol, service.secure_protocol)
            assert scheme in {
                each for entry in known for each in ([entry] if isinstance(entry, str) else entry or ())
            }


# ── webhooks ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("https://hooks.example.com/a?token=1", True),
        ("http://ci.corp.example:8080", True),
        ("https://evil.example/hooks.example.com", False),
        ("https://hooks.example.com@evil.example/", False),
        ("https://hooks.example.com:8443/", True),
        ("https://hooks.example.com.evil.example/", False),
        ("https://evil.example\\@hooks.example.com/", False),
        ("ftp://hooks.example.com/", False),
        ("file:///etc/passwd", False),
        ("http://169.254.169.254/latest/meta-data", False),
    ],
)
def test_a_rollouts_webhook_leads_to_a_host_that_the_administrator_named(address, allowed):
    if allowed:
        check_webhook(address, ALLOWED)
    else:
        with pytest.raises(NotDelivered):
            check_webhook(address, ALLOWED)


def test_without_a_list_rollouts_have_no_webhooks():
    with pytest.raises(NotDelivered, match=r"notify\.allowed"):
        check_webhook("https://hooks.example.com", ())


def test_a_webhook_can_check_who_wrote_and_when(receiver):
    webhook.post(Addresses(webhook=receiver.url, key=b"hunter2"), "id-1", 1234, b'{"a":1}', Line(5))
    ((_, headers, body),) = receiver.got
    digest = hmac.new(b"hunter2", b'id-1.1234.{"a":1}', hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("id-1", "1234")
    assert headers["Content-Type"].startswith("application/cloudevents+json")
    assert body == b'{"a":1}'


def test_the_signature_is_that_of_the_standard_webhooks():
    key = addresses_from(
        {"webhook": "https://x", "webhook-key": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
    ).key
    said = webhook.signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert said == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("status", "lasting"),
    [
        (500, False),
        (503, False),
        (429, False),
        (408, False),
        (404, True),
        (401, True),
        (302, True),
    ],
)
def test_what_a_later_try_may_mend_is_tried_again(receiver, status, lasting):
    receiver.answer = (status, {"Location": "http://169.254.169.254/"})
    with pytest.raises(NotDelivered, match=str(status)) as error:
        webhook.post(Addresses(webhook=receiver.url, key=b"k"), "id", 1, b"{}", Line(5))
    assert error.value.lasting is lasting


def test_an_address_of_metadata_is_not_called_even_for_the_administrator():
    to = Addresses(webhook="http://169.254.169.254/latest", key=b"k")
    with pytest.raises(NotDelivered, match="never asked"):
        webhook.post(to, "id", 1, b"{}", Line(5))


@pytest.mark.parametrize("mood", ["dies", "babbles", "rambles"])
def test_a_webhook_that_dies_or_lies_is_an_error_and_no_accident(receiver, mood):
    receiver.mood = mood
    if mood == "rambles":  # says 200 and never ends: nothing of it is read
        webhook.post(Addresses(webhook=receiver.url, key=b"k"), "id", 1, b"{}", Line(5))
        return
    with pytest.raises(NotDelivered) as error:
        webhook.post(Addresses(webhook=receiver.url, key=b"k"), "id", 1, b"{}", Line(5))
    assert not error.value.lasting


def test_a_webhook_that_hangs_is_cut_from_outside(receiver):
    receiver.mood = "hangs"
    line, errors = Line(60), []

    def wait():
        try:
            webhook.post(Addresses(webhook=receiver.url, key=b"k"), "id", 1, b"{}", line)
        except NotDelivered as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    receiver.asked.wait(10)
    line.cut()
    thread.join(10)
    assert len(errors) == 1
