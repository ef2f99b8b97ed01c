"""The operator asks the addresses that its administrator allows, and tells no password."""

import pytest

from modelrollout.sources.access import Access, Credentials, is_forbidden, shown


@pytest.mark.parametrize(
    "address",
    [
        "http://10.0.0.1/latest/meta-data?x=",
        "http://prometheus:9090/admin#",
        "http://bob:hunter2@prometheus:9090",
        "http://prometheus\\@evil",
        "http://prometheus:9090/a b",
        "ftp://prometheus",
        "http://",
        "http://prometheus\n",
    ],
)
def test_an_address_that_hides_something_is_refused(address):
    refusal = Access().refusal(address)
    assert refusal is not None
    assert "hunter2" not in refusal


@pytest.mark.parametrize(
    "address",
    [
        "http://prometheus.monitoring:9090",
        "https://thanos.example.com/select/0/prometheus",
        "http://[::1]:9090/",
    ],
)
def test_a_plain_address_is_asked(address):
    assert Access().refusal(address) is None


def test_where_addresses_are_listed_no_other_is_asked():
    access = Access(allowed=("prometheus.monitoring:9090", "*.metrics.svc", "thanos"))
    assert access.refusal("http://prometheus.monitoring:9090") is None
    assert access.refusal("http://a.b.metrics.svc:1234/x") is None
    assert access.refusal("https://thanos:10902") is None
    for other in (
        "http://prometheus.monitoring",
        "http://metrics.svc",
        "http://evil/thanos",
        "http://xthanos",
    ):
        assert "may ask prometheus.monitoring:9090, *.metrics.svc, thanos" in access.refusal(other)


@pytest.mark.parametrize(
    "ip",
    [
        "169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254", "0.0.0.0",
        "::", "100.100.100.200", "fd00:ec2::254", "224.0.0.1", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
        "168.63.129.16",
    ],
)  # fmt: skip
def test_metadata_services_are_never_asked(ip):
    assert is_forbidden(ip)


@pytest.mark.parametrize("ip", ["10.0.0.1", "127.0.0.1", "8.8.8.8", "fd00::1", "::1", "64:ff9b::a00:1"])
def test_other_addresses_are(ip):
    assert not is_forbidden(ip)


def test_what_is_shown_of_an_address_holds_no_secret():
    assert shown("https://bob:hunter2@prom:9090/x?token=hunter2#hunter2") == "https://prom:9090/x"
    assert shown("http://a:hunter2@b@c") == "http://c"
    assert shown("bob:hunter2@prom") == "prom"
    assert "\x1b" not in shown("http://prom\x1b[31m")


def test_credentials_are_not_shown():
    whole = Credentials("tok3n", "bob", "hunter2", "ten4nt", "c4")
    for secret in ("tok3n", "bob", "hunter2", "ten4nt", "c4"):
        assert secret not in repr(whole)
    assert whole.headers() == {"Authorization": "Bearer tok3n", "X-Scope-OrgID": "ten4nt"}
    assert whole.basic is None
    assert Credentials(username="bob", password="hunter2").basic == ("bob", "hunter2")
