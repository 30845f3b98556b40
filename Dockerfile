# docker build -t perigee .
# docker run -p 8080:8080 -p 8443:8443 -e ORIGIN_URL=https://example.org perigee
ARG BASE=debian:trixie-slim

FROM ${BASE} AS build
WORKDIR /src
# The packages first: they change less often than the source.
COPY run .
RUN bash -c '. ./run --functions && need $build_packages'
COPY . .
RUN ./run --build-only
# What the program links names its run-time packages, which differ between Debian releases.
RUN ldd build/release/perigee | awk '$3 ~ /^\// { print $3 }' | xargs -n 1 realpath \
    | sed 's|.*/|*/|' | xargs dpkg-query -S | sed 's/:.*//' | sort -u >/packages

# docker build --target check . : the store's tests, long, with the LMDB of this base. No stage
# of the image needs it, so BuildKit leaves it out of every other build.
FROM build AS check
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends libcmocka-dev
RUN cmake --preset release -B build/check -DPERIGEE_TESTS=ON \
    && cmake --build build/check --target unit_base_lmdb_test unit_cache_store_record_test \
        unit_cache_store_store_test unit_cache_store_churn_test unit_cache_store_kill_test
RUN export PERIGEE_CHURN_TURNOVERS=40 PERIGEE_KILL_ROUNDS=100 \
    && for test in build/check/unit_*; do "$test" || exit 1; done

FROM ${BASE}
COPY --from=build /packages /tmp/packages
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive xargs apt-get install -y --no-install-recommends \
        ca-certificates openssl </tmp/packages \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /tmp/packages \
    && useradd --uid 10001 --user-group --no-log-init --no-create-home \
        --home-dir /var/lib/perigee --shell /usr/sbin/nologin perigee \
    && install -d -o perigee -g perigee /var/lib/perigee
COPY --from=build /src/build/release/perigee /usr/local/bin/perigee
COPY docker/perigee.yaml /etc/perigee/perigee.yaml
COPY docker/entrypoint.sh /usr/local/bin/perigee-entrypoint
# A number, so that an orchestrator sees that it is not root, and folders can be given to it.
USER 10001:10001
WORKDIR /var/lib/perigee
VOLUME /var/lib/perigee
EXPOSE 8080 8443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["perigee", "status", "--quiet"]
ENTRYPOINT ["perigee-entrypoint"]
CMD ["serve", "-c", "/etc/perigee/perigee.yaml"]
