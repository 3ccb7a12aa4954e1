# The gateway as an image: built with Rust in one stage, run without it in the next.
FROM rust:1-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv g++ make \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /tools && /tools/bin/pip install --no-cache-dir "maturin>=1.8,<2"
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/build/target --mount=type=cache,target=/usr/local/cargo/registry \
    /tools/bin/maturin build --release --locked --out /wheels

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/penstock --create-home penstock
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-compile /wheels/*.whl
USER penstock
WORKDIR /var/lib/penstock
VOLUME /var/lib/penstock
# The gateway listens on loopback unless its configuration says otherwise, in a container too: share the host's network,
# mount a directory for a Unix socket, or name the addresses in PENSTOCK_LISTEN once requests need keys.
ENV PENSTOCK_DATA_DIR=/var/lib/penstock \
    PENSTOCK_HEALTH_URL=http://127.0.0.1:4000/health/live
EXPOSE 4000 4001
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(os.environ['PENSTOCK_HEALTH_URL'], timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["penstock"]
CMD ["serve"]
