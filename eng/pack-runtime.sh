#!/usr/bin/env bash
# Puts the .NET runtime of this machine into DIR/runtime.tar.xz (27 MB) for a machine without .NET; one that is there stays.
# usage: eng/pack-runtime.sh DIR       unpack with: tar xJ -C "$DOTNET_ROOT" -f runtime.tar.xz
set -euo pipefail
root=$(dirname "$(readlink -f "$(command -v dotnet)")")
version=$(ls "$root/shared/Microsoft.NETCore.App" | sort -V | tail -1)
[[ -s $1/runtime.tar.xz ]] || tar c -C "$root" dotnet host "shared/Microsoft.NETCore.App/$version" | xz -T0 -6 >"$1/runtime.tar.xz"
