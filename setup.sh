#!/bin/sh
# Installs what edgeproof needs.
#   setup.sh venv PYTHON FOLDER REQUIREMENTS   a virtual environment with pinned packages
#   setup.sh author FOLDER                     torch, for compression with training code, into it
#   setup.sh tools                             what the tests need of the system (Debian)
set -eu

say() { echo "setup: $*" >&2; }

# Installs Debian packages where that is allowed; else says what to install, and fails.
debian() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing $*"
        # A list of packages from a machine's image is often too old to install from.
        apt-get update -qq >/dev/null
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
    else
        say "please install: $* (on Debian: sudo apt-get install $*)"
        return 1
    fi
}

venv() {
    python=$1 folder=$2 requirements=$3
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        say "edgeproof needs Python 3.11 or newer; $python is $("$python" -V 2>&1). Try: make PYTHON=python3.11"
        exit 1
    }
    if [ ! -x "$folder/bin/pip" ]; then
        "$python" -c 'import ensurepip, venv' 2>/dev/null || debian python3-venv
        "$python" -m venv "$folder"
    fi
    "$folder/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
        -r requirements/bootstrap.txt
    # Copies of packages, not links, where cache and folder lie on different disks.
    "$folder/bin/uv" pip install --quiet --python "$folder/bin/python" --require-hashes \
        -r "$requirements"
    "$folder/bin/uv" pip install --quiet --python "$folder/bin/python" --no-deps \
        --no-build-isolation --editable .
}

# With pip, which takes a CPU build of torch where one lies at hand; uv would not.
author() {
    # scikit-learn has the digits of examples/digits.
    "$1/bin/pip" install --quiet --disable-pip-version-check \
        torch==2.13.0 torch-pruning==1.6.1 scikit-learn==1.9.1
}

# What the machine lacks of these commands' packages: COMMAND:PACKAGE ...
lacking() {
    for pair in "$@"; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null || echo "${pair##*:}"
    done
}

tools() {
    needed=$(lacking sshd:openssh-server ssh:openssh-client)
    # shellcheck disable=SC2086 (a list of words)
    [ -z "$needed" ] || debian $needed
    # Without these some tests are skipped, with the reason.
    useful=$(lacking ip:iproute2 mkfs.ext4:e2fsprogs chromium:chromium)
    # shellcheck disable=SC2086
    [ -z "$useful" ] || debian $useful || say "some tests will be skipped"
}

"$@"
