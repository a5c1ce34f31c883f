#!/usr/bin/env bash
# Takes what the last run of the tests received as the new snapshots: every *.received.txt becomes *.verified.txt.
# usage: eng/accept-snapshots.sh        then look at `git diff` and commit
set -euo pipefail
cd "$(dirname "$0")/.."
count=0
while IFS= read -r -d '' received; do
  mv "$received" "${received%.received.txt}.verified.txt"
  count=$((count + 1))
done < <(find tests -name '*.received.txt' -not -path '*/bin/*' -not -path '*/obj/*' -print0)
echo "$count snapshots accepted"
