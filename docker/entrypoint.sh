#!/bin/sh
# Makes a self-signed certificate when none is named nor there, then becomes perigee.
set -eu
data=/var/lib/perigee
host=${PERIGEE_HOST:-localhost}

make_certificate() {
    if [ ! -w $data ]; then
        echo "perigee: user $(id -u) cannot write to $data: mount a volume or folder of that user there" >&2
        exit 1
    fi
    said=$(umask 077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
        -days 3650 -subj "/CN=$host" -addext "subjectAltName=DNS:$host" \
        -keyout $data/key.new -out $data/cert.new 2>&1) || { echo "$said" >&2; exit 1; }
    # Half a pair would never be completed.
    mv $data/key.new $data/key.pem
    mv $data/cert.new $data/cert.pem
}

case ${1-} in
serve | check)
    if [ ! "${PERIGEE_CERT-}${PERIGEE_KEY-}" ] && [ ! -e $data/cert.pem ] && [ ! -e $data/key.pem ]; then
        make_certificate
    fi
    ;;
esac
exec perigee "$@"
