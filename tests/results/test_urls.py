import pytest

from equistudy.results.files import open_files
from equistudy.results.urls import build_polars_options, check_url


@pytest.mark.parametrize(
    "url",
    [
        "s3://KEYID:hush@bucket/results",
        "S3://KEYID:hush@bucket/results",
        "s3://KEYID:hu/sh@bucket/results",
        "s3://hush@bucket/results",
        "s3://:hush@bucket/results?region=eu-west-1",
        "gs://hush@bucket/results",
        "abfs://container:hush@account.dfs.core.windows.net/results",
        "s3://bucket/results?secret_key=hush",
        "s3://bucket/results?region=eu&X-Amz-Signature=hush",
        "s3://bucket/results?%63lient_secret=hush",
        "s3://bucket/results#hush",
        "abfs://container@account.dfs.core.windows.net/results?client_secret=hush",
        "abfs://container@account.dfs.core.windows.net/results?client_id=a&account_key=hush",
        "abfs://container@account.dfs.core.windows.net/results?sas_token=",
    ],
)
def test_secrets_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match=r"must not contain .*stored, got .*Use the storage's env") as caught:
        open_files(url)
    for secret in ("hush", "hu/sh", "KEYID"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/results",
        "s3://bucket/results?region=eu-west-1&scheme=http&endpoint_override=localhost:9000",
        "gs://bucket/results?retry_limit_seconds=5",
        "abfss://container@account.dfs.core.windows.net/results?enable_tls=true&tenant_id=a",
    ],
)
def test_what_is_no_secret_may_stand_in_a_url(url: str) -> None:
    check_url(url)
    assert open_files(url).url == url


def test_polars_needs_the_endpoint_and_the_region() -> None:
    url = "s3://bucket/results?region=eu-west-1&scheme=http&endpoint_override=localhost:9000"
    assert build_polars_options(url) == {
        "aws_endpoint_url": "http://localhost:9000",
        "aws_allow_http": "true",
        "aws_region": "eu-west-1",
    }
    assert build_polars_options("s3://bucket/results") is None
