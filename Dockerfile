# The worker, and the simulated gateway. Holds no secret: everything that differs from place to place is environment.
#
# Libraries come as wheels with the hashes of the lock files; nothing is compiled, and no tool for that is there. To have the
# base image by its hash, too: docs/production.md#images.

ARG PYTHON_IMAGE=python:3.13.16-slim-trixie

FROM ${PYTHON_IMAGE} AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin drumbeat
WORKDIR /app
COPY requirements/run.lock requirements/
RUN pip install --require-hashes --no-deps --only-binary :all: --requirement requirements/run.lock


FROM base AS simulator
COPY requirements/simulator.lock requirements/
RUN pip install --require-hashes --no-deps --only-binary :all: --requirement requirements/simulator.lock
COPY simulator/ simulator/
RUN install --directory --owner drumbeat --group drumbeat /data
USER drumbeat
VOLUME /data
EXPOSE 8055
ENTRYPOINT ["python", "-m", "simulator"]
CMD ["--host", "0.0.0.0", "--data", "/data"]


FROM base AS worker
COPY worker.py starter.py ./
COPY messaging/ messaging/
COPY temporal/ temporal/
COPY activities/ activities/
COPY workflows/ workflows/
COPY operations/ operations/
COPY runtime/ runtime/
COPY webhooks/ webhooks/
COPY monitoring/ monitoring/
COPY cli/ cli/
# The version of this code, for Worker Versioning: docs/upgrading.md. Empty: none.
ARG DRUMBEAT_BUILD_ID=""
ENV DRUMBEAT_BUILD_ID=$DRUMBEAT_BUILD_ID
USER drumbeat
CMD ["python", "worker.py"]
