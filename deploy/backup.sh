#!/bin/sh
# Writes Drumbeat's database and then Temporal's two to BACKUP_DIRECTORY/TIME/, and again every BACKUP_EVERY seconds; with
# BACKUP_EVERY=0 once. Removes backups that are older than BACKUP_KEEP_DAYS. A backup that is not complete has the ending
# .part, and counts for nothing. Runs where pg_dump is; PGHOST, PGUSER and PGPASSWORD name the server.
set -eu

umask 077

for name in BACKUP_EVERY BACKUP_KEEP_DAYS; do
    eval "value=\${$name:-}"
    case $value in
        '' | *[!0-9]*)
            echo "DRUMBEAT_$name is a whole number of $([ $name = BACKUP_EVERY ] && echo seconds || echo days), not '$value'" >&2
            exit 1
            ;;
    esac
done

back_up() {
    now=$(date -u +%Y%m%dT%H%M%SZ)
    draft=$BACKUP_DIRECTORY/$now.part
    rm -rf "$BACKUP_DIRECTORY"/*.part
    mkdir -p "$draft"
    # Drumbeat's first: what Temporal knows and the ledger does not, the audit finds.
    for database in drumbeat temporal temporal_visibility; do
        pg_dump --format custom --file "$draft/$database.dump" --dbname "$database" || return 1
    done
    mv "$draft" "$BACKUP_DIRECTORY/$now"
    echo "backup $now is complete"
    find "$BACKUP_DIRECTORY" -mindepth 1 -maxdepth 1 -type d -name '*Z' -mtime "+$BACKUP_KEEP_DAYS" -exec rm -rf {} +
}

while :; do
    done=yes
    back_up || done=
    [ "$BACKUP_EVERY" -gt 0 ] || { [ "$done" ] && exit 0 || exit 1; }
    if [ "$done" ]; then
        sleep "$BACKUP_EVERY"
    else
        echo "the backup failed, for the reason above; it is tried again in a minute" >&2
        sleep 60
    fi
done
