#!/bin/sh
# Makes the passwords of docker-compose.yml, each a file of its own, in secrets/ or the folder that is given. Keeps those
# that are there. Nobody but the owner can enter the folder; its files are readable, as each container has its own user.
set -eu

umask 022
folder=${1:-$(dirname "$0")/../secrets}
mkdir -p "$folder/devices"
chmod 700 "$folder"
for name in postgres_password drumbeat_db_password drumbeat_worker_db_password drumbeat_reader_db_password \
    temporal_db_password grafana_admin_password; do
    [ -s "$folder/$name" ] && continue
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$folder/$name.new"
    mv "$folder/$name.new" "$folder/$name"
    echo "made $folder/$name"
done
