# What ./setup, ./test and .ci/run share: packages, toolchain, kernel, programs. Sourced by bash.
#
# Each function leaves alone what is there already, and says what it does on standard error.

house=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
started=$SECONDS

say() { printf '\n== %s (%dm%02ds)\n' "$*" $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60)) >&2; }
note() { printf '   %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$1" >&2
    shift
    for hint in "$@"; do printf '  hint: %s\n' "$hint" >&2; done
    exit 1
}

# Runs a command as root, through sudo where that is needed.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -- "$@"; fi
}

# packages GROUP…: installs what of these groups is missing.
packages() {
    local group name missing=()
    for group in "$@"; do
        while read -r name; do
            dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || missing+=("$name")
        done < <(awk -v group="$group" '$1 == group { print $2 }' "$house/.ci/packages")
    done
    if [ ${#missing[@]} = 0 ]; then
        note "packages: all there"
        return
    fi
    command -v apt-get >/dev/null ||
        die "these Debian packages are needed: ${missing[*]}" "Install what they hold with your own package manager, or use Debian 12."
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
        die "these packages are missing: ${missing[*]}" "Run this as root, or install sudo."
    fi
    say "Installing packages: ${missing[*]}"
    as_root apt-get update -qq >&2 || note "apt-get update had complaints; going on with the lists at hand"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends "${missing[@]}" >&2 ||
        die "apt-get could not install ${missing[*]}"
}

# The least Rust that builds this, as Cargo.toml says.
rust_floor=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$house/Cargo.toml")

# toolchain: finds cargo, also where HOME is new and empty, and looks at its version.
toolchain() {
    local owner
    owner=$(getent passwd "$(id -u)" | cut -d: -f6)
    command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin:$owner/.cargo/bin
    export PATH
    command -v cargo >/dev/null || die "Rust $rust_floor or newer is needed, and no cargo was found" \
        "Install it from https://rustup.rs (Debian 12's own rustc is too old), then run this again."

    # rustup and cargo look below HOME; where that is empty, they mean the folders beside the program.
    local beside
    beside=$(dirname "$(dirname "$(dirname "$(command -v cargo)")")")
    local place
    for place in "$beside" "$owner"; do
        if [ -z "${RUSTUP_HOME:-}" ] && [ ! -d "$HOME/.rustup" ] && [ -d "$place/.rustup" ]; then
            export RUSTUP_HOME=$place/.rustup
        fi
        if [ -z "${CARGO_HOME:-}" ] && [ ! -d "$HOME/.cargo" ] && [ -w "$place/.cargo" ]; then
            export CARGO_HOME=$place/.cargo
        fi
    done

    local version
    version=$(cd "$house" && rustc --version 2>/dev/null | cut -d' ' -f2) ||
        die "rustc does not start" "Run \`rustup toolchain install $rust_floor\`."
    [ -n "$version" ] || die "rustc does not start" "Run \`rustup toolchain install $rust_floor\`."
    printf '%s\n%s\n' "$rust_floor" "$version" | sort -VC ||
        die "Rust $version is too old, $rust_floor is needed" "Run \`rustup update\`; Debian 12's own rustc is too old."
    note "rust: $version"
    target=${CARGO_TARGET_DIR:-$house/target}
    case $target in /*) ;; *) target=$house/$target ;; esac
}

# kernel: the guest kernel, built once and kept in the cache; its folder is linked beside the programs.
kernel() {
    local folder
    folder=$("$house/runtime/kernel/build") || die "the guest kernel was not built"
    mkdir -p "$target"
    ln -sfn "$folder" "$target/kernel"
    note "kernel: $(basename "$folder")"
}

# agent: process 1 of a guest, one static file. Its flags differ, so it has a target folder of its own.
agent() {
    local triple=x86_64-unknown-linux-gnu
    (cd "$house" && RUSTFLAGS="-C target-feature=+crt-static -C relocation-model=static -C panic=abort" \
        cargo build -p agentd --release --locked --target "$triple" --target-dir "$target/agentd" >&2) ||
        die "agentd was not built"
    agent=$target/agentd/$triple/release/agentd
    if ldd "$agent" 2>&1 | grep -q '=>'; then
        die "agentd is not a static program: $(ldd "$agent" | head -n 1)"
    fi
}

# base: the image builtin:base, an OCI archive of a few megabytes.
base() {
    mkdir -p "$target/base"
    "$house/runtime/base/build" --out "$target/base/base.oci.tar" >&2 || die "builtin:base was not made"
}
