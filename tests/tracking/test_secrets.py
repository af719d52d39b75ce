"""Secrets are known by their names and places, and refused before anything is written."""

from __future__ import annotations

import pytest

from eefcore.errors import ParamsError
from eefcore.runs.planning import plan_run
from eefcore.tracking.secrets import refuse_secrets


@pytest.fixture(autouse=True)
def no_other_secrets(monkeypatch):
    import os

    for name in [
        name for name in os.environ if name.upper().endswith(("KEY", "TOKEN", "SECRET", "PASSWORD"))
    ]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "variable",
    ["OPENAI_API_KEY", "openai_api_key", "openaiApiKey", "DB_PASS", "db_password", "MY_PWD", "GH_TOKEN", "AWS_SECRET_ACCESS_KEY",
     "SECRET_KEY_BASE", "AZURE_CREDENTIALS", "HF_TOKEN_2", "Some_Passphrase"],
)  # fmt: skip
@pytest.mark.parametrize("secret", ["sk-0123456789", "hunter2", "a1b2", "p@ss"])
def test_a_secret_of_the_environment_is_refused_wherever_it_stands(monkeypatch, variable, secret):
    monkeypatch.setenv(variable, secret)
    for values in (
        {"phrase": f"say {secret}, please"},
        {"deep": ["a", {"b": secret}]},
        {"names": {secret: 1}},
    ):
        with pytest.raises(ParamsError, match="holds a secret of the environment") as refused:
            refuse_secrets(values)
        assert secret not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("PWD", "/home/me/results", "/home/me/results"),
        ("OLDPWD", "results1", "results1"),
        ("TOKENIZERS_PARALLELISM", "false123", "false123"),
        ("OMP_WAIT_POLICY", "PASSIVE1", "PASSIVE1"),
        ("DB_PASS", "test", "test"),  # a plain word
        ("DB_PASS", "1234", "1234/20/40"),
        ("DB_PASS", "", "anything"),
        ("DB_PASS", "a1b2", "xa1b2x"),  # inside a word
    ],
)
def test_plain_words_and_other_variables_are_no_secrets(monkeypatch, variable, value, text):
    monkeypatch.setenv(variable, value)
    refuse_secrets({"value": text})


@pytest.mark.parametrize(
    "address",
    [
        "https://me:pw@host/v1",
        "openai:http://me:pw@host/v1#m",
        "https://ghp_abc@github.com/x",
        "postgres://u:p@db/x",
        "ftp://u:p@h",
    ],
)
def test_credentials_in_an_address_are_refused(address):
    with pytest.raises(
        ParamsError, match=r"holds the credentials of an address; .* write \$\{NAME\}"
    ) as refused:
        refuse_secrets({"data": address})
    assert address not in str(refused.value)


@pytest.mark.parametrize(
    "address", ["https://host/v1#m@rev", "https://host:8000/v1", "ssh://git@host/x", "openai:http://u:${DB_PASS}@host/v1#m",
     "https://${GH_TOKEN}@host/x", "me@host.org"],
)  # fmt: skip
def test_other_addresses_are_taken(address):
    refuse_secrets({"data": address})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("data: shop", "data: hunter2"),
        ("SFT POS", "hunter2"),
        ("run: demo", "run: hunter2"),
        ("data: shop", "data: 'http://u:p@h/x'"),
    ],
)
def test_a_params_file_that_holds_a_secret_is_not_planned(demo, monkeypatch, old, new):
    monkeypatch.setenv("DB_PASS", "hunter2")
    demo.write_text(demo.read_text().replace("train: {", "expert: {data: shop}\n  train: {"))
    assert plan_run(demo)
    demo.write_text(demo.read_text().replace(old, new))
    with pytest.raises(ParamsError, match=r"secret|credentials"):
        plan_run(demo)
