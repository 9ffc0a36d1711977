#!/bin/sh
# An authority, and one certificate for all machines of a fleet: sh certificates.sh FOLDER
# Keep authority.key where nobody works; copy the other three to every machine.
set -eu
mkdir -p "$1"
cd "$1"
openssl req -x509 -newkey rsa:3072 -nodes -days 3650 -subj "/CN=rankwise fleet" \
  -keyout authority.key -out ca.pem
openssl req -newkey rsa:3072 -nodes -subj "/CN=rankwise" -keyout me.key -out me.csr
openssl x509 -req -in me.csr -CA ca.pem -CAkey authority.key -CAcreateserial -days 825 -out me.pem
rm me.csr
chmod 600 authority.key
chmod 644 me.key
