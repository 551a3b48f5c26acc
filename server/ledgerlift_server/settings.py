"""Everything that an operator can set, by the environment variable of the same name in upper case.

This class and `__main__.py` are the only readers of the environment. Sizes take a unit (`8MiB`), times
are seconds, lists are separated by commas, and a variable that is set to nothing counts as not set. A
secret may stand in a file that the variable with `_FILE` behind its name points to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, ByteSize, Field, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ledgerlift_server.adapters.sql.engine import normalise
from ledgerlift_server.domain.upload_options import GIB, KIB, MIB, UploadOptions
from ledgerlift_server.settings_problems import InvalidSettings, Problem, problems_of
from ledgerlift_server.settings_rules import SecretFiles, broken_rules
from ledgerlift_server.settings_types import (
    LONGEST_TIMEOUT,
    MOST_CONNECTIONS,
    Address,
    Age,
    Bucket,
    Connections,
    Count,
    DatabaseUrl,
    KeyPrefix,
    Lower,
    MediaTypes,
    Percent,
    ReadinessChecks,
    Seconds,
    Secret,
    Size,
    Upper,
    Url,
    host_and_port,
)
from ledgerlift_server.tls import TlsFiles

MESSAGE_HEADROOM = 64 * KIB
"""Bytes of a message that are not data: what GetLimits tells clients to leave free."""


class Settings(BaseSettings):
    """The settings of one server. `load` reads the environment; everything else is handed this object."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    # Where it runs and listens.
    environment: Literal["development", "test", "staging", "production"] = "development"
    """`production` refuses what is for one machine or for trying out only, unless an `allow_...` allows it."""
    allow_embedded_in_production: bool = False
    """Take SQLite or the file store in production as well: durable, but of one machine."""
    allow_plaintext_in_production: bool = False
    """Listen without TLS in production as well, on an address that is not loopback; for a mesh that encrypts."""
    allow_default_credentials_in_production: bool = False
    """Take passwords and keys in production as well that stand in examples, and that everybody tries first."""
    grpc_address: Address = "127.0.0.1:50051"
    """`host:port`; port 0 takes a free one, which the log names."""
    auth_mode: Annotated[Literal["none"], Lower] | None = None
    """`none`: everyone is `anonymous` and may do everything. Must be said where the address is not loopback."""
    grpc_tls_cert: Path | None = None
    """PEM file of the server's certificate and its chain; not set: plaintext. Read again when it changes."""
    grpc_tls_key: Path | None = None
    """PEM file of its key, without a password."""
    grpc_tls_client_ca: Path | None = None
    """PEM file; only clients with a certificate that one of these signed get a connection."""

    grpc_max_connection_age: Seconds = 300.0
    """After which a client is asked to connect anew, and hears of new replicas; running calls end where they are."""

    # Where documents and their records go.
    data_dir: Path = Path("data")
    """Holds the embedded database and the file store, where no other is set."""
    database_url: DatabaseUrl | None = None
    """`postgresql://user:password@host/name`; not set: SQLite in `data_dir`."""
    db_pool_size: Connections = 20
    """Connections that are kept."""
    db_max_overflow: Annotated[int, Field(ge=0, le=MOST_CONNECTIONS)] = 30
    """Connections beyond these, closed after use."""
    db_pool_timeout: Seconds = 30.0
    """Longest wait for a connection."""
    db_pool_recycle: Age = 3600.0
    """Age at which a connection is replaced."""
    db_connect_timeout: Seconds = 5.0
    """For making a connection."""
    db_statement_timeout: Seconds = 10.0
    """For one transaction, where the caller's deadline leaves more."""
    db_lock_timeout: Seconds = 5.0
    """For one row's lock."""
    db_slow_query: Seconds = 1.0
    """A transaction that takes longer is logged by its name."""
    db_failure_threshold: Count = 5
    """Failures in a row after which the database is not asked for a while."""
    db_recovery_timeout: Seconds = 60.0
    """How long that is, the first time; it grows to five times as much while the database stays down."""
    s3_bucket: Bucket | None = None
    """Bucket of the documents; not set: files in `data_dir`."""
    s3_prefix: KeyPrefix = ""
    """What every key begins with, ending in a slash. What is below it is ours alone: the janitor cleans it."""
    s3_endpoint: Url | None = None
    """URL of an S3 server other than AWS."""
    s3_create_bucket: bool = False
    """Make the bucket at start when there is none; for development."""
    s3_sse: Literal["AES256", "aws:kms"] | None = None
    """Server-side encryption of every object."""
    s3_kms_key_id: str | None = None
    """Key for `s3_sse=aws:kms`; not set: the account's default key."""
    s3_max_connections: Connections = 100
    """Calls to the store at once, each on a thread and a connection of its own."""
    s3_connect_timeout: Seconds = 3.0
    """Longest wait for a connection to the store."""
    s3_read_timeout: Seconds = 15.0
    """Longest wait for the store's next bytes."""
    s3_complete_timeout: Seconds = 120.0
    """The same while a multipart upload is completed: some stores copy the parts before they answer."""
    s3_sign_payload: bool = False
    """Sign every byte as well as its checksum; for stores on an untrusted network without https."""
    s3_client_ttl: Seconds = 300.0
    """Age at which the client, and with it resolved addresses and credentials, is made anew."""
    s3_failure_threshold: Count = 5
    """Failures in a row after which the store, files in `data_dir` included, is not asked for a while."""
    s3_recovery_timeout: Seconds = 60.0
    """How long that is, the first time; it grows to five times as much while the store stays down."""
    aws_region: Annotated[str, Field(validation_alias=AliasChoices("aws_region", "aws_default_region"))] = "us-east-1"
    """Region of the bucket; `AWS_DEFAULT_REGION` is read as well."""
    aws_access_key_id: Secret | None = None
    """Not set: boto3 looks for credentials where it always does (profile, container, instance)."""
    aws_secret_access_key: Secret | None = None
    """Belongs to `aws_access_key_id`."""
    aws_session_token: Secret | None = None
    """For temporary credentials."""

    # What is taken.
    max_file_size: Size = ByteSize(50 * GIB)
    """Largest document."""
    allowed_content_types: MediaTypes = ("*/*",)
    """Media types that are taken; `type/*` stands for all of a type, `*/*` for all."""
    max_message_size: Annotated[ByteSize, Field(ge=128 * KIB, le=1 * GIB)] = ByteSize(4 * MIB)
    """Largest gRPC message, in and out."""

    # Uploads.
    upload_part_size: Size = ByteSize(5 * MIB)
    """Stored part of a document of ordinary size."""
    upload_segment_size: Size = ByteSize(64 * MIB)
    """What clients are told to send in one call."""
    upload_parts_in_flight: Count = 4
    """Parts of one upload on their way to the store at once."""
    upload_memory_budget: Size = ByteSize(512 * MIB)
    """Memory of all uploads together: part buffers, and what each stream that sends holds beside them."""
    upload_budget_wait: Seconds = 10.0
    """Longest wait for a share of it before a stream is told to try later."""
    upload_window: Annotated[ByteSize, Field(ge=64 * KIB, le=64 * MIB)] = ByteSize(256 * KIB)
    """What a client may send ahead of the server on one stream; held in memory, a part of the budget."""
    upload_stall_timeout: Seconds = 30.0
    """Time without a message after which a stream is ended with what is durable."""
    upload_session_lifetime: Age = 24 * 3600.0
    """How long a session lives after its last stored part."""
    request_id_lifetime: Age = 7 * 24 * 3600.0
    """How long a request id is remembered after its session ended."""

    # Calls at once, by kind. One more is told when to come back; health and operations are never refused.
    max_concurrent_uploads: Count = 2000
    """Upload calls."""
    max_concurrent_downloads: Count = 500
    """DownloadDocument calls."""
    max_concurrent_watches: Count = 2000
    """WatchUpload and WatchEvents calls."""
    max_concurrent_queries: Count = 1000
    """Unary calls."""

    # Deadlines of calls that bring none. They can only lower what the method's policy in `protos` says.
    default_request_timeout: Seconds = 30.0
    """For unary calls."""
    upload_timeout: Seconds = 120.0
    """For one Upload call."""

    # What operators see.
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], Upper] = "INFO"
    """Least severe entry that is written."""
    log_format: Annotated[Literal["json", "console"], Lower] = "json"
    """One JSON object a line, or lines for people."""
    enable_request_logging: bool = True
    """One entry for each call when it ends."""
    metrics_address: Address | None = None
    """`host:port` that serves Prometheus metrics, see docs/metrics.md; not set: none; port 0 takes a free one."""
    enable_performance_monitoring: bool = True
    """Metrics also tell how long calls took, by method, and how late the event loop is."""
    tracing_enabled: bool = False
    """Tell of each call how long its steps took, by OpenTelemetry (`ledgerlift[tracing]`), see docs/tracing.md."""
    otel_traces_exporter: Annotated[Literal["otlp", "console", "none"], Lower] = "otlp"
    """Where traces go: to a collector, to stderr, or nowhere: then they are only named in the log."""
    otel_exporter_otlp_protocol: Annotated[
        Literal["grpc", "http/protobuf"],
        Lower,
        Field(validation_alias=AliasChoices("otel_exporter_otlp_traces_protocol", "otel_exporter_otlp_protocol")),
    ] = "grpc"
    """How a collector is talked to. OTEL_EXPORTER_OTLP_ENDPOINT and all others are read by OpenTelemetry itself."""
    enable_reflection: bool = True
    """Lets grpcurl and the like see the API."""
    enable_channelz: bool = False
    """Lets grpc's own tools see connections and their addresses."""

    # Health.
    health_cache_ttl: Seconds = 30.0
    """Between two looks at what is well; what a breaker finds out is looked at once."""
    health_check_timeout: Seconds = 3.0
    """For one look at the database or the store."""
    readiness_checks: ReadinessChecks = ("database", "storage")
    """What `readiness` depends on, beside the server itself: `database`, `storage`, `system`, or `none`."""
    high_cpu_percent: Percent = 90.0
    """Share of the machine's processors in use above which `system` is not well; 100: never."""
    high_memory_percent: Percent = 90.0
    """The same of its memory."""
    high_disk_percent: Percent = 90.0
    """The same of the disk of `data_dir`."""

    # Housekeeping.
    janitor_interval: Age = 30.0
    """Between two passes over expired sessions and unfinished commits."""
    janitor_drift_interval: Age = 6 * 3600.0
    """Between two comparisons of the store with the database."""
    janitor_orphan_age: Age = 3600.0
    """What nobody knows of is removed from the store when it is older than this."""
    startup_timeout: Seconds = 60.0
    """Time that the database, and the store after it, get to be reachable when the server starts."""
    shutdown_delay: Annotated[float, Field(ge=0, le=LONGEST_TIMEOUT, allow_inf_nan=False)] = 1.0
    """Between NOT_SERVING and the closing of the port, so that load balancers stop sending."""
    shutdown_grace: Seconds = 30.0
    """Time that running calls get after that."""

    @model_validator(mode="wrap")
    @classmethod
    def _every_problem_at_once(cls, given: Any, validated: ModelWrapValidatorHandler[Settings]) -> Settings:
        """Rules between settings are checked as well when single ones are wrong, as far as they can be."""
        found: list[Problem] = []
        try:
            settings = validated(given)
        except ValidationError as invalid:
            found = problems_of(invalid)
            wrong = {problem.name.lower() for problem in found}
            settings = validated({name: value for name, value in given.items() if name.lower() not in wrong})
        found += broken_rules(settings, but={problem.name for problem in found})
        if found:
            raise InvalidSettings(found)
        return settings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Files that the environment names, then the environment. No `.env`: that is for whoever starts us."""
        return init_settings, SecretFiles(settings_cls), env_settings

    @property
    def host(self) -> str:
        """Where to listen, without brackets and port."""
        return host_and_port(self.grpc_address)[0]

    @property
    def port(self) -> int:
        """Where to listen; 0 for any free port."""
        return host_and_port(self.grpc_address)[1]

    @property
    def tls_files(self) -> TlsFiles | None:
        """None for plaintext."""
        if self.grpc_tls_cert is None or self.grpc_tls_key is None:
            return None
        return TlsFiles(self.grpc_tls_cert, self.grpc_tls_key, self.grpc_tls_client_ca)

    @property
    def embedded_database(self) -> bool:
        """True for SQLite: a file on this machine."""
        return normalise(self.sqlalchemy_url).get_backend_name() == "sqlite"

    @property
    def sqlalchemy_url(self) -> str:
        """The database to connect to. Holds the password: not for logs."""
        if self.database_url is None:
            return f"sqlite:///{self.data_dir.absolute() / 'ledgerlift.db'}"
        return self.database_url.get_secret_value()

    @property
    def upload_options(self) -> UploadOptions:
        """The domain's share. Raises ValueError where the sizes do not go together."""
        return UploadOptions(
            part_size=self.upload_part_size,
            segment_size=self.upload_segment_size,
            parts_in_flight=self.upload_parts_in_flight,
            memory_budget=self.upload_memory_budget,
            budget_wait=self.upload_budget_wait,
            max_document_size=self.max_file_size,
            session_lifetime=self.upload_session_lifetime,
            request_id_lifetime=self.request_id_lifetime,
            stall_timeout=self.upload_stall_timeout,
        )


def load() -> Settings:
    """The settings of this process's environment. Raises InvalidSettings with every problem at once."""
    return Settings()


__all__ = ["MESSAGE_HEADROOM", "InvalidSettings", "Settings", "host_and_port", "load"]
