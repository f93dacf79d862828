#!/usr/bin/env bash
# Make a virtual environment for `make demo`, `make test`, or the tests on Jazzy.
#
#   tools/environment.sh FOLDER demo|dev|jazzy
#
# ROS 2 comes from where it is sourced; without one, from PyPI's wheels (x86-64, Python 3.10 to 3.14).
set -euo pipefail
folder=$1 kind=$2
python=${PYTHON:-python3}
cd "$(dirname "$0")/.."

fail() {
    printf 'error: %s\n' "$1" >&2
    exit 1
}

newest=14
[ "$kind" = dev ] && newest=12 # NVIDIA's builder, which the tests use, has no wheels beyond
supported="Python 3.10 to 3.$newest"
command -v "$python" >/dev/null || fail "no $python: install $supported, or name one: make PYTHON=/path/to/python3"
checked=$python
[ -x "$folder/bin/python" ] && checked=$folder/bin/python # made before, and kept
version=$("$checked" -c 'import sys; print(*sys.version_info[:2], sep=".")')
case $version in
    3.1[0-9]) [ "${version#3.}" -le "$newest" ] ;;
    *) false ;;
esac || fail "$checked is Python $version; supported is $supported: make clean, then make PYTHON=/path/to/python3.12"

options=() wheels=()
if [ "$kind" = jazzy ]; then
    wheels=(-r requirements/jazzy-test.txt)
elif [ -n "${ROS_DISTRO:-}" ] && "$python" -c 'import rclpy, sensor_msgs' 2>/dev/null; then
    echo "ROS 2 $ROS_DISTRO is sourced: using it"
    options=(--system-site-packages)
elif [ "$(uname -m)" = x86_64 ]; then
    wheels=(-r requirements/ros-kilted.txt)
else
    fail "no ROS 2 is sourced, and PyPI has ROS wheels for x86-64 only: source one first, such as 'source /opt/ros/jazzy/setup.bash'"
fi

case $kind in
    demo) wheels+=(-r requirements/runtime.txt -r requirements/demo.txt) ;;
    dev) wheels+=(-r requirements/runtime.txt -r requirements/demo.txt -r requirements/dev.txt) ;;
    jazzy) ;;
    *) fail "unknown kind $kind" ;;
esac

# Without pip it is half made: by a Python that lacked its venv package, or was interrupted.
if ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    "$python" -m venv "${options[@]}" "$folder" ||
        fail "could not make a virtual environment; on Debian and Ubuntu: apt install python3-venv"
fi
# To compile all modules of torch and its like takes half a minute; those that tests import are
# compiled when they are, unless Python is told not to keep them.
compile=(--compile)
[ "$kind" = demo ] || [ -n "${PYTHONDONTWRITEBYTECODE:-}" ] || compile=(--no-compile)
echo "installing into $folder (a minute or two)"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check "${compile[@]}" "${wheels[@]}" ||
    fail "pip could not install the packages above; is the network there?"
# It asks for torchvision and for a requests of 2021, and needs neither.
[ "$kind" != dev ] || "$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
    --no-deps torchattacks==3.5.1 || fail "pip could not install torchattacks"
touch "$folder/.ready-$kind"
