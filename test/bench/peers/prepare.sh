#!/bin/bash
# Installs the Debian packages that `make bench-peers` measures us beside. Needs root. What cannot be installed is named and left out:
# its contender is then skipped.
set -euo pipefail

needed=(iproute2 iputils-ping iperf3 openssl mount)
peers=(wireguard-go wireguard-tools strongswan-charon strongswan-swanctl libstrongswan-standard-plugins libstrongswan-extra-plugins
  libcharon-extra-plugins nebula openvpn)

[ "$(id -u)" = 0 ] || { echo "make bench-peers needs root: it makes network namespaces (sudo make bench-peers)" >&2; exit 1; }

lacks() { ! dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }
missing=()
for package in "${needed[@]}" "${peers[@]}"; do
  if lacks "$package"; then missing+=("$package"); fi
done
[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null || { echo "make bench-peers needs these Debian packages: ${missing[*]}" >&2; exit 1; }
echo "installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
# Some of them bring a service that would start at once: what is measured is started by the bench itself.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq || echo "the lists of packages could not be fetched" >&2
for package in "${missing[@]}"; do
  apt-get install -y -qq --no-install-recommends "$package" >/dev/null || echo "could not install $package" >&2
done
for package in "${needed[@]}"; do
  if lacks "$package"; then
    echo "make bench-peers cannot do without $package" >&2
    exit 1
  fi
done
