#!/usr/bin/env bash
# The gate of a release in any CI system. All it needs of the lab is SSH to the board.
#
#   STUDY              the study, with gates
#   BOARD_KEY          the private key of the board's user, as text (a secret)
#   BOARD_KNOWN_HOSTS  the board's line of known_hosts, as text: `ssh-keyscan HOST`, once, checked
#   BOARD              user@host, or user@host:port
#   PROFILE            the kind of board, such as raspberry-pi-5
#   STORE              where results are kept from job to job: a PostgreSQL URL, or sqlite:///FILE
#   RELEASE            what was released (--against): last-release, a release by its name, RUN,
#                      RUN:VARIANT or a model file; optional
#   RELEASE_AS         a name for what passes, in the job that releases it (--release); optional
#   POLICY             what an open gate does: report, fail, warn or extend; optional
#   BUDGET             board time, such as 10m; optional
#
# It leaves junit.xml, summary.md and report.html, and ends with the gate's exit code.
set -euo pipefail
: "${STUDY:?}" "${BOARD_KEY:?}" "${BOARD_KNOWN_HOSTS:?}" "${BOARD:?}" "${PROFILE:?}" "${STORE:?}"

lab=$(mktemp -d)
trap 'rm -rf "$lab"' EXIT
(umask 077 && printf '%s\n' "$BOARD_KEY" > "$lab/key")
printf '%s\n' "$BOARD_KNOWN_HOSTS" > "$lab/known_hosts"
address=${BOARD#*@}
cat > "$lab/inventory.yaml" <<END
devices:
  board:
    profile: $PROFILE
    host: ${address%:*}
    user: ${BOARD%%@*}
    port: $([[ $address == *:* ]] && echo "${address##*:}" || echo 22)
    identity_file: $lab/key
    known_hosts: $lab/known_hosts
END

options=(--inventory "$lab/inventory.yaml" --device board --store "$STORE" --progress plain
  -o junit.xml -o summary.md -o report.html)
[[ -n ${RELEASE:-} ]] && options+=(--against "$RELEASE")
[[ -n ${RELEASE_AS:-} ]] && options+=(--release "$RELEASE_AS")
[[ -n ${POLICY:-} ]] && options+=(--on-inconclusive "$POLICY")
[[ -n ${BUDGET:-} ]] && options+=(--budget "$BUDGET")
[[ -n ${GITHUB_ACTIONS:-} ]] && options+=(--annotations)

code=0
edgeproof gate "$STUDY" "${options[@]}" || code=$?
# GitHub drops a summary of more than 1 MiB whole.
[[ -n ${GITHUB_STEP_SUMMARY:-} && -f summary.md ]] && head -c 900K summary.md >> "$GITHUB_STEP_SUMMARY"
exit "$code"
