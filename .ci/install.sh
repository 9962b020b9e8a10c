# How programs get below $MSB_HOME, and links into ~/.local/bin. Sourced by ./setup after house.sh.
#
# Wants `home` and `version`, and from house.sh `target`, `agent`, `note`. Files appear whole; what
# is not ours is left alone; no shell start-up file is touched.

# place SOURCE FOLDER: a copy that appears whole; programs that run keep the file they started with.
place() {
    local name
    name=$(basename "$1")
    if cmp -s "$1" "$2/$name"; then return; fi
    cp "$1" "$2/.$name.new"
    sync "$2/.$name.new"
    mv "$2/.$name.new" "$2/$name"
}

# is_ours TARGET: whether a link leads into an msb home, or to the link beside it.
is_ours() {
    case $1 in
        msb | ../lib/*/msb*) ;;
        */.microsandbox/bin/*) ;;
        */bin/msb*) [ -d "$(dirname "$(dirname "$1")")/machines" ] ;;
        *) false ;;
    esac
}

# link TARGET PLACE: never over somebody else's file.
link() {
    local old
    if [ -L "$2" ]; then
        old=$(readlink "$2")
        [ "$old" != "$1" ] || return 0
        if ! is_ours "$old"; then
            note "$2 points to $old, which is not ours: left alone"
            return
        fi
    elif [ -e "$2" ]; then
        note "$2 is not ours: left alone"
        return
    fi
    ln -sfn "$1" "$2.new"
    mv -T "$2.new" "$2"
}

install_programs() {
    local lib=$home/lib/$version program
    (umask 077 && mkdir -p "$home")
    mkdir -p "$lib" "$home/bin" "$home/kernels"
    for program in msb msb-runtime msb-metrics; do place "$target/release/$program" "$lib"; done
    place "$agent" "$lib"
    place "$target/base/base.oci.tar" "$lib"
    for program in msb msb-runtime msb-metrics; do link "../lib/$version/$program" "$home/bin/$program"; done
    install_kernel
    install_links
}

install_kernel() {
    local key
    key=$(basename "$(readlink -f "$target/kernel")")
    if [ ! -s "$home/kernels/$key/vmlinux" ]; then
        rm -rf "$home/kernels/.$key.new"
        cp -aL "$target/kernel/" "$home/kernels/.$key.new"
        mv -T "$home/kernels/.$key.new" "$home/kernels/$key"
    fi
}

install_links() {
    mkdir -p "$HOME/.local/bin"
    link "$home/bin/msb" "$HOME/.local/bin/msb"
    link msb "$HOME/.local/bin/microsandbox"
    link "$home/bin/msb-metrics" "$HOME/.local/bin/msb-metrics"
    case :$PATH: in
        *":$HOME/.local/bin:"*) ;;
        *) note "~/.local/bin is not on your PATH: add it, or start $home/bin/msb" ;;
    esac
}
