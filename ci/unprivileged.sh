# For CI jobs that start as root, as they do in most containers: an ordinary user, a copy of the checkout in its
# home, and a way to run commands there. Sourced by bash; `here` is the checkout. What may be kept between runs is
# in $CLIC_CI_CACHE, else in ~clic-ci/cache; a run from nothing is the same, only slower.

user=clic-ci

# Makes the user, once.
make_user() {
    getent passwd "$user" >/dev/null || useradd --create-home --shell /bin/bash "$user"
    home=$(getent passwd "$user" | cut --delimiter=: --fields=6)
    checkout=$home/checkout
    cache=${CLIC_CI_CACHE:-$home/cache}
    install --directory --owner="$user" --group="$user" "$cache"
}

# Copies the tracked files, with fresh times: cargo must not take an older checkout's file for one that it knows.
copy_checkout() {
    rm --recursive --force "$checkout"
    install --directory --owner="$user" --group="$user" "$checkout"
    git -C "$here" -c safe.directory="$here" ls-files -z |
        tar --create --directory="$here" --null --files-from=- --owner="$user" --group="$user" |
        tar --extract --directory="$checkout" --touch --same-owner --preserve-permissions
}

# Runs a command in the copy, with an environment as after a login plus what reaching the network takes. What only serves the
# next compilation or a debugger is not compiled.
as_user() {
    local keep=() name
    while read -r name; do
        keep+=("$name=${!name}")
    done < <(compgen -e | grep --extended-regexp \
        '^(CI|SSL_CERT_(FILE|DIR)|CURL_CA_BUNDLE|(HTTPS?|ALL|NO)_PROXY|(https?|all|no)_proxy|CARGO_(HTTP|NET|REGISTR|SOURCE).*|CLIC_DEBIAN_.*)$')
    (cd "$checkout" && runuser -u "$user" -- env --ignore-environment \
        HOME="$home" USER="$user" LOGNAME="$user" SHELL=/bin/bash LANG=C.UTF-8 TERM=dumb \
        PATH=/usr/local/bin:/usr/bin:/bin \
        CARGO_HOME="$cache/cargo" CARGO_TARGET_DIR="$cache/target" CARGO_TERM_COLOR=never \
        CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0 \
        CLIC_CACHE="$cache/store" \
        ${keep[@]+"${keep[@]}"} "$@")
}
