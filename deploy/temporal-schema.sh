#!/bin/sh
# Brings the tables of Temporal's two databases to the version of this image. Changes nothing where they are there.
# Runs in Temporal's admin-tools image; SQL_HOST, SQL_PORT, SQL_USER, SQL_PASSWORD and SQL_PLUGIN name the server.
set -eu

schema() {
    temporal-sql-tool --db "$1" setup-schema -v 0.0
    temporal-sql-tool --db "$1" update-schema --schema-name "postgresql/v12/$2"
}

schema temporal temporal
schema temporal_visibility visibility
