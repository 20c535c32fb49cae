# belfry alone: the binary, its shared libraries, the CA file; no shell, no redis-server, so REDIS_URL has to be set.
#   docker build -t belfry .
#   docker run --read-only --cap-drop ALL -p 8000:8000 -e REDIS_URL=redis://… -e SECRET_KEY=… belfry
FROM debian:12-slim AS build
WORKDIR /src
# First the packages alone: they are installed anew only when their list changes.
COPY tests/deps.sh tests/deps.sh
RUN tests/deps.sh build image
COPY . .
RUN make -j"$(nproc)" CI=1 build/belfry
RUN helm/image/collect.sh build/belfry /rootfs

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="belfry" \
      org.opencontainers.image.description="A push sidecar: holds browsers' WebSockets and delivers events to them" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /rootfs/ /
# So that `belfry check` and the like can be run in a container by name.
ENV PATH=/usr/bin
USER 65532:65532
EXPOSE 8000 9464
# Ends by handing its clients over for DRAIN_SECONDS (20 s): give it a little longer than that, as in docs/deploy.md.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 CMD ["/usr/bin/belfry", "health"]
ENTRYPOINT ["/usr/bin/belfry"]
CMD ["serve"]
