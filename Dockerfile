# The operator and its command line. Any base with Python 3.11 or later will do. For a build without a network,
# or on a base without pip, fill wheelhouse/ first, with the same version of Python:
#   pip download --only-binary=:all: --dest wheelhouse --require-hashes --requirement requirements/run.txt
#   pip download --only-binary=:all: --dest wheelhouse --no-deps pip
#
# The base is named by tag, so that a build gets its latest fixes; a release's provenance records the digest that the
# tag had. To pin it: --build-arg BASE=python:3.11-slim@sha256:...
ARG BASE=python:3.11-slim

FROM ${BASE} AS packages
COPY requirements/run.txt /build/
COPY wheelhouse /build/wheelhouse
# pip runs from its own wheel where there is one.
RUN set -eu; cd /build; set -- wheelhouse/pip-*.whl; \
    if [ -e "$1" ]; then set -- "$1/pip" install --no-index --find-links wheelhouse; \
    else set -- -m pip install; fi; \
    python3 "$@" --no-cache-dir --disable-pip-version-check --root-user-action=ignore --quiet \
        --require-hashes --requirement run.txt --target /opt/modelrollout; \
    rm -rf /opt/modelrollout/bin
COPY operator/modelrollout /opt/modelrollout/modelrollout
RUN python3 -m compileall -q /opt/modelrollout/modelrollout

FROM ${BASE}
LABEL org.opencontainers.image.title="modelrollout" \
      org.opencontainers.image.description="Progressive delivery for self-hosted LLMs on Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=packages /opt/modelrollout /opt/modelrollout
COPY LICENSE /opt/modelrollout/
# The root file system may be read-only: nothing is written, bytecode included.
ENV PYTHONPATH=/opt/modelrollout PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["python3", "-m", "modelrollout"]
CMD ["operator"]
