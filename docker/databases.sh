#!/bin/sh
# Runs once, on an empty volume: one role and one database for Dagster, one for Label Studio, neither can see the other.
set -eu
for name in dagster label_studio; do
    password=$(cat "${M2V_SECRETS:-/run/secrets}/${name}_database")
    psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username postgres --dbname postgres \
        --set name="$name" --set password="$password" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
