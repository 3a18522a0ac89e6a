# syntax=docker/dockerfile:1
# The head, CPU workers, MLflow, and everything of compose.yaml but the database. From the repository root:
#   docker build -f infra/docker/cpu.Dockerfile -t s2s-atlas:cpu .
# The base is named by version, because its digest is for you to check and to pin: infra/README.md says how.

FROM python:3.11-slim-bookworm AS wheel
WORKDIR /src
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY platform platform
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim-bookworm
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# The head reaches its workers with ssh and fills their containers with rsync; KubeRay's probes call wget. Debian keeps no old versions to pin.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openssh-client rsync wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 s2s
COPY constraints.txt infra/docker/servers.txt /opt/s2s/
# torch first, as in the Makefile: the rest must then fit it.
RUN pip install --no-cache-dir --constraint /opt/s2s/constraints.txt --extra-index-url "${TORCH_INDEX}" torch==2.13.0
COPY --from=wheel /wheels /opt/s2s/wheels
RUN pip install --no-cache-dir --constraint /opt/s2s/constraints.txt --requirement /opt/s2s/servers.txt \
    "s2s-atlas[platform,stack] @ file://$(echo /opt/s2s/wheels/*.whl)"
COPY --chmod=755 infra/docker/serve-mlflow /usr/local/bin/

USER 1000
WORKDIR /home/s2s
# Mount points must belong to the user before a volume or a bind mount takes their place.
RUN mkdir -p /home/s2s/.ray /home/s2s/.mlflow /home/s2s/.s2s /home/s2s/s3
ENV HOME=/home/s2s PYTHONUNBUFFERED=1
# A Ray node says here whether its scheduler is well; what is no Ray node replaces the check.
HEALTHCHECK --interval=30s --timeout=6s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:52365/api/healthz', timeout=5)"]
CMD ["s2s", "--help"]
