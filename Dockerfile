# syntax=docker/dockerfile:1
# The server's image. Three stages: the health probe, the packages, and what runs. Nothing that builds is in what runs.
#
#   docker build -t ledgerlift:dev .
#
# The commands of the `build` stage are run by tests/repo/test_deploy_image.py, as they stand here.

# ---- The probe of HEALTHCHECK and of exec probes: the version that the tests use (scripts/install-tools).
FROM golang:1.26-bookworm AS probe
ENV CGO_ENABLED=0 GOFLAGS=-trimpath GOBIN=/out
RUN go install github.com/grpc-ecosystem/grpc-health-probe@v0.4.61

# ---- The packages, of the versions that the tests ran with, each file checked against its hash.
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /src
# What changes seldom comes first: a change of the code alone installs nothing anew.
COPY requirements/server.txt requirements/build.txt requirements/
RUN python -m venv --without-pip /opt/ledgerlift
RUN python -m pip --python /opt/ledgerlift/bin/python install --require-hashes --only-binary :all: -r requirements/server.txt
RUN python -m venv /opt/builder && /opt/builder/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY generated generated
COPY client client
COPY server server
RUN /opt/builder/bin/python -m pip wheel --no-build-isolation --no-deps --wheel-dir dist .
RUN python -m pip --python /opt/ledgerlift/bin/python install --no-index --no-deps dist/*.whl
# The file system is read-only when it runs, and nobody would keep what Python compiles then.
RUN /opt/ledgerlift/bin/python -m compileall -q /opt/ledgerlift/lib

# ---- What runs: the packages and the probe. No pip in its environment, no compiler, no source tree.
FROM python:3.11-slim-bookworm
# A number that no other image uses, so that a file of it says whose it is; `runAsNonRoot` wants a number anyway.
RUN groupadd --gid 10001 ledgerlift \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin ledgerlift \
    && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/ledgerlift
COPY --from=probe /out/grpc-health-probe /usr/local/bin/grpc_health_probe
COPY --from=build /opt/ledgerlift /opt/ledgerlift
# AUTH_MODE is not set: whoever lets others in has to say so. DATA_DIR is used by the embedded default alone.
ENV PATH=/opt/ledgerlift/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GRPC_ADDRESS=0.0.0.0:50051 \
    DATA_DIR=/var/lib/ledgerlift
USER 10001:10001
WORKDIR /
# gRPC, and metrics where METRICS_ADDRESS says so.
EXPOSE 50051 9464
STOPSIGNAL SIGTERM
# `liveness` and not `readiness`: some that run images restart what is unhealthy, and a database that is down is no
# reason to restart. What waits for a server to be ready asks for `readiness` (docker-compose.yml). By a shell, for the
# port and whether there is TLS stand in the container's environment; the name is not compared: it asks 127.0.0.1. Where
# clients need a certificate (GRPC_TLS_CLIENT_CA), so does the probe: give the container a command of its own.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD exec grpc_health_probe -addr=127.0.0.1:${GRPC_ADDRESS##*:} ${GRPC_TLS_CERT:+-tls -tls-no-verify} \
    -service=liveness -connect-timeout=3s -rpc-timeout=3s
ENTRYPOINT ["ledgerlift-server"]
CMD ["serve"]
