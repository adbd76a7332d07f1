#!/bin/bash
# Installs the Debian packages that the interop tests judge us by. Needs root; where it cannot install, it names what is missing.
set -euo pipefail

packages=(wireguard-go tinyproxy wireguard-tools openssh-server openssh-client rsync mosquitto-clients strongswan-pki
  libstrongswan-standard-plugins libstrongswan-extra-plugins strongswan-swanctl strongswan-charon libcharon-extra-plugins nftables conntrack coturn miniupnpd-nftables zbar-tools poppler-utils softhsm2 opensc swtpm libtpm2-pkcs11-1 libtss2-tcti-swtpm0 tpm2-tools iproute2 iputils-ping procps mount tayga tcpdump strace curl openssl
  dosfstools mtools fdisk e2fsprogs fusefat socat libnss3-tools)
# Its package and strongSwan's exclude one another: what it needs is installed, itself unpacked where nothing but its tests looks.
libreswan=/var/cache/adit-interop/libreswan

[ "$(id -u)" = 0 ] || { echo "make interop needs root: it makes network namespaces (sudo make interop)" >&2; exit 1; }

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ -x $libreswan/usr/libexec/ipsec/pluto ] || missing+=(libreswan)
[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null || { echo "make interop needs these Debian packages: ${missing[*]}" >&2; exit 1; }
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# Some of them bring a service that would start at once: what the tests need, they start themselves.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq
if [ "${missing[-1]}" = libreswan ]; then
  unset 'missing[-1]'
  # iptables are for its updown script alone, which comes after ESP of the kernel's.
  mapfile -t -O ${#missing[@]} missing < <(apt-cache depends --important libreswan | sed -n 's/^ *Depends: \([^<]*\)$/\1/p' | grep -vx iptables)
  unpacked=$(mktemp -d)
  # apt's own user writes there.
  chmod 777 "$unpacked"
  (cd "$unpacked" && apt-get download -qq libreswan)
  mkdir -p $libreswan
  dpkg-deb -x "$unpacked"/libreswan_*.deb $libreswan
  rm -r "$unpacked"
fi
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
! command -v systemctl >/dev/null || systemctl disable --quiet coturn 2>/dev/null || true
