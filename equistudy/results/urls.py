"""Which URLs name results: checked before one is shown, stored or sent to a worker."""

from urllib.parse import parse_qs, parse_qsl, urlsplit

__all__ = ["build_polars_options", "check_url"]

# What pyarrow reads in a URL's query and what is no secret. Its other keys, such as client_secret and account_key, are
# refused together with whatever is misspelt or signs a request.
PUBLIC_KEYS = {
    "allow_bucket_creation",
    "allow_bucket_deletion",
    "allow_delayed_open",
    "blob_storage_authority",
    "blob_storage_scheme",
    "client_id",
    "dfs_storage_authority",
    "dfs_storage_scheme",
    "enable_tls",
    "endpoint_override",
    "force_virtual_addressing",
    "project_id",
    "region",
    "retry_limit_seconds",
    "scheme",
    "tenant_id",
    "tls_ca_file_path",
}
CONTAINER_SCHEMES = {"abfs", "abfss"}  # here a container stands before the @, not a user


def check_url(url: str) -> None:
    """Raises ValueError, which repeats nothing of the URL's secrets, for one that carries any."""
    parts = urlsplit(url)
    scheme, _, rest = url.partition("://")
    before = rest.partition("?")[0].rpartition("@")[0]  # also of a secret with a slash in it
    if before and (":" in before or scheme.lower() not in CONTAINER_SCHEMES):
        raise ValueError(
            f"The results URL must not contain a user or password, because it is displayed and stored, got a "
            f"{scheme}:// URL with something in front of an @. Use the storage's environment variables, such as "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    strange = sorted({key for key, _ in parse_qsl(parts.query, keep_blank_values=True)} - PUBLIC_KEYS)
    if strange or parts.fragment:
        raise ValueError(
            "The query of a results URL must not contain secrets, because it is displayed and stored, got "
            f"{', '.join(strange) or 'a fragment after #'}. Allowed: {', '.join(sorted(PUBLIC_KEYS))}. Use the "
            "storage's environment variables for credentials, such as AZURE_STORAGE_KEY."
        )


def build_polars_options(url: str) -> dict[str, str] | None:
    """The query of an S3 URL (endpoint, scheme, region) under the names of Polars; credentials come from elsewhere."""
    query = {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}
    options = {}
    if "endpoint_override" in query:
        scheme = query.get("scheme", "https")
        options["aws_endpoint_url"] = f"{scheme}://{query['endpoint_override']}"
        options["aws_allow_http"] = str(scheme == "http").lower()
    if "region" in query:
        options["aws_region"] = query["region"]
    return options or None
