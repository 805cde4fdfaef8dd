#!/bin/sh
# Writes one backup of the ledger and of its signing key into $BACKUPS, and keeps the last $KEEP.
# The database is that of libpq's variables (PGHOST, PGUSER, PGPASSWORD, PGDATABASE).
# Restore:  pg_restore --clean --if-exists --dbname=DATABASE ledger-TIME.dump   and put the key back in its place;
# then `portallink ledger verify` holds what came back against its signed heads.
set -eu

stamp=$(date -u +%Y%m%dT%H%M%SZ)
part="$BACKUPS/.ledger-$stamp.part"
trap 'rm -f "$part"' EXIT
pg_dump --format=custom --file="$part"
pg_restore --list "$part" > /dev/null
mv "$part" "$BACKUPS/ledger-$stamp.dump"
umask 077
cp "$LEDGER_KEY" "$BACKUPS/ledger-key-$stamp.pem"

for kind in 'ledger-*.dump' 'ledger-key-*.pem'; do
    find "$BACKUPS" -name "$kind" | sort -r | tail -n "+$((KEEP + 1))" | while read -r old; do
        rm -f "$old"
    done
done
echo "$BACKUPS/ledger-$stamp.dump"
