# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Progress and the table at the end: each step's seconds, bytes and proof.

table_rows=()

# step NAME: announces a step and starts its clock.
step() {
  step_name=$1 step_start=$EPOCHREALTIME
  printf '\n== %s\n' "$step_name"
}

# done_step BYTES PROOF: ends the step; BYTES may be empty.
done_step() {
  local seconds
  seconds=$(awk -v from="$step_start" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f", to - from }')
  table_rows+=("$step_name"$'\t'"$seconds"$'\t'"${1:--}"$'\t'"$2")
  printf '   %s s  %s\n' "$seconds" "$2"
}

print_table() {
  printf '\n%-24s %8s %14s  %s\n' step seconds bytes proof
  printf '%s\n' "${table_rows[@]}" | awk -F '\t' '
    { printf "%-24s %8s %14s  %s\n", $1, $2, $3, $4; total += $2 }
    END { printf "%-24s %8.1f\n", "all", total }'
}
