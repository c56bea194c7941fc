#!/bin/sh
# Runs a command with passwords from files in its environment: for each variable like PGPASSWORD_FILE or POSTGRES_PWD_FILE
# there is then one without _FILE, which has what is in that file. So passwords are in no compose file and no image, and
# "docker inspect" does not show them.
set -eu

for name in $(env | sed -n 's/^\([A-Z][A-Z0-9_]*\)_FILE=.*/\1/p' | grep -E '(PASSWORD|PWD)$'); do
    eval "file=\${${name}_FILE}"
    if ! [ -r "$file" ]; then
        echo "${name}_FILE: $file cannot be read: sh deploy/make-secrets.sh makes it" >&2
        exit 1
    fi
    value=$(cat "$file")
    export "$name=$value"
done
exec "$@"
