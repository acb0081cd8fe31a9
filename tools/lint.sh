#!/usr/bin/env bash
# Runs clang-tidy with the list in .clang-tidy; every finding is an error.
#
#   tools/lint.sh              the layers that are kept clean, on every core
#   tools/lint.sh --deep       the whole tree, and the static analyzer
#   tools/lint.sh FILE.cc...   some sources: while you work on them
#
# On two cores the whole tree takes more than an hour, so only the first is a
# part of tools/check --full: some minutes. A layer joins the list below once it
# is clean.
#
# Headers are checked through the sources that include them. A file takes 4 to
# 30 s, for every check walks through all that it includes; so what was found
# clean is remembered, by a hash of the preprocessed source, comments and all,
# in the folder that tools/fetch-postgres uses too (PGRECAST_CACHE), and only
# what changed is looked at again.
#
# The compile database is one of its own, in build/lint, since clang-tidy does
# not know g++'s options; nothing is compiled there.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
database=$root/build/lint

if [[ -n ${PGRECAST_CACHE:-} ]]; then
  cache=$PGRECAST_CACHE
elif [[ $(id -u) == 0 ]]; then
  cache=/var/cache/pgrecast
else
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/pgrecast
fi
mkdir -p "$cache/lint"
checks=-clang-analyzer-*
clean="base pg pgoutput buffer capture copy refresh verify"
only="^$root/src/(${clean// /|})/"
if [[ ${1:-} == --deep ]]; then
  checks='' only="^$root/"
  shift
fi
settings=$(echo "$checks" | cat - "$root/.clang-tidy" <(clang-tidy-14 --version) | sha256sum)
export database cache settings checks

# lint DIRECTORY COMMAND FILE: as in the compile database.
lint() {
  local hash report
  hash=$(cd "$1" && {
    echo "$settings"
    # The command without its output, and without ccache before it.
    eval "${2%% -o *} -E -C -P $(printf %q "$3")" | cat
  } | sha256sum)
  hash=${hash%% *}
  [[ ! -e $cache/lint/$hash ]] || return 0
  if report=$(clang-tidy-14 -p "$database" --checks="$checks" --quiet "$3" 2>&1); then
    touch "$cache/lint/$hash"
  else
    grep -v 'warnings generated\.$\|warnings treated as errors$' <<<"$report"
    return 1
  fi
}
export -f lint

mkdir -p "$database"
cmake -S "$root" --preset dev -B "$database" -DCMAKE_CXX_COMPILER=clang++-14 \
  --log-level=WARNING >"$database/configure.log" 2>&1 || {
  cat "$database/configure.log" >&2
  exit 1
}

wanted=$'\n'
for file; do wanted+=$(realpath -es "$file")$'\n'; done
# Three lines an entry, each a JSON string: directory, command, file.
entries=()
while read -r directory && read -r command && read -r file; do
  if (($# == 0)) && [[ $file =~ $only ]] || [[ $wanted == *$'\n'$file$'\n'* ]]; then
    entries+=("$directory" "$command" "$file")
    wanted=${wanted/$file$'\n'/}
  fi
done < <(
  sed -nE 's/^ *"(directory|command|file)": "(.*)",?$/\2/p' "$database/compile_commands.json" |
    sed 's/\\\(.\)/\1/g'
)
if [[ -n ${wanted//$'\n'/} ]]; then
  echo "lint: no source that is compiled: ${wanted//$'\n'/ }" >&2
  exit 1
fi
# shellcheck disable=SC2016  # expanded by the inner shell
printf '%s\0' "${entries[@]}" |
  xargs -0 -r -n 3 -P "$(nproc)" bash -c 'lint "$@"' bash
