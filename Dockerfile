# The gateway as an image: built with Rust in one stage, run without it in the next. The release of Rust is the one that
# native/profile is for.
FROM rust:1.95.0-slim-bookworm AS build
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv g++ make \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /tools && /tools/bin/pip install --no-cache-dir "maturin>=1.8,<2"
WORKDIR /build
COPY . .
# The target directory is a cache of this machine and no part of the image; the wheel goes elsewhere.
RUN --mount=type=cache,target=/build/target --mount=type=cache,target=/usr/local/cargo/registry \
    scripts/profile.sh use /tools/bin/maturin build --release --locked --out /wheels

# The same Debian as above, so that the wheel finds its glibc.
FROM python:3.13-slim-bookworm
# The roots that upstreams' certificates are checked against; the directory of secrets and records is the user's own.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 penstock \
    && useradd --system --uid 10001 --gid 10001 --no-log-init --home-dir /var/lib/penstock --create-home penstock \
    && chmod 0700 /var/lib/penstock
# Compiled now, because the user that runs it cannot write there. No package is built from source: there is no compiler.
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --only-binary :all: "$(echo /wheels/*.whl)[postgres,redis]"
# A number, by which Kubernetes can tell that it is not root.
USER 10001:10001
WORKDIR /var/lib/penstock
VOLUME /var/lib/penstock
# The gateway listens on loopback unless its configuration says otherwise, in a container too: share the host's network,
# mount a directory for a Unix socket, or set PENSTOCK_LISTEN=0.0.0.0:4000, as every request needs a key.
ENV PENSTOCK_DATA_DIR=/var/lib/penstock \
    PENSTOCK_HEALTH_URL=http://127.0.0.1:4000/health/live
EXPOSE 4000 4001
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(os.environ['PENSTOCK_HEALTH_URL'], timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["penstock"]
CMD ["serve"]
