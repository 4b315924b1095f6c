#!/usr/bin/env bash
# Writes boards/NAME/topology.xml for the boards named, or for all: what hwloc reports on the board,
# rebuilt from the facts in board.json. Needs lstopo and hwloc-annotate (Debian: hwloc-nox).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# start SYNTHETIC: a topology with the same caches everywhere; sizes that differ are set below.
start() {
  lstopo -i "$1" --of xml > "$file"
  hwloc-annotate --ci "$file" "$file" -- root -- none  # lstopo's own version and name
}

# size OBJECTS SIZE: caches that differ from the others, by their logical numbers.
size() { hwloc-annotate "$file" "$file" -- "$1" -- size "$2"; }

# kind CPUSET INFO VALUE…: a kind of core and what the kernel tells of it. hwloc ranks kinds by
# these values itself.
kind() {
  local cpuset=$1
  shift
  while [ $# -gt 0 ]; do
    hwloc-annotate "$file" "$file" -- root -- cpukind "$cpuset" -1 0 "$1" "$2"
    shift 2
  done
}

make_rk3588() {
  start "pack:1 [numa(memory=8GiB)] l3:1(size=3MiB) l2:8(size=512KiB) l1d:1(size=64KiB) l1i:1(size=64KiB) core:1 pu:1"
  size L2:0-3 128KiB
  size L1d:0-3 32KiB
  size L1i:0-3 32KiB
  kind 0x0f LinuxCapacity 397 FrequencyMaxMHz 1800
  kind 0xf0 LinuxCapacity 1024 FrequencyMaxMHz 2400
}

make_rpi5() {
  start "pack:1 [numa(memory=8GiB)] l3:1(size=2MiB) l2:4(size=512KiB) l1d:1(size=64KiB) l1i:1(size=64KiB) core:1 pu:1"
  kind 0xf FrequencyMaxMHz 2400
}

make_odroid-xu4() {
  start "pack:1 [numa(memory=2GiB)] l2:2(size=2MiB) l1d:4(size=32KiB) l1i:1(size=32KiB) core:1 pu:1"
  size L2:0 512KiB
  kind 0x0f LinuxCapacity 377 FrequencyMaxMHz 1400
  kind 0xf0 LinuxCapacity 1024 FrequencyMaxMHz 2000
}

make_hikey960() {
  start "pack:1 [numa(memory=3GiB)] l2:2(size=2MiB) l1d:4(size=64KiB) l1i:1(size=64KiB) core:1 pu:1"
  size L2:0 512KiB
  size L1d:0-3 32KiB
  size L1i:0-3 32KiB
  kind 0x0f LinuxCapacity 462 FrequencyMaxMHz 1844
  kind 0xf0 LinuxCapacity 1024 FrequencyMaxMHz 2362
}

make_hikey970() {
  start "pack:1 [numa(memory=6GiB)] l2:2(size=2MiB) l1d:4(size=64KiB) l1i:1(size=64KiB) core:1 pu:1"
  size L2:0 1MiB
  size L1d:0-3 32KiB
  size L1i:0-3 32KiB
  kind 0x0f FrequencyMaxMHz 1844  # its device tree has no capacities
  kind 0xf0 FrequencyMaxMHz 2362
}

make_jetson-nano() {
  start "pack:1 [numa(memory=4GiB)] l2:1(size=2MiB) l1d:4(size=32KiB) l1i:1(size=48KiB) core:1 pu:1"
  kind 0xf FrequencyMaxMHz 1430
}

make_kirin620() {
  start "pack:1 [numa(memory=2GiB)] l2:2(size=512KiB) l1d:4(size=32KiB) l1i:1(size=32KiB) core:1 pu:1"
  kind 0x0f FrequencyMaxMHz 1200  # cpufreq there covers the first cluster only
}

make_exynos8890() {
  start "pack:1 [numa(memory=4GiB)] l2:2(size=2MiB) l1d:4(size=32KiB) l1i:1(size=64KiB) core:1 pu:1"
  size L2:0 256KiB
  size L1i:0-3 32KiB
  kind 0x0f FrequencyMaxMHz 1586
  kind 0xf0 FrequencyMaxMHz 2600
}

make_pixel-8() {
  start "pack:1 [numa(memory=8GiB)] core:9 pu:1"
  kind 0x00f FrequencyMaxMHz 1704
  kind 0x0f0 FrequencyMaxMHz 2367
  kind 0x100 FrequencyMaxMHz 2914
}

make_gb10() {
  start "pack:1 [numa(memory=128520671232)] l3:2(size=16MiB) l2:10(size=2MiB) l1d:1(size=64KiB) l1i:1(size=64KiB) core:1 pu:1"
  size L3:0 8MiB
  size L2:0-4 512KiB
  size L2:10-14 512KiB
  kind 0x07c1f LinuxCapacity 718 FrequencyMaxMHz 2808
  kind 0xf83e0 LinuxCapacity 997 FrequencyMaxMHz 3900
}

if [ $# -eq 0 ]; then
  for folder in */board.json; do set -- "$@" "$(dirname "$folder")"; done
fi
for board in "$@"; do
  file=$board/topology.xml
  "make_$board"
done
