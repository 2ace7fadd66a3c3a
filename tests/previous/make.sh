#!/bin/sh
# Writes home.tar.xz: a small home, tables and Dagster's instance, as an earlier version of M2V left it. Run by hand, as
# root, once per release, with the commit of that release: tests/previous/make.sh v0.1.0
#
# The folders are the same on every machine, because Dagster's records name them.
set -eu
cd "$(dirname "$0")/../.."
checkout=$PWD
code=/srv/m2v
home=/var/lib/m2v
test ! -e "$code" && test ! -e "$home"
trap 'git worktree remove --force "$code"; rm -rf "$home"' EXIT
git worktree add --quiet --detach "$code" "$1"
# Its own environment, where its requirements are other ones than ours: make -C $code demo
ln -s "$checkout/.venv" "$code/.venv"
mkdir -p "$home"
cd "$code"
HOSTNAME=host PYTHONPATH=$code M2V_HOME=$home .venv/bin/python -c 'from m2v_assets.cli import main; main()' \
    run --study sample-recorded --select voted_labels
rm -rf "$home/dagster/storage" "$home/run.lock"
tar --create --xz --sort=name --owner=0 --group=0 --directory "$home" --file "$checkout/tests/previous/home.tar.xz" .
