"""What the client makes of ``tls``, and whom it tells its key."""

import hookd
import pytest
from hookd.tls import choose, is_loopback


@pytest.mark.parametrize(
    ("environ", "chosen"),
    [
        ({}, None),
        ({"HOOKD_TLS": ""}, None),
        ({"HOOKD_TLS": "true"}, hookd.Tls()),
        ({"HOOKD_TLS": "0"}, False),
        ({"HOOKD_TLS_CA": "ca.pem"}, hookd.Tls(ca="ca.pem")),
        ({"HOOKD_TLS_CA": "ca.pem", "HOOKD_TLS": "off"}, False),
        (
            {"HOOKD_TLS": "on", "HOOKD_TLS_CERT": "c", "HOOKD_TLS_KEY": "k", "HOOKD_TLS_CA": ""},
            hookd.Tls(cert="c", key="k"),
        ),
    ],
)
def test_the_environment_says_it_when_the_program_does_not(environ, chosen):
    assert choose(None, environ) == chosen
    assert choose(False, environ) is False
    assert choose(True, environ) == hookd.Tls()
    assert choose(hookd.Tls(ca="x"), environ) == hookd.Tls(ca="x")


def test_a_word_that_is_none_is_refused():
    with pytest.raises(hookd.InvalidArgumentError, match="HOOKD_TLS: must be true or false"):
        choose(None, {"HOOKD_TLS": "maybe"})


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("127.0.0.1:4665", True),
        ("127.8.8.8:1", True),
        ("localhost:4665", True),
        ("[::1]:4665", True),
        ("ipv4:127.0.0.1:1", True),
        ("ipv6:[::1]:1", True),
        ("dns:///localhost:4665", True),
        ("dns:localhost:4665", True),
        ("unix:/run/hookd.sock", True),
        ("10.0.0.1:4665", False),
        ("0.0.0.0:4665", False),
        ("[2001:db8::1]:4665", False),
        ("hookd.internal:4665", False),
        ("localhost.example.com:4665", False),
        ("127.0.0.1.example.com:4665", False),
        ("dns:///127.0.0.1.example.com:1", False),
        ("xds:///127.0.0.1", False),
        ("ipv4:127.0.0.1:1,10.0.0.1:1", False),
        ("dns://resolver/localhost:1", False),
        ("", False),
    ],
)
def test_what_is_on_this_machine(address, here):
    assert is_loopback(address) is here


def test_a_key_is_not_told_to_another_machine_in_plaintext(monkeypatch):
    with pytest.raises(hookd.InvalidArgumentError, match=r"plaintext: connect with TLS") as caught:
        hookd.connect("hookd.internal:4665", api_key="hkd_1_s3cret")
    assert "s3cret" not in str(caught.value)
    hookd.connect("hookd.internal:4665", api_key="k", tls=True)
    hookd.connect("hookd.internal:4665", api_key="k", tls=False)
    hookd.connect("hookd.internal:4665")
    hookd.connect("127.0.0.1:4665", api_key="k")
    monkeypatch.setenv("HOOKD_API_KEY", "k")
    with pytest.raises(hookd.InvalidArgumentError, match="plaintext"):
        hookd.connect("10.1.2.3:4665")
    monkeypatch.setenv("HOOKD_TLS", "true")
    hookd.connect("10.1.2.3:4665")


def test_files_that_cannot_be_used_are_named(tmp_path):
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    for tls, what in (
        (hookd.Tls(ca=tmp_path / "none.pem"), r"tls\.ca: .*none\.pem cannot be read: No such"),
        (hookd.Tls(ca=junk), r"tls\.ca: there is no certificate in PEM in .*junk\.pem"),
        (hookd.Tls(cert=junk), r"tls: cert and key go together"),
        (hookd.Tls(cert=junk, key=junk), r"tls\.cert: .*junk\.pem are not a certificate"),
    ):
        with pytest.raises(hookd.InvalidArgumentError, match=what):
            hookd.connect(tls=tls)
