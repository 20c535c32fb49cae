"""`belfry token`: what it prints is accepted, by an independent library too; what cannot work exits 2 and prints none."""

import subprocess
import time

import jwt
import pytest

from belfry import SECRET
from test_cli import run

KINDS = {"RS": ("-algorithm", "RSA"), "ES256": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
         "ES384": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
         "ES512": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"), "EdDSA": ("-algorithm", "ed25519")}


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Paths of a private and a public PEM by kind of key."""
    folder = tmp_path_factory.mktemp("keys")
    made = {}
    for kind, options in KINDS.items():
        private, public = folder / f"{kind}.pem", folder / f"{kind}.pub"
        subprocess.run(["openssl", "genpkey", *options, "-out", private], check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
        made[kind] = private, public
    return made


def printed(*arguments, **env):
    done = run("token", *arguments, **env)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1 and done.stdout.endswith("\n")
    return done.stdout.strip()


def refused(*arguments, **env):
    done = run("token", *arguments, **env)
    assert (done.returncode, done.stdout) == (2, "")
    assert SECRET not in done.stderr
    return done.stderr


def test_a_token_for_a_user_lasts_an_hour_and_has_no_scope():
    claims = jwt.decode(printed("--user", "jürgen", SECRET_KEY=SECRET), SECRET, ["HS256"])
    assert set(claims) == {"sub", "iat", "exp"} and claims["sub"] == "jürgen"
    assert abs(claims["iat"] - time.time()) < 60 and claims["exp"] == claims["iat"] + 3600


def test_scopes_time_issuer_and_audience_are_in_the_token():
    token = printed("--user=u", "--scope", "events:publish", "--scope=events:read connections:read", "--ttl", "15m",
                    SECRET_KEY=SECRET * 2, ALGORITHM="HS512", JWT_ISSUER="https://id.example", JWT_AUDIENCE="push")
    claims = jwt.decode(token, SECRET * 2, ["HS512"], issuer="https://id.example", audience="push")
    assert claims["scope"] == "events:publish events:read connections:read"
    assert claims["exp"] == claims["iat"] + 900


def test_a_key_file_signs_with_its_first_key_and_kid(tmp_path):
    path = tmp_path / "secrets"
    path.write_text(f"# rotated\nnew:{SECRET}\nold:{SECRET[::-1]}\n")
    token = printed("--user", "u", SECRET_KEY_FILE=str(path))
    assert jwt.get_unverified_header(token)["kid"] == "new"
    assert jwt.decode(token, SECRET, ["HS256"])["sub"] == "u"


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"])
def test_a_private_key_signs_under_the_kid_of_its_public_half(keys, tmp_path, algorithm):
    private, public = keys[algorithm if algorithm in keys else "RS"]
    ring = tmp_path / "keys"
    ring.write_text("kid: mine\n" + public.read_text())
    token = printed("--user", "u", "--key", str(private), ALGORITHM=algorithm, SECRET_KEY_FILE=str(ring))
    assert jwt.get_unverified_header(token)["kid"] == "mine"
    assert jwt.decode(token, public.read_text(), [algorithm])["sub"] == "u"


def test_algorithms_with_a_private_key_need_one_that_fits(keys, tmp_path):
    private, public = keys["RS"]
    env = {"ALGORITHM": "RS256", "SECRET_KEY_FILE": str(public)}
    assert "--key" in refused("--user", "u", **env)
    assert "No such file" in refused("--user", "u", "--key", "/nonexistent", **env)
    assert "private key in PEM" in refused("--user", "u", "--key", str(public), **env)
    assert "public half" in refused("--user", "u", "--key", str(keys["ES256"][0]), **env)
    assert "private key" in refused("--user", "u", "--key", str(private), ALGORITHM="RS256", SECRET_KEY_FILE=str(private))
    assert "HS256" in refused("--user", "u", "--key", str(private), SECRET_KEY=SECRET)
    locked = tmp_path / "locked"
    subprocess.run(["openssl", "pkey", "-in", private, "-aes128", "-passout", "pass:word", "-out", locked], check=True)
    assert "without a password" in refused("--user", "u", "--key", str(locked), **env)


@pytest.mark.parametrize("arguments, why", [
    ((), "--user is missing"), (("--user",), "--user needs a value"), (("--user", ""), "--user"),
    (("--user", "a\nb"), "--user"), (("--user", "x" * 257), "--user"), (("--user", "u", "v"), "unknown option: v"),
    (("--user", "u", "--admin"), "unknown option: --admin"), (("--user", "u", "--scope", "events:write"), "events:write"),
    (("--user", "u", "--ttl", "0"), "--ttl"), (("--user", "u", "--ttl", "soon"), "--ttl"),
    (("--user", "u", "--ttl", "99999999999h"), "long"),
])
def test_wrong_arguments_exit_2_and_say_why(arguments, why):
    assert why in refused(*arguments, SECRET_KEY=SECRET)


def test_a_wrong_configuration_exits_2_and_names_the_variable():
    assert "SECRET_KEY" in refused("--user", "u")
    assert "SECRET_KEY: HS256 needs at least 32 bytes" in refused("--user", "u", SECRET_KEY="short")
    assert "ALGORITHM" in refused("--user", "u", SECRET_KEY=SECRET, ALGORITHM="none")


def test_help_explains_the_options():
    shown = run("token", "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    for word in ("--user", "--scope", "--ttl", "--key", "events:publish"):
        assert word in shown.stdout
