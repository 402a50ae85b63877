# One image for API, bridge, worker and the local stand-in for AWS: `docker build -t gpu-transcode-farm .`
# Which of them a container is, its command says: api, bridge, worker, or any other of `transcode --help`.
# bookworm: its ffmpeg 5.1 has all that the presets need and is content with NVIDIA driver 470.

FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python -m venv /opt/transcode
# The lock first: this layer stays as long as the lock does.
COPY requirements.lock requirements-clip.lock ./
RUN /opt/transcode/bin/pip install --require-hashes -r requirements.lock \
    && /opt/transcode/bin/pip install --no-deps --require-hashes -r requirements-clip.lock
COPY pyproject.toml README.md celeryconfig.py ./
COPY transcode transcode
COPY workers workers
COPY webapp webapp
COPY cli cli
RUN /opt/transcode/bin/pip install --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
# bubblewrap gives ffmpeg the better walls where the container's host allows namespaces; else Landlock does.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ffmpeg bubblewrap \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 transcode \
    && useradd --system --uid 10001 --gid transcode --home-dir /srv/transcode --create-home transcode \
    && install -d -o transcode -g transcode -m 0700 /scratch
COPY --from=build /opt/transcode /opt/transcode
COPY deploy/docker/stand_in.py /srv/transcode/stand_in.py
ENV PATH=/opt/transcode/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    TEMP_DIR=/scratch \
    NVIDIA_DRIVER_CAPABILITIES=compute,video,utility
# By number, so that Kubernetes can tell that it is not root.
USER 10001:10001
WORKDIR /srv/transcode
EXPOSE 9999
# Of the API. docker-compose.yml says how bridge and worker are asked.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('API_PORT', '9999')}/api/health\", timeout=4)"]
ENTRYPOINT ["transcode"]
CMD ["api"]
