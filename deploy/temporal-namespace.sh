#!/bin/sh
# Makes Drumbeat's namespace in Temporal, with its search attributes. Changes nothing where they are there.
# Runs where the temporal command is; TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE say where and which.
set -eu

# A new server, and a new namespace, take some seconds until every part of the server knows of them.
retry() {
    attempts=30
    until "$@"; do
        attempts=$((attempts - 1))
        [ "$attempts" -gt 0 ] || return 1
        sleep 2
    done
}

namespace() {
    temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 ||
        temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$RETENTION"
}

attribute() {
    temporal operator search-attribute list 2>/dev/null | grep -Eq "^ *$1 +$2 *\$" ||
        temporal operator search-attribute create --name "$1" --type "$2"
}

retry namespace
for name in DrumbeatSequence DrumbeatCampaign DrumbeatPhone DrumbeatDevice DrumbeatState DrumbeatStep; do
    retry attribute "$name" Keyword
done
retry attribute DrumbeatDueAt Datetime
echo "namespace $TEMPORAL_NAMESPACE is ready"
