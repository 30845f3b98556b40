# docker build -t perigee .
# docker run -p 8080:8080 -p 8443:8443 -e ORIGIN_URL=https://example.org perigee
ARG BASE=debian:trixie-slim

FROM ${BASE} AS build
COPY . /src
RUN /src/run --build-only
# What the program links names its run-time packages, which differ between Debian releases.
RUN ldd /src/build/release/perigee | awk '$3 ~ /^\// { print $3 }' | xargs -n 1 realpath \
    | sed 's|.*/|*/|' | xargs dpkg-query -S | sed 's/:.*//' | sort -u >/packages

FROM ${BASE}
COPY --from=build /packages /tmp/packages
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive xargs apt-get install -y --no-install-recommends \
        ca-certificates openssl </tmp/packages \
    && rm -rf /var/lib/apt/lists/* /tmp/packages \
    && useradd --system --user-group --home-dir /var/lib/perigee --shell /usr/sbin/nologin perigee \
    && install -d -o perigee -g perigee /var/lib/perigee
COPY --from=build /src/build/release/perigee /usr/local/bin/perigee
COPY docker/perigee.yaml /etc/perigee/perigee.yaml
COPY docker/entrypoint.sh /usr/local/bin/perigee-entrypoint
USER perigee
WORKDIR /var/lib/perigee
VOLUME /var/lib/perigee
EXPOSE 8080 8443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["perigee", "status", "--quiet"]
ENTRYPOINT ["perigee-entrypoint"]
CMD ["serve", "-c", "/etc/perigee/perigee.yaml"]
