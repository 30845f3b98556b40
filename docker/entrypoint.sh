#!/bin/sh
# Makes a self-signed certificate when none is mounted, then becomes perigee.
set -eu
cert=${PERIGEE_CERT:-/var/lib/perigee/cert.pem}
key=${PERIGEE_KEY:-/var/lib/perigee/key.pem}

if [ "${1-}" = serve ] && [ ! -e "$cert" ] && [ ! -e "$key" ]; then
    umask 077
    said=$(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
        -subj "/CN=${PERIGEE_HOST:-localhost}" \
        -addext "subjectAltName=DNS:${PERIGEE_HOST:-localhost}" \
        -keyout "$key" -out "$cert" 2>&1) || { echo "$said" >&2; exit 1; }
fi
exec perigee "$@"
