#!/usr/bin/env bash
# Formats every source file, with the clang-format that .clang-format is
# written for:
#
#   tools/format.sh            formats
#   tools/format.sh --check    changes nothing; fails, and shows where, if
#                              something is not formatted
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in
  '') mode=(-i) ;;
  --check) mode=(--dry-run --Werror) ;;
  *) echo "usage: format.sh [--check]" >&2 && exit 2 ;;
esac
find include src tests tools bench \( -name '*.h' -o -name '*.cc' \) -print0 |
  sort -z | xargs -0 -r clang-format-14 "${mode[@]}"
