# What the scripts share. Sourced by bash, never run.

# Says one line on standard error.
say() {
    printf '%s\n' "$*" >&2
}

# Says what is wrong and ends: `fail CODE TEXT`. Code 1: work failed, 2: the request was wrong.
fail() {
    local code=$1
    shift
    say "error: $*"
    exit "$code"
}

# The oldest Rust that the workspace accepts, e.g. 1.89.
rust_needed() {
    sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' "$tree/Cargo.toml"
}

# Whether a cargo is new enough: `cargo_is_new_enough "$(cargo --version)"`.
cargo_is_new_enough() {
    local have
    have=$(sed -n 's/^cargo \([0-9.]*\).*/\1/p' <<<"$1")
    [ -n "$have" ] && [ "$(printf '%s\n' "$(rust_needed)" "$have" | sort --version-sort | head --lines=1)" = "$(rust_needed)" ]
}

# Puts a cargo that is new enough first in PATH: the user's own, else Debian's.
use_cargo() {
    if cargo_is_new_enough "$(cargo --version 2>/dev/null)"; then
        return
    fi
    if cargo_is_new_enough "$(PATH=/usr/bin:$PATH cargo --version 2>/dev/null)"; then
        # All of /usr/bin, since cargo starts rustc by its name.
        export PATH=/usr/bin:$PATH
        return
    fi
    fail 1 "no cargo $(rust_needed) or newer; scripts/setup installs one"
}

# Ends unless an ordinary user runs us.
refuse_root() {
    [ "$EUID" -ne 0 ] || fail 2 "run $0 as an ordinary user: nothing in it needs root (scripts/setup uses sudo by itself)"
}

# Where the device's Python lies in this tree, as PYTHONPATH and MYPYPATH have it: the package `clic`, to which each overlay
# brings its part, and what overlays' tests share.
python_path() {
    local IFS=: paths=("$tree"/overlays/*/files/usr/lib/python3/dist-packages "$tree"/overlays/*/tests)
    echo "${paths[*]}"
}
