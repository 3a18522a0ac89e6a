# syntax=docker/dockerfile:1
# GPU workers: CUDA comes with torch's own wheels, the driver from the machine, through the NVIDIA container toolkit. From the repository root:
#   docker build -f infra/docker/gpu.Dockerfile -t s2s-atlas:gpu .
# The base is named by version, because its digest is for you to check and to pin: infra/README.md says how.

FROM python:3.11-slim-bookworm AS wheel
WORKDIR /src
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY platform platform
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim-bookworm
# The head fills this container with rsync; KubeRay's probes call wget. Debian keeps no old versions to pin.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends rsync wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 s2s
COPY constraints.txt infra/docker/deepspeed.txt /opt/s2s/
# torch first, then the rest, then DeepSpeed: built apart from both it would fetch a second torch, and it compiles nothing before it is used.
RUN pip install --no-cache-dir --constraint /opt/s2s/constraints.txt torch==2.13.0
COPY --from=wheel /wheels /opt/s2s/wheels
RUN pip install --no-cache-dir --constraint /opt/s2s/constraints.txt "s2s-atlas[platform] @ file://$(echo /opt/s2s/wheels/*.whl)" \
    && pip install --no-cache-dir --constraint /opt/s2s/deepspeed.txt setuptools wheel \
    && DS_BUILD_OPS=0 pip install --no-cache-dir --no-build-isolation --constraint /opt/s2s/constraints.txt \
        --requirement /opt/s2s/deepspeed.txt

USER 1000
WORKDIR /home/s2s
# Mount points must belong to the user before a bind mount takes their place.
RUN mkdir -p /home/s2s/.ray /home/s2s/.mlflow /home/s2s/.s2s
ENV HOME=/home/s2s PYTHONUNBUFFERED=1 NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
# A Ray node says here whether its scheduler is well; what is no Ray node replaces the check.
HEALTHCHECK --interval=30s --timeout=6s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:52365/api/healthz', timeout=5)"]
CMD ["s2s", "--help"]
